/**
 * What others use for the same purpose, each set up as its manual says.
 *
 *   masquerade    h1 ── gw: nftables, connection tracking ── …       no thread of its own
 *   slirp4netns   guest ── tap0 ── slirp4netns in gw ── sockets ── …    TCP is ended and begun anew
 *   pasta         guest ── tap   ── pasta in gw ────── sockets ── …     the same
 *   tayga         h1 (IPv6) ── gw: TUN, NAT64 one to one ── …        stateless, TCP only here
 *
 * slirp4netns and pasta serve one namespace, so that a guest stands for h1, without the link from
 * h1 to the gateway; both run in the gateway's namespace with the large MTU that their manuals
 * recommend (65520). tayga translates addresses and not ports, from IPv6: it compares as a
 * forwarder in C on a TUN without offloads, by TCP alone since the UDP generators speak IPv4.
 *
 * The kernel forwards in the name of whoever sent the packet. So that it has the forwarder's core
 * as everybody else does, receive packet steering moves what the gateway's interfaces receive there
 * while it is its turn.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Background, Namespace, until } from '../../lab/netns.ts';
import { type Lab, SERVER } from '../../lab/topology.ts';
import { FORWARDER_MASK, IS_PINNED, onForwarderCore } from '../datapath/cores.ts';
import type { Watched } from '../datapath/measurement.ts';
import type { Rival } from '../datapath/rivals.ts';

const LARGE_MTU = 65_520;
const MASQUERADE = `table ip bench_nat {
  chain post {
    type nat hook postrouting priority srcnat;
    oifname "wan0" ip saddr 192.168.7.0/24 masquerade
  }
}`;

export class Masquerade implements Rival {
  readonly name = 'masquerade';
  readonly lab: Lab;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async enter(): Promise<Watched> {
    const { gateway } = this.lab;
    await gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    await gateway.run('nft', ['-f', '-'], { input: MASQUERADE });
    await this.#steer(FORWARDER_MASK);
    return {};
  }

  async leave(): Promise<void> {
    const { gateway } = this.lab;
    await gateway.run('nft', ['delete', 'table', 'ip', 'bench_nat']);
    await this.#steer('0');
  }

  async stop(): Promise<void> {}

  async #steer(mask: string): Promise<void> {
    if (!IS_PINNED) return;
    const files = ['h1', 'wan0'].map((name) => `/sys/class/net/${name}/queues/rx-0/rps_cpus`);
    const words = files.map((file) => `echo ${mask} > ${file}`).join(' && ');
    await this.lab.gateway.run('sh', ['-c', words]);
  }
}

/** A namespace beside the lab that one of the programs below gives a network. */
class Guest implements Rival {
  readonly name: string;
  readonly lab: Lab;
  readonly #guest: Namespace;
  readonly #words: string[];
  readonly #device: string;
  #process: Background | undefined;

  constructor(lab: Lab, name: string, device: string, words: (path: string) => string[]) {
    this.name = name;
    this.#device = device;
    this.#guest = new Namespace(`${lab.name}-${name}`);
    this.#words = words(`/run/netns/${this.#guest.name}`);
    this.lab = { ...lab, hosts: [this.#guest] };
  }

  async start(): Promise<void> {
    const guest = this.#guest;
    await guest.create();
    process.on('exit', () => guest.remove());
    await guest.ip(['link set lo up']);
    const words = onForwarderCore(this.#words);
    const program = this.lab.gateway.start(words[0], words.slice(1));
    this.#process = program;
    await until(`${this.name} to give its guest a network`, async () => {
      if (program.over) throw new Error(program.stderr || program.stdout);
      return (await guest.run('ip', ['route'])).stdout.includes('default');
    });
  }

  async enter(): Promise<Watched> {
    return { pid: this.#process?.pid, tun: this.#device };
  }

  async leave(): Promise<void> {}

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#guest.remove();
  }
}

export const slirp = (lab: Lab): Guest =>
  new Guest(lab, 'slirp4netns', 'tap0', (path) => [
    ...['slirp4netns', '--configure', `--mtu=${LARGE_MTU}`, '--netns-type=path'],
    ...[path, 'tap0'],
  ]);

export const pasta = (lab: Lab): Guest =>
  new Guest(lab, 'pasta', 'wan0', (path) => [
    ...['pasta', '--foreground', '--config-net', '--runas', '0', '--mtu', String(LARGE_MTU)],
    ...['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--netns', path],
  ]);

const TAYGA_TUN = 'nat64t';
const TAYGA_PREFIX = '2001:db8:64::';
const TAYGA_POOL = '192.168.7.128/25';

export class Tayga implements Rival {
  readonly name = 'tayga';
  readonly lab: Lab;
  readonly target = `${TAYGA_PREFIX}${SERVER}`;
  #process: Background | undefined;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async start(): Promise<void> {
    const { gateway, folder, hosts } = this.lab;
    const data = join(folder, 'tayga');
    const config = join(folder, 'tayga.conf');
    mkdirSync(data, { recursive: true });
    writeFileSync(
      config,
      [
        `tun-device ${TAYGA_TUN}`,
        'ipv4-addr 192.168.7.129',
        'ipv6-addr 2001:db8:65::1',
        `prefix ${TAYGA_PREFIX}/96`,
        `dynamic-pool ${TAYGA_POOL}`,
        `data-dir ${data}`,
        '',
      ].join('\n'),
    );
    await gateway.run('tayga', ['--mktun', '-c', config]);
    await gateway.ip([
      `link set ${TAYGA_TUN} txqueuelen 10000 up`,
      `route add ${TAYGA_POOL} dev ${TAYGA_TUN}`,
      `route add ${TAYGA_PREFIX}/96 dev ${TAYGA_TUN}`,
      'address add 2001:db8:7::1/64 dev lan0 nodad',
    ]);
    await gateway.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
    await hosts[0].ip([
      'address add 2001:db8:7::11/64 dev eth0 nodad',
      `route add ${TAYGA_PREFIX}/96 via 2001:db8:7::1`,
    ]);
    const words = onForwarderCore(['tayga', '--nodetach', '-c', config]);
    this.#process = gateway.start(words[0], words.slice(1));
    await until('tayga to translate', async () => {
      if (this.#process?.over) throw new Error(this.#process.stderr);
      const ping = await hosts[0].run('ping', ['-c', '1', '-W', '1', this.target], {
        check: false,
      });
      return ping.code === 0;
    });
  }

  async enter(): Promise<Watched> {
    return { pid: this.#process?.pid, tun: TAYGA_TUN };
  }

  async leave(): Promise<void> {}

  async stop(): Promise<void> {
    await this.#process?.stop();
  }
}

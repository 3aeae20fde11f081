/**
 * Whom the traffic goes through: null forwarders in C, and Portfold. All of them run at the same
 * time in the gateway's namespace; a turn is a matter of two policy rules.
 *
 *   pref 250  iif lan0                       → table of the rival whose turn it is
 *   pref 251  iif wan0 to the LAN's networks → the same; the way back of what was not translated
 *   pref 10   iif wan0 to the CE (IPv6)      → the same, for the tunnel
 *   pref 300  iif lan0                       → Portfold's own, when no other has the turn
 *
 * A rival that waits sleeps in poll; Portfold's sweep goes on, and costs it less than a hundredth
 * of its core.
 *
 *   null forwarder            TUN with offloads: superpackets                 address line
 *   null forwarder, plain     TUN without: a packet fits the MTU              address line
 *   null tunnel               encapsulates with segments, decapsulates one by one   map-e line
 */
import { udpBlast } from '../../lab/flows.ts';
import { Gateway, type GatewayOptions } from '../../lab/gateway.ts';
import { configuration, MAP_E } from '../../lab/lines.ts';
import { type Background, type Namespace, until } from '../../lab/netns.ts';
import { builtProgram, LabError } from '../../lab/programs.ts';
import { GATEWAY_LAN_ADDRESS, type Lab, SERVER } from '../../lab/topology.ts';
import { onForwarderCore, pinForwarder } from './cores.ts';
import { type Watched, watchThreads } from './measurement.ts';

const LAN_NETWORKS = ['192.168.7.0/24', '10.64.0.0/16'];
const RULE_OUT = 250;
const RULE_IN = 251;
const RULE_IN_IPV6 = 10;
const TUN_QUEUE_PACKETS = 10_000;
const OFFLOAD_MTU = 65_535;
const PLAIN_MTU = 1500;
/** So much traffic shows which of the gateway's threads is the datapath. */
const RECOGNITION_SECONDS = 1;
const RECOGNITION_TRIES = 8;
/** The datapath has run so long by then, and so many times as long as any other thread. */
const RECOGNITION_RAN_SECONDS = 0.05;
const RECOGNITION_TIMES = 3;

/** Somebody who forwards between LAN and WAN of a lab. */
export interface Rival {
  readonly name: string;
  readonly lab: Lab;
  /** Where its host finds the server, if not at SERVER. */
  readonly target?: string;
  /** Sends the traffic through this rival until `leave`. */
  enter(): Promise<Watched>;
  leave(): Promise<void>;
  stop(): Promise<void>;
}

export type NullMode = 'offload' | 'plain' | 'tunnel';

const NULL_NAMES: Record<NullMode, string> = {
  offload: 'null forwarder',
  plain: 'null forwarder, plain',
  tunnel: 'null tunnel',
};

export class NullForwarder implements Rival {
  readonly name: string;
  readonly lab: Lab;
  readonly #mode: NullMode;
  readonly #tun: string;
  readonly #table: number;
  #process: Background | undefined;

  constructor(lab: Lab, mode: NullMode) {
    this.lab = lab;
    this.name = NULL_NAMES[mode];
    this.#mode = mode;
    this.#tun = `null-${mode}`;
    this.#table = { offload: 91, plain: 92, tunnel: 93 }[mode];
  }

  async start(): Promise<void> {
    const { gateway } = this.lab;
    const flags = {
      offload: [],
      plain: ['--no-offload'],
      tunnel: ['--tunnel', MAP_E.ceAddress, MAP_E.brAddress],
    }[this.#mode];
    const words = onForwarderCore([builtProgram('null-forwarder'), this.#tun, ...flags]);
    const forwarder = gateway.start(words[0], words.slice(1));
    this.#process = forwarder;
    await until(`${this.#tun} to exist`, async () => {
      if (forwarder.over) throw new Error(forwarder.stderr);
      return (await gateway.run('ip', ['link', 'show', this.#tun], { check: false })).code === 0;
    });
    const mtu = this.#mode === 'plain' ? PLAIN_MTU : OFFLOAD_MTU;
    await gateway.ip([
      `link set ${this.#tun} mtu ${mtu} txqueuelen ${TUN_QUEUE_PACKETS} up`,
      `route add default dev ${this.#tun} table ${this.#table}`,
    ]);
    await gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    if (this.#mode !== 'tunnel') return;
    await gateway.ip([`route add ::/0 dev ${this.#tun} table ${this.#table}`]);
    await gateway.sysctl({ 'net.ipv6.conf.all.forwarding': 1 });
  }

  async enter(): Promise<Watched> {
    const pid = this.#process?.pid;
    if (this.#mode === 'tunnel') await this.#tunnelRules('add');
    else await this.#rules('add');
    return { pid, tun: this.#tun };
  }

  async leave(): Promise<void> {
    if (this.#mode === 'tunnel') await this.#tunnelRules('del');
    else await this.#rules('del');
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  async #rules(verb: 'add' | 'del'): Promise<void> {
    await this.lab.gateway.ip([
      `rule ${verb} pref ${RULE_OUT} iif lan0 lookup ${this.#table}`,
      ...LAN_NETWORKS.map(
        (network) => `rule ${verb} pref ${RULE_IN} iif wan0 to ${network} lookup ${this.#table}`,
      ),
    ]);
  }

  /** What the relay sends to the CE address comes as IPv6; before any route of the gateway's own. */
  async #tunnelRules(verb: 'add' | 'del'): Promise<void> {
    const { gateway } = this.lab;
    const out = `rule ${verb} pref ${RULE_OUT} iif lan0 lookup ${this.#table}`;
    const toCe = `iif wan0 to ${MAP_E.ceAddress}`;
    const back = `rule ${verb} pref ${RULE_IN_IPV6} ${toCe} lookup ${this.#table}`;
    await gateway.run('ip', out.split(' '));
    await gateway.run('ip', ['-6', ...back.split(' ')]);
  }
}

/** Lets inet answer the LAN's own addresses, as a null forwarder needs it; the lab knows h1's. */
export async function routeLoadNetwork(lab: Lab): Promise<void> {
  if (lab.line === 'address') {
    await lab.provider.ip(['route add 10.64.0.0/16 via 192.0.2.2']);
    await lab.relay.ip(['route add 10.64.0.0/16 via 192.0.2.5']);
    return;
  }
  // A null tunnel clamps no MSS as Portfold does, so the host keeps to the tunnel's MTU by itself.
  const { ipv4Mtu } = MAP_E;
  await lab.hosts[0].ip([
    `route change default via ${GATEWAY_LAN_ADDRESS} mtu ${ipv4Mtu} advmss ${ipv4Mtu - 40}`,
  ]);
  // Through the tunnel to the CE: what the relay does for the external address.
  await lab.relay.ip(
    LAN_NETWORKS.map(
      (network) =>
        `route add ${network} encap seg6 mode encap.red segs ${MAP_E.ceAddress} dev down0`,
    ),
  );
}

/** The preset, but that sessions stay for five minutes under whatever pressure: they are there to be counted. */
export const KEEPING = ['timers = { other = 300, unanswered = 300 }'];

export interface PortfoldOptions {
  capacity: number;
  /** Encapsulates by itself instead of leaving that to the kernel (map-e). */
  ownEncapsulation?: boolean;
  /** In the report. */
  name?: string;
  /** Lines of [policy]; absent: KEEPING. */
  policy?: readonly string[];
  realtime?: boolean;
}

export class Portfold implements Rival {
  readonly name: string;
  readonly lab: Lab;
  readonly gateway: Gateway;
  #tid = 0;
  #tun = '';
  encapsulation = '';

  constructor(lab: Lab, options: PortfoldOptions) {
    this.lab = lab;
    this.name = options.name ?? 'portfold';
    const { capacity, policy = KEEPING, realtime } = options;
    const gatewayOptions: GatewayOptions = { capacity, policy, realtime };
    if (options.ownEncapsulation) {
      gatewayOptions.config = configuration(lab.line, {
        runtimeDirectory: 'DIR',
        capacity,
        policy,
        realtime,
      }).replace('type = "map-e"', 'type = "map-e"\nencapsulation = "own"');
    }
    this.gateway = new Gateway(lab, gatewayOptions);
  }

  /** Starts it as a user would, and moves its datapath thread to the forwarder's core. */
  async start(): Promise<void> {
    const status = await this.gateway.start();
    this.#tun = status.tun;
    this.encapsulation = status.lines[0].encapsulation;
    const tid = await this.#recognize(this.gateway.process.pid);
    this.#tid = tid;
    await pinForwarder(tid);
  }

  /** Changes a setting of the host that it runs on. */
  async try(change: (gateway: Namespace, tun: string) => Promise<unknown>): Promise<void> {
    await change(this.lab.gateway, this.#tun);
  }

  /** Sends packets until one thread beside the main one is plainly the one that moves them. */
  async #recognize(pid: number): Promise<number> {
    const watch = watchThreads(pid);
    for (let attempt = 0; attempt < RECOGNITION_TRIES; attempt++) {
      await udpBlast(this.lab.hosts[0], { to: SERVER, port: 9, seconds: RECOGNITION_SECONDS });
      const [most, next] = watch.look().filter(({ tid }) => tid !== pid);
      const rest = Math.max(RECOGNITION_RAN_SECONDS, RECOGNITION_TIMES * (next?.seconds ?? 0));
      if (most !== undefined && most.seconds >= rest) return most.tid;
    }
    throw new LabError('BENCH_NO_DATAPATH', 1, 'no thread of the gateway stands out by its work');
  }

  async enter(): Promise<Watched> {
    return { pid: this.gateway.process.pid, tid: this.#tid, tun: this.#tun };
  }

  async leave(): Promise<void> {}

  async stop(): Promise<void> {
    if (this.gateway.running) await this.gateway.stop();
  }
}

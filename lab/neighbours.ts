/**
 * More customers of the lab's provider: another house each, with a gateway on a MAP-E line of its own.
 *
 *   h 192.168.7.11 ── lan0  gateway  wan0 ──── gw1  provider ─── …       240b:10:1234:5700::/56: the same IPv4 address,
 *                                                                        the next PSID
 *   h 192.168.7.11 ── lan0  gateway  wan0 ──── gw2                       240b:10:1235:5600::/56: another address
 *
 * The relay carries their IPv4 too: by address, and on a shared address by the PSID in the port, which no
 * route of the kernel knows, so that nftables marks it.
 */
import { MAP_E } from './lines.ts';
import { Namespace } from './netns.ts';
import { configureHost, LAN_PREFIX, type Lab, prepare } from './topology.ts';

export interface NeighbourLine {
  prefix: string;
  externalAddress: string;
  ceAddress: string;
  psid: number;
}

/** Worked out by hand from the rule of v6 Plus, as the lab's own line. */
export const FLATMATE: NeighbourLine = {
  prefix: '240b:10:1234:5700::/56',
  externalAddress: MAP_E.externalAddress,
  ceAddress: '240b:10:1234:5700:6a:4812:3400:5700',
  psid: 87,
};
export const NEXT_DOOR: NeighbourLine = {
  prefix: '240b:10:1235:5600::/56',
  externalAddress: '106.72.18.53',
  ceAddress: '240b:10:1235:5600:6a:4812:3500:5600',
  psid: 86,
};

/**
 * Adds a house to a lab with a MAP-E line. It goes with the lab.
 * @param number 1, 2, …; @returns the lab as it is seen from there: its gateway and its host
 */
export async function addNeighbour(lab: Lab, number: number, line: NeighbourLine): Promise<Lab> {
  const gateway = new Namespace(`${lab.name}-gw${number}`);
  const host = new Namespace(`${lab.name}-h-gw${number}`);
  const removeLab = lab.remove;
  lab.remove = () => {
    host.remove();
    gateway.remove();
    removeLab();
  };
  await Promise.all([gateway.create(), host.create()]);
  await Promise.all([prepare(gateway), prepare(host)]);
  const port = `gw${number}`;
  const link = `2001:db8:feed:${number}:`;
  await gateway.ip([
    `link add lan0 type veth peer name eth0 netns ${host.name}`,
    'link set lan0 up',
    `address add ${LAN_PREFIX}1/24 dev lan0`,
    `link add wan0 type veth peer name ${port} netns ${lab.provider.name}`,
    'link set wan0 up',
    'address add fe80::2/64 dev wan0 nodad',
    `address add ${link}:2/64 dev wan0 nodad`,
    'route add default via fe80::1 dev wan0',
  ]);
  await Promise.all([
    configureHost(host, `${LAN_PREFIX}11`),
    lab.provider.ip([
      `link set ${port} up`,
      `address add fe80::1/64 dev ${port} nodad`,
      `address add ${link}:1/64 dev ${port} nodad`,
      `route add ${line.prefix} via ${link}:2 dev ${port}`,
    ]),
    // `portfold br` knows them by the rule.
    lab.border === undefined && leadTo(lab.relay, line),
  ]);
  return { ...lab, gateway, hosts: [host], load: host };
}

const leadTo = (relay: Namespace, line: NeighbourLine): Promise<void> =>
  line.externalAddress === MAP_E.externalAddress
    ? shareAddress(relay, line)
    : relay.ip([`route add ${encapsulating(line)}`]);

const encapsulating = ({ externalAddress, ceAddress }: NeighbourLine): string =>
  `${externalAddress}/32 encap seg6 mode encap.red segs ${ceAddress} dev down0`;

/** Offset 4 and 8 bits of PSID: the second and third hexadecimal digit of a port. */
async function shareAddress(relay: Namespace, line: NeighbourLine): Promise<void> {
  const table = 1000 + line.psid;
  await relay.ip([
    `route add ${encapsulating(line)} table ${table}`,
    `rule add fwmark ${line.psid} lookup ${table}`,
  ]);
  const ports = `ip daddr ${line.externalAddress} th dport & 0x0ff0 == ${line.psid << 4}`;
  const rules = [
    `table ip psid${line.psid} {`,
    'chain by-port {',
    'type filter hook prerouting priority mangle;',
    `${ports} meta mark set ${line.psid}`,
    '}',
    '}',
    '',
  ].join('\n');
  await relay.run('nft', ['-f', '-'], { input: rules });
}

/**
 * The kernel as a NAT on 240 ports, in the ways that people use, and what it holds.
 *
 *   one range   snat to ADDRESS:4096-4335. The best the kernel can do, with ports that lie side by
 *               side; no MAP-E line has such
 *   OpenWrt     one snat rule for each of the 15 blocks and protocol, as its map.sh writes them.
 *               The first rule takes every packet, so that 16 of the 240 ports are used
 *   numgen      snat to ADDRESS : numgen inc mod 240 map { … }: every port is used, but a flow
 *               whose port is taken gets no other
 *
 * They stand on the lab's address line: the kernel's own encapsulation is not what is looked at.
 */
import { ADDRESS, portRanges } from './lines.ts';
import type { Lab } from './topology.ts';

export const PORTS = 240;
const FIRST_PORT = 4096;

/** Port blocks of the lab's MAP-E line. */
const blocks = portRanges('map-e');
const ports = blocks.flatMap(([first, last]) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i),
);

const table = (rules: readonly string[]): string =>
  `table ip kernel_nat {
  chain post {
    type nat hook postrouting priority srcnat;
    ${rules.join('\n    ')}
  }
}`;

const external = ADDRESS.externalAddress;
const numbered = ports.map((port, i) => `${i} : ${port}`).join(', ');

/** Rule sets of the kernel by name. */
export const KERNEL_RULES = {
  'one range': table([
    `oifname "wan0" meta l4proto { tcp, udp } snat to ${external}:${FIRST_PORT}-${FIRST_PORT + PORTS - 1}`,
  ]),
  OpenWrt: table(
    blocks.flatMap(([first, last]) =>
      ['icmp', 'tcp', 'udp'].map(
        (protocol) =>
          `oifname "wan0" meta l4proto ${protocol} snat to ${external}:${first}-${last}`,
      ),
    ),
  ),
  numgen: table([
    `oifname "wan0" meta l4proto { tcp, udp } snat to ${external} : numgen inc mod ${ports.length} map { ${numbered} }`,
  ]),
} as const;

/** Lets the kernel of the gateway's namespace forward by one of these rule sets. */
export async function startKernelNat(lab: Lab, rules: string): Promise<void> {
  await lab.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
  // What belongs to no flow must not run in circles between gateway and provider.
  await lab.gateway.ip([`route add blackhole ${external}/32`]);
  await lab.gateway.run('nft', ['-f', '-'], { input: rules });
}

/** External ports that the kernel holds towards a remote address now, by UDP. */
export async function kernelPortsTowards(lab: Lab, remote: string): Promise<number> {
  const words = ['-L', '-p', 'udp', '--orig-dst', remote];
  const { stdout } = await lab.gateway.run('conntrack', words, { check: false });
  const answers = [...stdout.matchAll(/ src=\S+ dst=\S+ sport=\d+ dport=(\d+)/g)];
  // Two tuples a line: the second is what the outside answers to, and its destination our port.
  return new Set(answers.filter((_, i) => i % 2 === 1).map(([, port]) => port)).size;
}

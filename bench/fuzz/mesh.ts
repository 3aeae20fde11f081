/**
 * The neighbours of a line in a mesh, and whose a packet is: computed from scratch, as an oracle for core/translate/mesh.ts.
 *
 *   203.0.113.X, PSID P    240b:10:XPP::/48      our own address is among them, with PSID 0x34
 *   198.51.100.X, PSID P   240b:11:XPP::/48      the servers
 *
 * Eight EA bits of address, eight of PSID, offset 4; interface identifiers of draft-ietf-softwire-map-03:
 *
 *   | 240b 0010 | X | P | 0 0 | 0 | IPv4 address 4 | 0 P | 0 |
 */
import { IID_DRAFT03 } from '../../core/mape/address.ts';
import { type MapRule, PSID_FROM_EA } from '../../core/mape/rule.ts';
import type { MeshRules } from '../../core/translate/mesh.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { headerBytes, i32, put32, u16 } from './build.ts';

const PREFIXES: readonly (readonly [ipv4: number, ipv6: number])[] = [
  [parseIpv4('203.0.113.0'), 0x240b0010],
  [parseIpv4('198.51.100.0'), 0x240b0011],
];
/** Ports below belong to nobody: four offset bits of zero. */
const FIRST_PORT = 4096;
const ICMP_ERRORS = [3, 4, 5, 11, 12];

export const MESH: MeshRules = {
  iidFormat: IID_DRAFT03,
  rules: PREFIXES.map(([ipv4, prefix]): MapRule => {
    const ipv6 = new Uint8Array(16);
    put32(ipv6, 0, prefix);
    return {
      ipv6,
      ipv6Length: 32,
      ipv4,
      ipv4Length: 24,
      eaLength: 16,
      offsetBits: 4,
      psid: PSID_FROM_EA,
      forwarding: true,
    };
  }),
};

/** The tunnel address of whoever owns the source (side 0) or destination (side 1) of a packet; undefined if nobody does. */
export function neighbourOf(packet: Uint8Array, side: 0 | 1): Uint8Array | undefined {
  const address = i32(packet, side === 0 ? 12 : 16);
  const prefix = PREFIXES.find(([ipv4]) => (address & 0xffffff00) === ipv4);
  const port = portOf(packet, side);
  if (prefix === undefined || port < FIRST_PORT) return undefined;
  const psid = (port >> 4) & 0xff;
  const ce = new Uint8Array(16);
  put32(ce, 0, prefix[1]);
  ce[4] = address & 0xff;
  ce[5] = psid;
  put32(ce, 9, address);
  ce[14] = psid;
  return ce;
}

/** The port that tells whose it is; -1 if there is none. An error goes back the way of the packet that it quotes. */
function portOf(packet: Uint8Array, side: 0 | 1): number {
  const l4 = headerBytes(packet);
  if (packet[9] !== 1 || !ICMP_ERRORS.includes(packet[l4])) return portInHeader(packet, side);
  const quoted = packet.subarray(l4 + 8);
  if (quoted.length < 20 || headerBytes(quoted) < 20) return portInHeader(packet, side);
  return portInHeader(quoted, side === 0 ? 1 : 0);
}

function portInHeader(packet: Uint8Array, side: 0 | 1): number {
  const l4 = headerBytes(packet);
  if ((u16(packet, 6) & 0x1fff) !== 0) return -1;
  if (packet[9] === 6 || packet[9] === 17)
    return l4 + 4 <= packet.length ? u16(packet, l4 + 2 * side) : -1;
  const isEcho = packet[9] === 1 && l4 + 8 <= packet.length && (packet[l4] & ~8) === 0;
  return isEcho ? u16(packet, l4 + 4) : -1;
}

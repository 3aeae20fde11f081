/** IPv6 around packets, as the relay sends it: whole, and in fragments. */
import type { Line } from '../../core/translate/context.ts';
import { writeI32, writeU16 } from '../../core/wire/bytes.ts';

/** The 16 bytes of an address that is written out in eight groups. */
export const ipv6 = (text: string): Uint8Array =>
  Uint8Array.from(text.split(':').flatMap((group) => [0, 2].map((at) => hex(group, at))));

const hex = (group: string, at: number): number =>
  Number.parseInt(group.padStart(4, '0').slice(at, at + 2), 16);

export const CE = ipv6('2001:db8:12:3400:0:cb00:7105:34');
export const BR = ipv6('2001:db8:ffff:0:0:0:0:64');
export const STRANGER = ipv6('2001:db8:dead:0:0:0:0:1');

/** A line that puts IPv4 into IPv6 by itself. */
export const OWN_TUNNEL: Partial<Line> = {
  ceAddress: CE,
  brAddress: BR,
  encapsulatesHere: true,
};

export interface Outer {
  from?: Uint8Array;
  to?: Uint8Array;
  trafficClass?: number;
  nextHeader?: number;
}

/** Puts an IPv6 header in front, from the relay to us unless told otherwise. */
export function inTunnel(payload: Uint8Array, outer: Outer = {}): Uint8Array {
  const bytes = new Uint8Array(40 + payload.length);
  const trafficClass = outer.trafficClass ?? 0;
  bytes[0] = 0x60 | (trafficClass >> 4);
  bytes[1] = (trafficClass & 15) << 4;
  writeU16(bytes, 4, payload.length);
  bytes[6] = outer.nextHeader ?? 4;
  bytes[7] = 60;
  bytes.set(outer.from ?? BR, 8);
  bytes.set(outer.to ?? CE, 24);
  bytes.set(payload, 40);
  return bytes;
}

/** One fragment: bytes `from` to `to` of `whole`. */
export function tunnelFragment(
  whole: Uint8Array,
  from: number,
  to: number,
  id: number,
  outer: Outer & { more?: boolean; innerHeader?: number } = {},
): Uint8Array {
  const part = new Uint8Array(8 + to - from);
  part[0] = outer.innerHeader ?? 4;
  writeU16(part, 2, from | ((outer.more ?? to < whole.length) ? 1 : 0));
  writeI32(part, 4, id);
  part.set(whole.subarray(from, to), 8);
  return inTunnel(part, { nextHeader: 44, ...outer });
}

/** The fragments of a packet, each with at most `step` bytes of it (a multiple of 8). */
export function tunnelFragments(
  whole: Uint8Array,
  step: number,
  id: number,
  outer: Outer = {},
): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += step)
    parts.push(tunnelFragment(whole, at, Math.min(whole.length, at + step), id, outer));
  return parts;
}

/**
 * The fragments that came out, by the datagram that was sent in them: together they must be one datagram with a right checksum.
 *
 * Only of datagrams that nothing else was mixed into: not mutated, not in a batch with others, not begun before a restart.
 */
import { headerBytes, i32, isTransportRight, put16, u16 } from './build.ts';

const WAITING_MAX = 500;

export class Datagrams {
  /** Datagrams that came out whole. */
  joined = 0;
  private readonly parts = new Map<number, Uint8Array[]>();
  private readonly spoiled = new Set<number>();
  /** The highest number that was seen, and up to which all are forgotten. */
  private highest = 0;
  private forgotten = 0;

  /** Notes that a fragment of this datagram is on its way; 0 is none. @param isSpoiled what comes out of it is not to be joined */
  note(datagram: number, isSpoiled: boolean): void {
    if (datagram > this.highest) this.highest = datagram;
    if (isSpoiled && datagram !== 0) this.spoiled.add(datagram);
  }

  /** Forgets all that were begun. */
  forget(): void {
    this.parts.clear();
    this.forgotten = this.highest;
  }

  /** Takes a packet that came out for a fragment; says what is wrong with the datagram, or undefined. */
  add(datagram: number, output: Uint8Array): string | undefined {
    if (datagram <= this.forgotten || this.spoiled.has(datagram)) return undefined;
    if (output[9] === 1 && output[headerBytes(output)] === 3) return undefined;
    const parts = this.parts.get(datagram) ?? [];
    parts.push(output);
    this.parts.set(datagram, parts);
    if (this.parts.size > WAITING_MAX) this.parts.delete(this.parts.keys().next().value as number);
    const whole = joined(parts);
    if (whole === undefined) return undefined;
    if (new Set(parts.map((part) => `${u16(part, 4)} ${i32(part, 12)} ${i32(part, 16)}`)).size > 1)
      return 'the fragments of one datagram came out as those of several';
    if (!isTransportRight(whole)) return `a datagram of ${parts.length} fragments came out wrong`;
    this.joined++;
    this.parts.delete(datagram);
    return undefined;
  }
}

/** The packet that the fragments make, or undefined while some are missing or overlap. */
function joined(parts: readonly Uint8Array[]): Uint8Array | undefined {
  const offset = (part: Uint8Array): number => (u16(part, 6) & 0x1fff) * 8;
  const sorted = [...parts].sort((a, b) => offset(a) - offset(b));
  let length = 0;
  for (const part of sorted) {
    if (offset(part) !== length) return undefined;
    length += part.length - headerBytes(part);
  }
  if ((u16(sorted[sorted.length - 1], 6) & 0x2000) !== 0) return undefined;
  const header = headerBytes(sorted[0]);
  const whole = new Uint8Array(header + length);
  whole.set(sorted[0].subarray(0, header));
  for (const part of sorted) whole.set(part.subarray(headerBytes(part)), header + offset(part));
  put16(whole, 2, whole.length);
  return whole;
}

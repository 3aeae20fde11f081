/**
 * PSID arithmetic: which ports of a shared IPv4 address belong to whom (RFC 7597 section 5.1).
 *
 *     0                   1
 *     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
 *    +-------+---------------+-------+
 *    |   i   |     PSID      |   j   |     port = i << (16 - a)  |  PSID << m  |  j
 *    +-------+---------------+-------+
 *    |a bits |    k bits     |m bits |     a + k + m = 16
 *    +-------+---------------+-------+
 *
 * RFC letter → name here:  a → offsetBits, k → psidBits, m → contiguousBits, i → block index, j →
 * index in the block.
 *
 * Invariants
 *   - With offsetBits > 0 a port whose top `offsetBits` are zero belongs to nobody: that excludes
 *     the system ports.
 *   - With offsetBits = 0 nothing is excluded by the formula, so PSID 0 holds port 0. Port 0 cannot
 *     be used as a source port; it is never in a set made here.
 *   - With psidBits = 0 the set is all that the offset leaves. Whoever owns a whole address passes
 *     offsetBits = 0.
 *
 * It does not know about addresses; rule.ts and ce.ts do.
 */
export const PORT_BITS = 16;
/** Used when neither the rule nor DHCPv6 names an offset (RFC 7597 section 5.1). */
export const OFFSET_BITS_DEFAULT = 6;
/** The widest offset that a rule can carry (RFC 7598 section 4.5). */
export const OFFSET_BITS_MAX = 15;

/** Whether the three fields fit into a port: 0 <= a <= 15, k >= 0 and a + k <= 16. */
export const portBitsFit = (offsetBits: number, psidBits: number): boolean =>
  offsetBits >= 0 &&
  offsetBits <= OFFSET_BITS_MAX &&
  psidBits >= 0 &&
  offsetBits + psidBits <= PORT_BITS;

/** The PSID that `port` carries. Meaningful only where `portIsAssigned`. */
export const psidOfPort = (port: number, offsetBits: number, psidBits: number): number =>
  (port >>> (PORT_BITS - offsetBits - psidBits)) & ((1 << psidBits) - 1);

/**
 * Whether any PSID owns `port`: not port 0, and not below the first block when there is an offset.
 */
export const portIsAssigned = (port: number, offsetBits: number): boolean =>
  port !== 0 && (offsetBits === 0 || port >>> (PORT_BITS - offsetBits) !== 0);

/** Whether `port` belongs to the set of `psid`. */
export const portInSet = (
  port: number,
  offsetBits: number,
  psidBits: number,
  psid: number,
): boolean => portIsAssigned(port, offsetBits) && psidOfPort(port, offsetBits, psidBits) === psid;

/** The port at block `i`, place `j`. The caller keeps i, psid and j within their fields. */
export const portAt = (
  i: number,
  psid: number,
  j: number,
  offsetBits: number,
  psidBits: number,
): number => (i << (PORT_BITS - offsetBits)) | (psid << (PORT_BITS - offsetBits - psidBits)) | j;

/** The block index i of a port. */
export const blockOfPort = (port: number, offsetBits: number): number =>
  port >>> (PORT_BITS - offsetBits);

/** The place j of a port in its block. */
export const placeOfPort = (port: number, offsetBits: number, psidBits: number): number =>
  port & ((1 << (PORT_BITS - offsetBits - psidBits)) - 1);

/** How many ports the set holds, port 0 left out. */
export function portCount(offsetBits: number, psidBits: number, psid: number): number {
  const blocks = (1 << offsetBits) - firstBlock(offsetBits);
  const ports = blocks << (PORT_BITS - offsetBits - psidBits);
  return holdsPortZero(offsetBits, psid) ? ports - 1 : ports;
}

/**
 * The set as inclusive ranges, ascending. Blocks that touch (psidBits = 0) are one range, and a
 * range never starts at port 0. Empty only for a set that holds nothing but port 0 (offsetBits 0,
 * psidBits 16, PSID 0).
 */
export function portRanges(offsetBits: number, psidBits: number, psid: number): [number, number][] {
  const ranges: [number, number][] = [];
  const places = 1 << (PORT_BITS - offsetBits - psidBits);
  for (let i = firstBlock(offsetBits); i < 1 << offsetBits; i++) {
    const start = portAt(i, psid, 0, offsetBits, psidBits);
    const end = start + places - 1;
    const last = ranges[ranges.length - 1];
    if (last !== undefined && last[1] + 1 === start) last[1] = end;
    else if (end > 0) ranges.push([start === 0 ? 1 : start, end]);
  }
  return ranges;
}

/** The set as single ports, ascending. */
export function portArray(offsetBits: number, psidBits: number, psid: number): Uint16Array {
  return portsOfRanges(portRanges(offsetBits, psidBits, psid));
}

/** Inclusive ranges as single ports, in the order of the ranges. */
export function portsOfRanges(ranges: readonly (readonly [number, number])[]): Uint16Array {
  let count = 0;
  for (const [first, last] of ranges) count += last - first + 1;
  const ports = new Uint16Array(count);
  let at = 0;
  for (const [first, last] of ranges)
    for (let port = first; port <= last; port++) ports[at++] = port;
  return ports;
}

const firstBlock = (offsetBits: number): number => (offsetBits === 0 ? 0 : 1);

const holdsPortZero = (offsetBits: number, psid: number): boolean => offsetBits === 0 && psid === 0;

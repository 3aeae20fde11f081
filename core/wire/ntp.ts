/**
 * NTP recognised by its port and its first bytes (RFC 5905 sections 7.3 and 9.2).
 *
 *   |LI |VN   |Mode |    Stratum    |     Poll      |   Precision   |    0
 *   | root delay, root dispersion, reference id, four timestamps    |    4
 *   | extension fields (RFC 7822) and MAC, each in whole words      |   48
 *
 * A request is mostly zeros or, from a client that tells nothing about itself, mostly random: its
 * bytes alone say too little. So one side must have port 123, and the mode must fit the direction:
 *
 *   to port 123      1 symmetric active, 3 client
 *   from port 123    2 symmetric passive, 4 server
 *
 * Random bytes of a fitting length pass on these ports once in 50.
 */
export const NTP_PORT = 123;
export const NTP_BYTES_MIN = 48;

const STRATUM = 1;
const VERSION_MAX = 4;
/** 16 is "not synchronised"; higher values are reserved. */
const STRATUM_MAX = 16;

/** Bit n: mode n. */
const REQUEST_MODES = (1 << 1) | (1 << 3);
const ANSWER_MODES = (1 << 2) | (1 << 4);

/** True if the `length` bytes at `at` are an NTP message between these two ports. */
export function isNtp(
  bytes: Uint8Array,
  at: number,
  length: number,
  remotePort: number,
  internalPort: number,
): boolean {
  let modes = 0;
  if (remotePort === NTP_PORT) modes |= REQUEST_MODES;
  if (internalPort === NTP_PORT) modes |= ANSWER_MODES;
  if (modes === 0 || length < NTP_BYTES_MIN || (length & 3) !== 0) return false;
  const version = (bytes[at] >> 3) & 7;
  return (
    version >= 1 &&
    version <= VERSION_MAX &&
    (modes & (1 << (bytes[at] & 7))) !== 0 &&
    bytes[at + STRATUM] <= STRATUM_MAX
  );
}

/** A packet on its way into the engines: its bytes, and what its virtio header says of them. */
import { headerBytes, put16, u16 } from './build.ts';

export interface Input {
  bytes: Uint8Array;
  flags: number;
  gsoType: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
  /** Number of the datagram that this is a fragment of, or 0. */
  datagram: number;
}

/** A packet with an empty virtio header. */
export const plain = (bytes: Uint8Array): Input => ({
  bytes,
  flags: 0,
  gsoType: 0,
  gsoSize: 0,
  csumStart: 0,
  csumOffset: 0,
  datagram: 0,
});

/** Replaces the transport checksum by the pseudo-header sum and says so in the virtio header. */
export function makePartial(input: Input): Input {
  const { bytes } = input;
  const l4 = headerBytes(bytes);
  const offset = bytes[9] === 6 ? 16 : 6;
  let total = bytes[9] + u16(bytes, 2) - l4;
  for (let i = 12; i < 20; i += 2) total += u16(bytes, i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  put16(bytes, l4 + offset, total);
  return Object.assign(input, { flags: 1, csumStart: l4, csumOffset: offset });
}

/** Computes the header checksum again. */
export function refreshed(input: Input): Input {
  const { bytes } = input;
  put16(bytes, 10, 0);
  let total = 0;
  for (let i = 0; i < headerBytes(bytes); i += 2) total += u16(bytes, i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  put16(bytes, 10, ~total & 0xffff);
  return input;
}

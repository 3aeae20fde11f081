/** A packet on its way into the engines: its bytes, and what its virtio header says of them. */
import { headerBytes, put16, sum, u16 } from './build.ts';

export interface Input {
  bytes: Uint8Array;
  flags: number;
  gsoType: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
  /** Number of the datagram that this is a fragment of, or 0. */
  datagram: number;
  /** Number of the tunnel packet that this is a fragment of; absent or 0 for others. */
  outerDatagram?: number;
  /** The IPv4 packet that was put into the tunnel, whole. */
  inner?: Uint8Array;
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
  put16(bytes, l4 + offset, sum(bytes, 12, 20, bytes[9] + u16(bytes, 2) - l4));
  input.flags = 1;
  input.csumStart = l4;
  input.csumOffset = offset;
  return input;
}

/** Computes the header checksum again. */
export function refreshed(input: Input): Input {
  const { bytes } = input;
  put16(bytes, 10, 0);
  put16(bytes, 10, ~sum(bytes, 0, headerBytes(bytes)) & 0xffff);
  return input;
}

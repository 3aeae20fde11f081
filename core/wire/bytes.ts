/**
 * Big-endian reads and writes on a byte buffer.
 *
 * Every function takes `(bytes, at)`; the caller has checked that the bytes are there. A 32-bit word is signed on purpose: it then
 * stays a small integer in V8, and addresses and sequence numbers need equality and wrapping differences only.
 */
export const readU16 = (bytes: Uint8Array, at: number): number => (bytes[at] << 8) | bytes[at + 1];

export const readI32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function writeU16le(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

/** Little-endian 16 bits, as the fields of a virtio header are. */
export const readU16le = (bytes: Uint8Array, at: number): number =>
  bytes[at] | (bytes[at + 1] << 8);

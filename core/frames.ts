/**
 * A batch of packets: one byte buffer and four words per packet.
 *
 * The device fills it, the engine rewrites it in place, the device writes it back. Nothing is allocated per packet.
 *
 *   bytes:   | headroom >= 64 | virtio_net_hdr 12 | IP packet ...... | headroom | virtio ... |
 *                             ^ offset - 12       ^ offset (aligned to 4)
 *
 *   descriptor, 4 words:  0 offset of the IP header in `bytes`
 *                         1 length of the IP packet (a superpacket may have up to 65,535 bytes)
 *                         2 offload: gsoSize << 16 | gsoType << 8 | flags, as read from the virtio header
 *                         3 verdict: >= 0 the device writes the packet (verdict.ts says how), < 0 it does not (~verdict is the reason)
 *
 * The engine may lower `offset` by up to HEADROOM - VNET_HEADER_BYTES - 12 bytes (an ICMP answer is built in front of the
 * packet that caused it); it then clears the virtio header at the new place with `clearOffload`.
 *
 * The virtio header in `bytes` is what the device writes; word 2 is a copy for quick decisions.
 * Layout of virtio_net_hdr (little endian, 12 bytes with num_buffers):
 *   0 flags u8 | 1 gso_type u8 | 2 hdr_len u16 | 4 gso_size u16 | 6 csum_start u16 | 8 csum_offset u16 | 10 num_buffers u16
 */
export const DESCRIPTOR_WORDS = 4;
export const FRAME_OFFSET = 0;
export const FRAME_LENGTH = 1;
export const FRAME_OFFLOAD = 2;
export const FRAME_VERDICT = 3;

/** Bytes of the virtio header that stands directly in front of each packet. */
export const VNET_HEADER_BYTES = 12;
/** Free bytes in front of each packet, virtio header included. */
export const HEADROOM_BYTES = 128;

export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
export const VNET_HDR_LEN = 2;
export const VNET_GSO_SIZE = 4;
export const VNET_CSUM_START = 6;
export const VNET_CSUM_OFFSET = 8;

/** virtio_net_hdr.flags: the transport checksum holds the folded pseudo-header sum only. */
export const VNET_NEEDS_CSUM = 1;
/** virtio_net_hdr.flags: the transport checksum is complete and was verified. */
export const VNET_DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;

/** One batch. `bytes` and `descriptors` are registered once with a device and never replaced. */
export class Frames {
  readonly bytes: Uint8Array;
  readonly descriptors: Int32Array;
  /** Frames in the batch now: those that were read, and those that the engine appended. */
  count = 0;
  /** Frames that a device may read into the batch. */
  readonly capacity: number;
  /** Bytes that a device may read into; what lies behind is for frames that the engine appends. */
  readonly readBytes: number;
  private readonly framesMax: number;
  private spareAt: number;

  /**
   * @param bufferBytes, capacity for reading
   * @param spareBytes, spareFrames room for frames that the engine appends: fragments, and what waited for its first fragment
   */
  constructor(bufferBytes: number, capacity: number, spareBytes = 0, spareFrames = 0) {
    this.framesMax = capacity + spareFrames;
    this.bytes = new Uint8Array(new ArrayBuffer(bufferBytes + spareBytes));
    this.descriptors = new Int32Array(new ArrayBuffer(this.framesMax * DESCRIPTOR_WORDS * 4));
    this.capacity = capacity;
    this.readBytes = bufferBytes;
    this.spareAt = bufferBytes;
  }

  /** Begins with a batch of `count` frames just read. */
  begin(count: number): void {
    this.count = count;
    this.spareAt = this.readBytes;
  }

  /**
   * Room for a packet of `length` bytes with an empty virtio header, for a frame that is there already. Returns its offset, or -1 when
   * there is none.
   */
  reserve(length: number): number {
    const offset = (this.spareAt + HEADROOM_BYTES + 15) & ~15;
    const { bytes } = this;
    if (offset + length > bytes.length) return -1;
    this.spareAt = offset + length;
    for (let i = offset - VNET_HEADER_BYTES; i < offset; i++) bytes[i] = 0;
    return offset;
  }

  /**
   * Appends a frame of `length` bytes with an empty virtio header and verdict 0. Returns the first word of its descriptor, or -1 when
   * there is no room. The bytes are the caller's to write.
   */
  append(length: number): number {
    if (this.count === this.framesMax) return -1;
    const offset = this.reserve(length);
    if (offset < 0) return -1;
    const descriptor = this.count++ * DESCRIPTOR_WORDS;
    const { descriptors } = this;
    descriptors[descriptor + FRAME_OFFSET] = offset;
    descriptors[descriptor + FRAME_LENGTH] = length;
    descriptors[descriptor + FRAME_OFFLOAD] = 0;
    descriptors[descriptor + FRAME_VERDICT] = 0;
    return descriptor;
  }
}

/** An engine over plain memory, with packets in and packets out: what unit tests of the translation stand on. */
import { Engine } from '../../core/engine.ts';
import { DESCRIPTOR_WORDS, Frames, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import type { Policy, Profile } from '../../core/policy.ts';
import { Arena, arenaBytes } from '../../core/table/arena.ts';
import { COUNTER_DROPS } from '../../core/table/counters.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import type { Line } from '../../core/translate/context.ts';
import { Drop } from '../../core/verdict.ts';
import { writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { formatIpv4, parseIpv4 } from '../../core/wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../core/wire/ipv6.ts';
import { standardPolicy } from '../../policies/standard.ts';

export const EXTERNAL = '203.0.113.5';

/** The 240 ports of PSID 0x34 at offset 4. */
export function mapePorts(): Uint16Array {
  const ports: number[] = [];
  for (let block = 1; block < 16; block++)
    for (let j = 0; j < 16; j++) ports.push((block << 12) | (0x34 << 4) | j);
  return Uint16Array.from(ports);
}

/** A xorshift generator, so that a failure can be repeated from its seed. */
export function seededFill(seed: number): (words: Int32Array) => void {
  let state = seed | 1;
  return (words) => {
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[i] = state;
    }
  };
}

/** What the addon does in C, for tests: sums from `start` to the end of the packet. */
function completeByHand(
  bytes: Uint8Array,
  ip: number,
  start: number,
  offset: number,
  length: number,
): boolean {
  const sum = ~sumBytes(bytes, ip + start, length - start) & 0xffff;
  writeU16(bytes, ip + start + offset, sum === 0 && offset === 6 ? 0xffff : sum);
  return true;
}

/** The policy with another first profile. */
export const withProfile = (policy: Policy, more: Partial<Profile>): Policy => ({
  ...policy,
  profiles: [{ ...policy.profiles[0], ...more }, ...policy.profiles.slice(1)],
});

export interface BenchOptions {
  capacity?: number;
  ports?: Uint16Array;
  policy?: Policy;
  line?: Partial<Line>;
  seed?: number;
  /** Records of a predecessor, to be restored by the test. */
  arena?: ArrayBuffer;
  now?: number;
}

export class Bench {
  readonly table: NatTable;
  readonly engine: Engine;
  readonly frames = new Frames(1 << 20, 64, 1 << 18, 128);
  now = 1_000_000;

  constructor(options: BenchOptions = {}) {
    this.now = options.now ?? this.now;
    const set = new PortSet(options.ports ?? mapePorts());
    const capacity = options.capacity ?? 4096;
    const shape = { capacity, portCount: set.count, externalCount: 1 };
    const arena = new Arena(options.arena ?? new ArrayBuffer(arenaBytes(shape)), shape);
    if (options.arena === undefined)
      arena.format(this.now, [parseIpv4(EXTERNAL)], new Int32Array(5));
    const random = new RandomSource(seededFill(options.seed ?? 42));
    const policy = options.policy ?? standardPolicy('home');
    this.table = new NatTable(makeParts(arena, set, random), policy, this.now);
    const line: Line = {
      externalAddress: parseIpv4(EXTERNAL),
      externalIndex: 0,
      mtu: 1460,
      restoreHopsOutbound: 0,
      restoreHopsInbound: 0,
      isShared: true,
      fragmentsHere: true,
      ...options.line,
    };
    const lans = [
      {
        address: parseIpv4('192.168.1.0'),
        mask: 0xffffff00 | 0,
        gatewayAddress: parseIpv4('192.168.1.1'),
      },
      {
        address: parseIpv4('10.0.0.0'),
        mask: 0xff000000 | 0,
        gatewayAddress: parseIpv4('10.0.0.1'),
      },
    ];
    this.engine = new Engine(this.table, line, lans, this.frames, completeByHand);
  }

  /** Lets `seconds` pass, sweeping as the datapath does. */
  pass(seconds: number): void {
    for (let left = seconds * 1000; left > 0; left -= 250) {
      this.now += Math.min(left, 250);
      this.engine.advance(this.now);
    }
  }

  /** Sends one packet through; what comes out, or the name of the reason why nothing does. */
  send(packet: Uint8Array, offload = 0): Uint8Array | keyof typeof Drop {
    const { bytes, descriptors } = this.frames;
    bytes.set(packet, HEADROOM_BYTES);
    descriptors[0] = HEADROOM_BYTES;
    descriptors[1] = packet.length;
    descriptors[2] = offload;
    this.engine.process(1, this.now);
    const verdict = descriptors[3];
    if (verdict < 0) {
      const name = Object.entries(Drop).find(([, reason]) => reason === ~verdict)?.[0];
      return name as keyof typeof Drop;
    }
    return bytes.slice(descriptors[0], descriptors[0] + descriptors[1]);
  }

  /** Writes checksum start and offset into the virtio header of the next packet. */
  setVirtio(csumStart: number, csumOffset: number): void {
    const { bytes } = this.frames;
    const at = HEADROOM_BYTES - VNET_HEADER_BYTES;
    bytes[at] = 1;
    bytes[at + 6] = csumStart;
    bytes[at + 8] = csumOffset;
  }

  /** Everything that comes out after the last packet that was sent, appended frames included. */
  all(): Uint8Array[] {
    const { bytes, descriptors, count } = this.frames;
    const packets: Uint8Array[] = [];
    for (let i = 0; i < count; i++)
      if (descriptors[i * 4 + 3] >= 0)
        packets.push(bytes.slice(descriptors[i * 4], descriptors[i * 4] + descriptors[i * 4 + 1]));
    return packets;
  }

  /** Sends a packet that must come out. */
  pass4(packet: Uint8Array, offload = 0): Uint8Array {
    const out = this.send(packet, offload);
    if (typeof out === 'string') throw new Error(`dropped: ${out}`);
    return out;
  }

  dropCount(reason: keyof typeof Drop): number {
    return this.table.parts.counters[COUNTER_DROPS + Drop[reason]];
  }
}

/** The verdicts of the whole batch, appended frames included. */
export const verdicts = ({ frames }: Bench): number[] =>
  Array.from({ length: frames.count }, (_, i) => frames.descriptors[i * DESCRIPTOR_WORDS + 3]);

/** The outer IPv6 header that stands in front of frame `index`. */
export function outerOf({ frames }: Bench, index = 0): Uint8Array {
  const { bytes, descriptors } = frames;
  const end = descriptors[index * DESCRIPTOR_WORDS] - VNET_HEADER_BYTES;
  return bytes.slice(end - IPV6_HEADER_BYTES, end);
}

const readAddress = (p: Uint8Array, at: number): number =>
  (p[at] << 24) | (p[at + 1] << 16) | (p[at + 2] << 8) | p[at + 3];

/** "address:port" of the source and destination of a packet; the identifier stands for the port of an ICMP query. */
export function endpoints(packet: Uint8Array): { from: string; to: string } {
  const l4 = (packet[0] & 15) * 4;
  const word = (at: number): number => (packet[l4 + at] << 8) | packet[l4 + at + 1];
  const isIcmp = packet[9] === 1;
  const from = isIcmp ? (packet[l4] === 8 ? word(4) : 0) : word(0);
  const to = isIcmp ? (packet[l4] === 0 ? word(4) : 0) : word(2);
  return {
    from: `${formatIpv4(readAddress(packet, 12))}:${from}`,
    to: `${formatIpv4(readAddress(packet, 16))}:${to}`,
  };
}

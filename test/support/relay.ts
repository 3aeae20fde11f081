/** A border relay over plain memory, with packets in and packets out as the device would write them. */

import { DESCRIPTOR_WORDS, Frames, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { IID_RFC7597 } from '../../core/mape/address.ts';
import { type MapRule, PSID_FROM_EA } from '../../core/mape/rule.ts';
import { RELAY_COUNTER_COUNT, type RelayPlan } from '../../core/relay/context.ts';
import { RELAY_DROP_MEANING, RelayDrop } from '../../core/relay/drops.ts';
import { Relay } from '../../core/relay/relay.ts';
import { COUNTER_DROPS } from '../../core/table/counters.ts';
import { ENCAPSULATE } from '../../core/verdict.ts';
import { writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { parseIpv6 } from '../../gateway/config/addresses.ts';
import { BR } from './tunnel.ts';

const OUTER_BYTES = 40;

/** RFC 7597 appendix A, example 1: 192.0.2.18 with PSID 0x34 is 2001:db8:12:3400:0:c000:212:34. */
export const RFC_RULE: MapRule = {
  ipv6: parseIpv6('2001:db8::')!,
  ipv6Length: 40,
  ipv4: parseIpv4('192.0.2.0'),
  ipv4Length: 24,
  eaLength: 16,
  offsetBits: 6,
  psid: PSID_FROM_EA,
  forwarding: false,
};
/** A rule under which nobody shares an address. */
export const WHOLE_RULE: MapRule = {
  ...RFC_RULE,
  ipv6: parseIpv6('2001:db8:8000::')!,
  ipv4: parseIpv4('198.18.7.0'),
  eaLength: 8,
};
export const RELAY_IPV4 = '192.0.0.77';

export const planOf = (change: Partial<RelayPlan> = {}): RelayPlan => ({
  address: BR,
  ipv4Address: parseIpv4(RELAY_IPV4),
  rules: [RFC_RULE, WHOLE_RULE],
  iidFormat: IID_RFC7597,
  mtu: 1460,
  ...change,
});

export class RelayBench {
  readonly frames = new Frames(1 << 20, 64, 1 << 19, 128);
  readonly counters = new Float64Array(RELAY_COUNTER_COUNT);
  readonly relay: Relay;
  now = 1_000_000;

  constructor(change: Partial<RelayPlan> = {}) {
    this.relay = new Relay(planOf(change), this.frames, this.counters, 42, () => true);
  }

  /** Relays one packet; everything that the device would write, outer headers put on. */
  send(packet: Uint8Array, offload = 0): Uint8Array[] {
    const { bytes, descriptors } = this.frames;
    bytes.fill(0, 0, HEADROOM_BYTES);
    bytes.set(packet, HEADROOM_BYTES);
    descriptors[0] = HEADROOM_BYTES;
    descriptors[1] = packet.length;
    descriptors[2] = offload;
    this.relay.process(1, this.now);
    return this.written();
  }

  /** The one packet that comes of it. */
  one(packet: Uint8Array, offload = 0): Uint8Array {
    const before = this.drops();
    const out = this.send(packet, offload);
    if (out.length === 1) return out[0];
    const names = this.drops().filter((name) => !before.includes(name));
    throw new Error(`${out.length} packets came out; drops: ${names.join()}`);
  }

  verdict(): number {
    return this.frames.descriptors[3];
  }

  /** Lets `seconds` pass. */
  pass(seconds: number): void {
    this.now += seconds * 1000;
    this.relay.advance(this.now);
  }

  dropped(reason: keyof typeof RelayDrop): number {
    return this.counters[COUNTER_DROPS + RelayDrop[reason]];
  }

  /** Names of the reasons that occurred. */
  drops(): string[] {
    return RELAY_DROP_MEANING.map(([name]) => name).filter((name) => this.dropped(name) > 0);
  }

  private written(): Uint8Array[] {
    const { bytes, descriptors, count } = this.frames;
    const packets: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const [at, length, , verdict] = descriptors.subarray(i * DESCRIPTOR_WORDS);
      if (verdict < 0) continue;
      const inner = bytes.slice(at, at + length);
      packets.push(verdict === ENCAPSULATE ? withOuter(bytes, at, inner) : inner);
    }
    return packets;
  }
}

/** What the device makes of a frame to be encapsulated. */
export function withOuter(bytes: Uint8Array, at: number, inner: Uint8Array): Uint8Array {
  const outer = at - VNET_HEADER_BYTES - OUTER_BYTES;
  const packet = new Uint8Array(OUTER_BYTES + inner.length);
  packet.set(bytes.subarray(outer, outer + OUTER_BYTES));
  writeU16(packet, 4, inner.length);
  packet.set(inner, OUTER_BYTES);
  return packet;
}

/** Sum of an ICMPv6 message and its pseudo header; 0xffff when the checksum is right. */
export function icmpv6Sum(packet: Uint8Array): number {
  const length = packet.length - OUTER_BYTES;
  return sumBytes(packet, OUTER_BYTES, length, sumBytes(packet, 8, 32) + length + 58);
}

/** An ICMPv6 message with a right checksum. */
export function icmpv6(
  from: Uint8Array,
  to: Uint8Array,
  message: { type: number; code?: number; parameter?: number; body: Uint8Array },
): Uint8Array {
  const packet = new Uint8Array(OUTER_BYTES + 8 + message.body.length);
  packet[0] = 0x60;
  writeU16(packet, 4, packet.length - OUTER_BYTES);
  packet[6] = 58;
  packet[7] = 64;
  packet.set(from, 8);
  packet.set(to, 24);
  packet[40] = message.type;
  packet[41] = message.code ?? 0;
  writeU16(packet, 44, (message.parameter ?? 0) >>> 16);
  writeU16(packet, 46, (message.parameter ?? 0) & 0xffff);
  packet.set(message.body, 48);
  writeU16(packet, 42, ~icmpv6Sum(packet) & 0xffff);
  return packet;
}

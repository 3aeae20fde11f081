/**
 * What the functions of the relay share: the rules, the addresses, the batch in hand, and the few things that a relay remembers: fragments,
 * and how many answers it has given. There is no session: rules and packet say everything (RFC 7597 section 8).
 */

import type { Frames } from '../frames.ts';
import type { IidFormat } from '../mape/address.ts';
import { findRuleByIpv4 } from '../mape/forward.ts';
import { type MapRule, rulePsidBits } from '../mape/rule.ts';
import { TICK_MS, TICKS_PER_SECOND } from '../state.ts';
import { COUNTER_DROPS, Counter } from '../table/counters.ts';
import { FragmentTable } from '../table/fragment-table.ts';
import type { CompleteChecksum } from '../translate/context.ts';
import { makeOuterHeader } from '../translate/encapsulate.ts';
import type { Cutting } from '../translate/fragments.ts';
import { Reassembly } from '../translate/reassembly.ts';
import { IPV6_ADDRESS_BYTES, IPV6_DESTINATION, IPV6_HEADER_BYTES } from '../wire/ipv6.ts';
import { RELAY_DROP_COUNT, RelayDrop } from './drops.ts';
import { NOBODY, Owners } from './owners.ts';

/** The relay as its packet path sees it. */
export interface RelayPlan {
  /** The border relay's IPv6 address, 16 bytes. */
  address: Uint8Array;
  /** Source of the ICMP messages that the relay sends. */
  ipv4Address: number;
  rules: readonly MapRule[];
  iidFormat: IidFormat;
  /** Of the IPv4 packets inside the tunnel. */
  mtu: number;
}

/**
 * Counters as doubles, so that another thread may read them: the first ones stand where the gateway's stand, reasons of drops from
 * COUNTER_DROPS on.
 */
export const RelayCounter = {
  /** From CEs out of the tunnel. */
  PacketsOutbound: Counter.PacketsOutbound,
  BytesOutbound: Counter.BytesOutbound,
  /** To CEs into the tunnel. */
  PacketsInbound: Counter.PacketsInbound,
  BytesInbound: Counter.BytesInbound,
  PacketsAnswered: Counter.PacketsAnswered,
  IcmpErrorsTranslated: Counter.IcmpErrorsTranslated,
  /** Of both directions: from one CE to another. */
  PacketsBetweenCes: COUNTER_DROPS - 1,
} as const;
export const RELAY_COUNTER_COUNT = COUNTER_DROPS + RELAY_DROP_COUNT;

/** Whom an answer is for: each has a limit of its own, so that a scan of unused ports silences no other answer. */
export const Answer = { Unassigned: 0, Other: 1, Tunnel: 2 } as const;
const ANSWERS_BURST = 1000;
const ANSWERS_PER_TICK = ANSWERS_BURST / TICKS_PER_SECOND;

export class RelayContext {
  readonly plan: RelayPlan;
  readonly frames: Frames;
  readonly counters: Float64Array;
  readonly fragments: FragmentTable;
  readonly reassembly = new Reassembly();
  readonly completeChecksum: CompleteChecksum;
  readonly outerHeader: Uint8Array;
  /** Address of the CE that `findOwner` found: the destination in `outerHeader`. */
  readonly owner: Uint8Array;
  private readonly owners: Owners;
  /** For packets that are cut to the tunnel's MTU. */
  readonly cutting: Cutting;
  /** By rule: the CEs share their addresses, so that a port tells them apart. */
  private readonly sharing: readonly boolean[];
  private readonly answersLeft = new Int32Array(3).fill(ANSWERS_BURST);
  tick = 0;

  constructor(
    plan: RelayPlan,
    frames: Frames,
    counters: Float64Array,
    seed: number,
    completeChecksum: CompleteChecksum,
  ) {
    this.plan = plan;
    this.frames = frames;
    this.counters = counters;
    this.fragments = new FragmentTable(seed);
    this.completeChecksum = completeChecksum;
    this.owners = new Owners(plan.rules, plan.iidFormat);
    this.sharing = plan.rules.map((rule) => rulePsidBits(rule) > 0);
    this.outerHeader = makeOuterHeader(plan.address, new Uint8Array(IPV6_ADDRESS_BYTES));
    this.owner = this.outerHeader.subarray(IPV6_DESTINATION, IPV6_HEADER_BYTES);
    this.cutting = {
      frames,
      completeChecksum,
      line: { mtu: plan.mtu },
      drop: () => this.drop(RelayDrop.FragmentRoom),
    };
  }

  setClock(nowMs: number): void {
    const tick = Math.floor(nowMs / TICK_MS);
    if (tick === this.tick) return;
    const refill = Math.min(TICKS_PER_SECOND, Math.max(0, tick - this.tick)) * ANSWERS_PER_TICK;
    const { answersLeft } = this;
    for (let i = 0; i < answersLeft.length; i++)
      answersLeft[i] = Math.min(ANSWERS_BURST, answersLeft[i] + refill);
    this.tick = tick;
  }

  /** Number of the rule for an IPv4 address of a CE, or -1. The relay's own address is no CE's, wherever it lies. */
  ruleOf(ipv4: number): number {
    if (ipv4 === this.plan.ipv4Address) return -1;
    return findRuleByIpv4(this.plan.rules, ipv4, false);
  }

  /** True if a port is needed to know whose an address of the rule is. */
  isShared(rule: number): boolean {
    return this.sharing[rule];
  }

  /** Puts the address of the CE that owns an IPv4 address of the rule, and a port of it, into `owner`; false if nobody does. */
  findOwner(rule: number, ipv4: number, port: number): boolean {
    const { owner, owners } = this;
    const at = owners.find(rule, ipv4, port);
    if (at === NOBODY) return false;
    for (let i = 0; i < IPV6_ADDRESS_BYTES; i++) owner[i] = owners.addresses[at + i];
    return true;
  }

  /** Counts a drop; the negative verdict carries the reason. */
  drop(reason: number): number {
    this.counters[COUNTER_DROPS + reason]++;
    return ~reason;
  }

  /** True if another answer of that kind may be given now. */
  mayAnswer(kind: number): boolean {
    if (this.answersLeft[kind] <= 0) return false;
    this.answersLeft[kind]--;
    return true;
  }
}

/**
 * What of the policy in force the analysis has to know, and since when it is so: a reload may have changed it while refusals of an
 * earlier one are still told.
 *
 *   quic        refused always, refused while something is short, or let through: found out by asking the policy itself
 *   profiles    the limits of hosts
 */
import { isDeepStrictEqual } from 'node:util';
import type { Policy } from '../../core/policy.ts';
import { Opening } from '../../core/table/opening.ts';
import { refusalOf } from '../../core/table/refusals.ts';
import { Drop } from '../../core/verdict.ts';
import { PROTOCOL_UDP, parseIpv4 } from '../../core/wire/ipv4.ts';
import { QUIC_INITIAL_BYTES_MIN } from '../../core/wire/quic.ts';
import type { QuicMode } from './why-facts.ts';

/** Asked for on behalf of nobody, so that an exception for hosts or servers seldom holds for it. */
const PROBE_FROM = 0;
const PROBE_FROM_PORT = 50_000;
const PROBE_TO = parseIpv4('1.1.1.1');
const HTTPS = 443;
const PRESSURE_MAX = 3;
const FILL_MAX = 256;

export class PolicyWatch {
  /** Since when the limits of hosts are what they are; undefined: since the start, or longer. */
  limitsSinceMs: number | undefined;
  quic: QuicMode;
  /** Packets of QUIC that had been refused when `quic` became what it is. */
  quicBase = 0;
  private policy: Policy;

  constructor(policy: Policy) {
    this.policy = policy;
    this.quic = quicMode(policy);
  }

  /** Looks whether another policy is in force. @param quicRejected packets until now */
  look(policy: Policy, nowMs: number, quicRejected: number): void {
    if (policy === this.policy) return;
    const before = this.policy;
    this.policy = policy;
    if (
      !isDeepStrictEqual(policy.profiles, before.profiles) ||
      !isDeepStrictEqual(policy.profileOfLan, before.profileOfLan)
    )
      this.limitsSinceMs = nowMs;
    const mode = quicMode(policy);
    if (mode !== this.quic) this.quicBase = quicRejected;
    this.quic = mode;
  }
}

/** When the policy refuses the first packet of a QUIC connection. */
export function quicMode(policy: Policy): QuicMode {
  const lans = policy.profileOfLan.length > 0 ? policy.profileOfLan.map((_, lan) => lan) : [0];
  if (lans.some((lan) => refusesQuic(policy, lan, 0, 0))) return 'always';
  return lans.some((lan) => refusesQuic(policy, lan, PRESSURE_MAX, FILL_MAX))
    ? 'pressure'
    : 'never';
}

function refusesQuic(policy: Policy, lan: number, pressure: number, fill256: number): boolean {
  const first = new Opening();
  first.begin(PROTOCOL_UDP, PROBE_FROM, PROBE_FROM_PORT, PROBE_TO, HTTPS, lan);
  first.bytes = INITIAL;
  first.payloadBytes = INITIAL.length;
  first.pressure = pressure;
  first.upstreamFill256 = fill256;
  const decision = policy.decide(first);
  return decision < 0 && (refusalOf(decision) & 0xff) === Drop.QuicRejected;
}

/** An Initial of QUIC version 1 without contents: a connection id of 8 bytes, none of the server's, no token. */
const INITIAL = quicInitial();

function quicInitial(): Uint8Array {
  const bytes = new Uint8Array(QUIC_INITIAL_BYTES_MIN);
  bytes.set([0xc3, 0, 0, 0, 1, 8]);
  const length = bytes.length - 18;
  bytes.set([0x40 | (length >> 8), length & 255], 16);
  return bytes;
}

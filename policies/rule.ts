/**
 * A rule: one reason to refuse a session, asked for each new one.
 *
 *   FirstPacket, class ──▶ rule ──▶ 0 no objection, or refuseFor(Drop.…), and | DECISION_SILENT where nobody is to be told
 *
 * A policy is a file in this folder with a function that makes a rule from its options; build.ts puts them in a row, and the first
 * objection counts. Rules read and compute only. They run a hundred thousand times a second and more, so they make no objects.
 */
import type { FirstPacket } from '../core/policy.ts';
import { CLASS_NAMES } from '../core/state.ts';

export type Rule = (first: FirstPacket, sessionClass: number) => number;

export const NO_OBJECTION = 0;

/** An IPv4 network; signed 32-bit numbers, no bits of the address outside of the mask. */
export interface Network {
  readonly address: number;
  readonly mask: number;
}

/** Who, or what, a rule does not concern. */
export interface Exceptions {
  /** Internal networks. */
  readonly from: readonly Network[];
  /** Destinations. */
  readonly to: readonly Network[];
}

export const NO_EXCEPTIONS: Exceptions = { from: [], to: [] };

/** One bit for each class by its number. */
export const classBits = (names: readonly string[]): number =>
  names.reduce((bits, name) => bits | (1 << CLASS_NAMES.indexOf(name)), 0);

/** True if one of the networks holds the address. */
export function holds(networks: readonly Network[], address: number): boolean {
  for (let i = 0; i < networks.length; i++)
    if (((address ^ networks[i].address) & networks[i].mask) === 0) return true;
  return false;
}

/** True if the packet comes from, or goes to, one of the excepted networks. */
export const isExcepted = ({ from, to }: Exceptions, first: FirstPacket): boolean =>
  holds(from, first.internalAddress) || holds(to, first.remoteAddress);

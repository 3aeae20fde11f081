/**
 * What a kind of user is: a table of a scenario file, and what its users do.
 *
 * A kind is one file that exports a `UserKind`; kinds.ts lists them. Users draw from `random`, which is theirs alone, and tell the tally
 * of every action and of every failure.
 */
import type { z } from 'zod';
import type { Random } from '../random.ts';
import type { World } from '../world.ts';

export interface UserKind<Options = unknown> {
  /** The keys of its table besides `kind`. */
  table: z.ZodType<Options>;
  /** Sets the users to work. */
  begin(world: World, options: Options, random: Random): void;
}

/** Lets TypeScript see that table and options belong together. */
export const userKind = <Options>(kind: UserKind<Options>): UserKind<Options> => kind;

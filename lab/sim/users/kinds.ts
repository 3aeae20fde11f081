/** The kinds of users that a scenario may name. A new one is a line here and a file beside this one. */
import { agents } from './agents.ts';
import { calls } from './calls.ts';
import { flows } from './flows.ts';
import type { UserKind } from './kind.ts';
import { mouse } from './mouse.ts';
import { pages } from './pages.ts';
import { reload } from './reload.ts';
import { scan } from './scan.ts';
import { vpn } from './vpn.ts';

export const USER_KINDS = { pages, calls, vpn, mouse, agents, flows, reload, scan } as const;

export type KindName = keyof typeof USER_KINDS;

/** The kind of this name; its options are those that its table made. */
export const kindOf = (name: KindName): UserKind => USER_KINDS[name] as unknown as UserKind;

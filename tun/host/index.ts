/**
 * The host's network settings: what the gateway and `portfold doctor` may use of this folder.
 *
 *   inspect.ts                       does the request fit this host?
 *   plan.ts nft.ts networks.ts       what is to be set; pure
 *   apply.ts                         make it so, or adopt
 *   monitor.ts verify.ts             hear of changes, and see what is missing since
 *   undo.ts snapshot.ts strays.ts    and take it back
 *   examine.ts ruleset.ts            what `portfold doctor` tells
 *   run.ts sysctl.ts facts.ts        the only doors to the system
 */
export { applyHost } from './apply.ts';
export {
  chooseEncapsulation,
  type EncapsulationSupport,
  probeEncapsulation,
} from './encapsulation.ts';
export { CommandError, HostError } from './errors.ts';
export { type HostInspection, hasNetAdmin, inspectHost } from './inspect.ts';
export { type HostMonitor, monitorHost } from './monitor.ts';
export { type HostSnapshot, readSnapshot } from './snapshot.ts';
export { cleanStrays } from './strays.ts';
export type { HostLan, HostRequest, HostResult } from './types.ts';
export { type UndoReport, undoHost, undoHostOrThrow } from './undo.ts';
export { type HostReview, verifyHost } from './verify.ts';

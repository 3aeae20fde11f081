/**
 * The standard policy: sharing of ports, or not, and nothing else. What tests and benchmarks of the engine stand on.
 *
 * `home` lets endpoints share ports, whoever speaks STUN owns one, and an unanswered UDP session gives way before a new one is refused;
 * `rfc` does none of it. Both have the timers of the RFCs at every pressure, limit nobody and refuse nothing, so that what an engine's
 * test counts does not change with a preset, and a benchmark can tell what the presets cost.
 */
import type { Policy } from '../core/policy.ts';
import { presetPolicy } from './build.ts';
import { type PolicySettings, PRESETS } from './settings.ts';
import { always } from './timers.ts';

/** More than whole: a level that no fill reaches. */
const NEVER_PERCENT = 101;

const plain: Partial<PolicySettings> = {
  pressure: {
    ...PRESETS.rfc.pressure,
    levelsPercent: [NEVER_PERCENT, NEVER_PERCENT, NEVER_PERCENT],
  },
  privateDestinations: 'allow',
};

const sharing: Partial<PolicySettings> = {
  sharing: true,
  evictUnanswered: true,
  ownedPercent: PRESETS.home.ownedPercent,
  limits: { ...PRESETS.rfc.limits, ownedPorts: PRESETS.home.limits.ownedPorts },
  timers: { ...PRESETS.rfc.timers, 'tcp-half-closed': always(240) },
};

export const standardPolicy = (preset: 'home' | 'rfc'): Policy =>
  presetPolicy('rfc', preset === 'home' ? { ...plain, ...sharing } : plain);

/** What the policy in force does, and since when, as the analysis has to know it. */
import assert from 'node:assert/strict';
import type { Policy } from '../../../core/policy.ts';
import { PolicyWatch, quicMode } from '../../../gateway/source/why-policy.ts';
import { buildPolicy, presetPolicy } from '../../../policies/build.ts';
import { PRESETS, type QuicSettings } from '../../../policies/settings.ts';

const quic = (mode: QuicSettings['mode']): QuicSettings => ({ ...PRESETS.home.quic, mode });
const policyWith = (mode: QuicSettings['mode']): Policy =>
  presetPolicy('home', { quic: quic(mode) });

describe('why: the policy in force', () => {
  it('says when it refuses QUIC, whatever rule does so', () => {
    assert.equal(quicMode(policyWith('allow')), 'never');
    assert.equal(quicMode(policyWith('pressure')), 'pressure');
    assert.equal(quicMode(policyWith('reject')), 'always');
    assert.equal(quicMode(policyWith('drop')), 'always');
    // All UDP is refused then, and not QUIC for being QUIC.
    const udp = { ...PRESETS.home.udp, mode: 'reject' } as const;
    assert.equal(quicMode(presetPolicy('home', { udp, quic: quic('reject') })), 'never');
  });

  it('of LANs that differ says what holds anywhere', () => {
    const profiles = (['allow', 'pressure', 'reject'] as const).map((mode) => ({
      ...PRESETS.home,
      quic: quic(mode),
    }));
    const lans = (...profileOfLan: number[]) => quicMode(buildPolicy({ profiles, profileOfLan }));
    assert.equal(lans(0, 0), 'never');
    assert.equal(lans(0, 1), 'pressure');
    assert.equal(lans(0, 1, 2), 'always');
  });

  it('tells a change of limits and of QUIC from a reload that changes neither', () => {
    const watch = new PolicyWatch(policyWith('reject'));
    watch.look(policyWith('reject'), 1_000, 5);
    assert.deepEqual([watch.limitsSinceMs, watch.quic, watch.quicBase], [undefined, 'always', 0]);
    watch.look(policyWith('pressure'), 2_000, 7);
    assert.deepEqual([watch.limitsSinceMs, watch.quic, watch.quicBase], [undefined, 'pressure', 7]);
    const limits = { ...PRESETS.home.limits, newPerSecond: 9 };
    watch.look(presetPolicy('home', { limits, quic: quic('pressure') }), 3_000, 8);
    assert.deepEqual([watch.limitsSinceMs, watch.quic, watch.quicBase], [3_000, 'pressure', 7]);
  });
});

/** The policy made of settings: profiles by LAN, peers by class, rules in order, numbers for the engine. */
import assert from 'node:assert/strict';
import {
  DECISION_PEER,
  DECISION_REASON_SHIFT,
  PROFILE_SHIFT,
  refuseFor,
} from '../../core/policy.ts';
import { CLASS_MASK, Class } from '../../core/state.ts';
import { Drop } from '../../core/verdict.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP } from '../../core/wire/ipv4.ts';
import { buildPolicy, presetPolicy } from '../../policies/build.ts';
import { NO_EXCEPTIONS } from '../../policies/rule.ts';
import { PRESET_NAMES, PRESETS } from '../../policies/settings.ts';
import { UPSTREAM_MODELS } from '../../policies/upstream-models.ts';
import { firstPacket } from '../support/first-packet.ts';

const STUN = Uint8Array.of(0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...Array(12).fill(7));

describe('a policy made of settings', () => {
  it('answers with class and profile: that of the LAN, the first for a LAN that it does not know', () => {
    const profiles = [PRESETS.home, PRESETS.event, PRESETS.rfc];
    const policy = buildPolicy({ profiles, profileOfLan: [2, 1] });
    const profileFor = (lan: number): number =>
      (policy.decide(firstPacket({ lan, protocol: PROTOCOL_TCP })) >> PROFILE_SHIFT) & 3;
    assert.deepEqual([0, 1, 2, 7].map(profileFor), [2, 1, 0, 0]);
    const decision = policy.decide(firstPacket({ lan: 1, protocol: PROTOCOL_ICMP }));
    assert.equal(decision & CLASS_MASK, Class.Icmp);
  });

  it('makes peers of those classes that own a port under the preset', () => {
    const peers = PRESET_NAMES.map((name) => {
      const policy = presetPolicy(name);
      const isPeer = (payload?: Uint8Array) =>
        (policy.decide(firstPacket({ payload })) & DECISION_PEER) !== 0;
      return [name, isPeer(STUN), isPeer()];
    });
    assert.deepEqual(peers, [
      ['home', true, false],
      ['event', true, false],
      ['rfc', true, false],
      ['game', true, true],
    ]);
    const tcp = presetPolicy('game').decide(firstPacket({ protocol: PROTOCOL_TCP }));
    assert.equal(tcp & DECISION_PEER, 0);
  });

  it('lets the first objection count, and says in a refusal what class and profile it was', () => {
    const udp = { mode: 'reject', except: { ...NO_EXCEPTIONS, classes: [] } } as const;
    const blocked = { ...PRESETS.home, udp };
    const policy = buildPolicy({ profiles: [PRESETS.rfc, blocked], profileOfLan: [1] });
    const elsewhere = policy.decide(firstPacket({ payload: STUN }));
    assert.equal(elsewhere, refuseFor(Drop.UdpBlocked) | (1 << PROFILE_SHIFT) | Class.Stun);
    const toPrivate = policy.decide(firstPacket({ to: '192.168.99.1:80' }));
    assert.equal((toPrivate >>> DECISION_REASON_SHIFT) & 255, Drop.PrivateDestination);
  });

  it('reserves a share of the table, and a share of that for the gateway; nothing of an unknown one', () => {
    const plan = { profiles: [PRESETS.home], profileOfLan: [] };
    const policy = buildPolicy({ ...plan, capacity: 262_144 });
    assert.equal(policy.reserveSessions, 5242);
    assert.equal(policy.reserveOwnSessions, 64);
    assert.equal(buildPolicy({ ...plan, capacity: 4096 }).reserveSessions, 81);
    assert.equal(buildPolicy({ ...plan, capacity: 4096 }).reserveOwnSessions, 5);
    assert.equal(buildPolicy(plan).reserveSessions, 0);
  });

  it('takes what concerns the whole line from the first profile', () => {
    const upstream = UPSTREAM_MODELS.rtx1200;
    const first = { ...PRESETS.event, upstream };
    const policy = buildPolicy({ profiles: [first, PRESETS.rfc], profileOfLan: [1] });
    assert.deepEqual(policy.upstream, upstream);
    assert.deepEqual(policy.pressure, { levelAt256: [128, 179, 218], evictFrom: 3 });
    assert.equal(presetPolicy('home').upstream, undefined);
  });

  it('has limits, sharing and filtering by profile', () => {
    const profiles = PRESET_NAMES.map((name) => presetPolicy(name).profiles[0]);
    assert.deepEqual(
      profiles.map(({ sharing, evictUnanswered, openFilter, ownedShare256 }) => [
        sharing,
        evictUnanswered,
        openFilter,
        ownedShare256,
      ]),
      [
        [true, true, false, 192],
        [true, true, false, 192],
        [false, false, false, 256],
        [true, true, true, 192],
      ],
    );
    const { sessionsPerHostMax, newPerSecondMax, newBurst, ownedPerHostMax } = profiles[1];
    assert.deepEqual([sessionsPerHostMax, newPerSecondMax, newBurst], [4000, 100, 500]);
    assert.equal(ownedPerHostMax, 4);
    assert.equal(profiles[2].sessionsPerHostMax, 0);
    const limits = { ...PRESETS.event.limits, newPerSecond: 0 };
    assert.equal(presetPolicy('event', { limits }).profiles[0].newBurst, 0);
  });

  it('has one to four profiles', () => {
    const plan = (count: number) => ({
      profiles: Array(count).fill(PRESETS.home),
      profileOfLan: [],
    });
    assert.throws(() => buildPolicy(plan(0)), /1 to 4 profiles, not 0/);
    assert.throws(() => buildPolicy(plan(5)), /1 to 4 profiles, not 5/);
    buildPolicy(plan(4));
  });

  it('answers the same however often it is asked, and keeps nothing', () => {
    const policy = presetPolicy('event');
    const first = firstPacket({ payload: STUN });
    const decision = policy.decide(first);
    for (let i = 0; i < 1000; i++) assert.equal(policy.decide(first), decision);
    first.payloadBytes = 0;
    assert.equal(policy.decide(first) & CLASS_MASK, Class.Other);
  });
});

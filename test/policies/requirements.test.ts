/** What a policy departs from: nothing that it keeps, and everything that it does not. */
import assert from 'node:assert/strict';
import { departures, keeps } from '../../policies/requirements.ts';
import { type PolicySettings, PRESETS } from '../../policies/settings.ts';
import { always } from '../../policies/timers.ts';

const requirementsOf = (settings: PolicySettings): string[] =>
  departures(settings).map(({ requirement }) => requirement);
const withTimers = (timers: Partial<PolicySettings['timers']>): PolicySettings => ({
  ...PRESETS.rfc,
  timers: { ...PRESETS.rfc.timers, ...timers },
});

describe('requirements that a policy departs from', () => {
  it('rfc departs from none', () => {
    assert.deepEqual(departures(PRESETS.rfc), []);
  });

  it('the saving presets depart from those about sharing, timers and making room', () => {
    for (const name of ['home', 'event', 'game'] as const) {
      const list = requirementsOf(PRESETS[name]).join('; ');
      for (const one of [
        '4787 REQ-1,',
        '4787 REQ-5',
        '5382 REQ-5',
        '7857 section 2.2',
        '5508 REQ-2',
      ])
        assert.ok(list.includes(one), `${name}: ${one}`);
      assert.ok(list.endsWith('RFC 6888 REQ-11'), name);
    }
  });

  it('each timer has its edge', () => {
    const edges: [timer: keyof PolicySettings['timers'], least: number, requirement: string][] = [
      ['other', 300, 'RFC 4787 REQ-5c'],
      ['other', 120, 'RFC 4787 REQ-5'],
      ['unanswered', 120, 'RFC 4787 REQ-5'],
      ['tcp-established', 7440, 'RFC 5382 REQ-5'],
      ['tcp-half-closed', 7440, 'RFC 5382 REQ-5'],
      ['tcp-half-open', 240, 'RFC 5382 REQ-5, RFC 7857 section 2.1'],
      ['tcp-closing', 240, 'RFC 5382 REQ-5'],
      ['tcp-reset', 240, 'RFC 7857 section 2.2'],
      ['icmp', 60, 'RFC 5508 REQ-2'],
    ];
    for (const [timer, least, requirement] of edges) {
      const below = requirementsOf(withTimers({ [timer]: always(least - 1) }));
      assert.deepEqual(below, [requirement], `${timer} ${least - 1}`);
      const kept = requirementsOf(withTimers({ [timer]: always(least) }));
      assert.ok(!kept.includes(requirement), `${timer} ${least}`);
    }
  });

  it('DNS and NTP may be short at the well-known ports of RFC 4787 REQ-5a, DNS nowhere else', () => {
    assert.deepEqual(departures(withTimers({ ntp: always(2) })), []);
    const short = withTimers({ dns: [10, 10, 5, 5] });
    const [departure, ...others] = departures(short);
    assert.deepEqual(others, []);
    assert.equal(departure.requirement, 'RFC 4787 REQ-5');
    assert.deepEqual(departure.values, [
      { key: 'timers.dns', value: '10 s, under pressure 5 s, at other ports than 53' },
    ]);
    const kept = keeps(short).find(({ requirement }) => requirement === 'RFC 4787 REQ-5a');
    assert.equal(kept?.wanted, 'any time, at the well-known ports 53 and 123');
    assert.deepEqual(kept?.values[0], { key: 'timers.dns', value: '10 s, under pressure 5 s' });
  });

  it('what holds under pressure alone is told too, with both numbers', () => {
    const [departure] = departures(withTimers({ icmp: [60, 60, 60, 5] }));
    assert.deepEqual(departure.values, [{ key: 'timers.icmp', value: '60 s, under pressure 5 s' }]);
  });

  it('names what makes room, one by one', () => {
    const values = (more: Partial<PolicySettings>) =>
      departures({ ...PRESETS.rfc, ...more }).flatMap((each) => each.values);
    assert.deepEqual(values({ evictUnanswered: true }), [
      { key: 'evict-unanswered', value: 'true' },
    ]);
    assert.deepEqual(values({ unansweredPerRemote: 3 }), [
      { key: 'unanswered-per-remote', value: '3' },
    ]);
    const pressure = { ...PRESETS.rfc.pressure, evict: true };
    assert.deepEqual(values({ pressure }), [{ key: 'pressure.evict', value: 'true' }]);
  });

  it('each timer is told once, as kept or as departed from, and so is all else', () => {
    for (const [name, settings] of Object.entries(PRESETS)) {
      const told = [...departures(settings), ...keeps(settings)].flatMap(({ values }) =>
        values.map(({ key }) => key),
      );
      const timers = Object.keys(settings.timers).map((timer) => `timers.${timer}`);
      const others = ['sharing', 'evict-unanswered', 'unanswered-per-remote', 'pressure.evict'];
      // A UDP timer between the least and what is recommended keeps the one and departs from the other.
      const twice = told.filter((key, at) => told.indexOf(key) !== at);
      for (const key of twice) assert.match(key, /^timers\.(?!tcp|icmp)/, name);
      assert.deepEqual(new Set(told), new Set([...timers, ...others]), name);
    }
  });

  it('what is kept is named by the most that it keeps', () => {
    const kept = (settings: PolicySettings, key: string): string | undefined =>
      keeps(settings).find(({ values }) => values.some((value) => value.key === key))?.requirement;
    assert.equal(kept(PRESETS.rfc, 'timers.other'), 'RFC 4787 REQ-5c');
    assert.equal(kept(withTimers({ other: always(120) }), 'timers.other'), 'RFC 4787 REQ-5');
    assert.equal(kept(withTimers({ other: always(119) }), 'timers.other'), undefined);
    assert.equal(kept(PRESETS.home, 'timers.dns'), 'RFC 4787 REQ-5a');
    assert.equal(kept(PRESETS.rfc, 'timers.dns'), 'RFC 4787 REQ-5c', 'at any port');
    assert.equal(kept(PRESETS.home, 'pressure.evict'), undefined);
    assert.equal(kept(PRESETS.rfc, 'pressure.evict'), 'RFC 6888 REQ-11');
  });
});

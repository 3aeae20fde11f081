/** The status page where the gateway tells classes, pressure and the NAT above; the rest of it is in program.test.ts. */
import assert from 'node:assert/strict';
import { renderStatus } from '../../cli/commands/status.ts';
import type { Status } from '../../gateway/control/api.ts';
import { fakeStatus } from '../gateway/control/fake-source.ts';
import { FakeTerminal } from './fake-terminal.ts';

const page = (more: Partial<Status>): string =>
  renderStatus(new FakeTerminal(), { ...fakeStatus(), ...more }, [], []);

const level = { seconds: 0, endedSooner: 0, evicted: 0, quicRejected: 0, refused: 0 };
const calm: NonNullable<Status['pressure']> = {
  level: 0,
  changes: 0,
  endedSooner: 0,
  evicted: 0,
  evictedFromHeaviest: 0,
  unansweredGaveWay: 0,
  fill: { sessions: 0, 'owned-ports': 0, destinations: 0, upstream: 0 },
  levels: [level, level, level, level],
};

describe('the status page', () => {
  it('tells the six most frequent classes, and no pressure', () => {
    const names = ['other', 'tcp', 'dns', 'quic', 'stun', 'ntp', 'sip', 'rtp'];
    const classes = Object.fromEntries(
      names.map((name, i) => [name, { now: i * 1_000, created: i * 5_000 }]),
    );
    const text = page({ classes, pressure: calm });
    assert.match(
      text,
      /^classes {3}rtp 7,000, sip 6,000, ntp 5,000, stun 4,000, quic 3,000, dns 2,000$/m,
    );
    assert.match(text, /^pressure {2}none$/m);
    assert.doesNotMatch(text, /^! pressure/m);
  });

  it('tells the level of pressure, its cause, and what was ended for it', () => {
    const pressure = {
      ...calm,
      level: 2,
      cause: 'upstream',
      endedSooner: 80,
      unansweredGaveWay: 220,
    };
    const text = page({ pressure, upstream: { used: 860, capacity: 1_000, reused: 45 } });
    assert.match(
      text,
      /^pressure {2}level 2 of 3 \(upstream\); 80 sessions ended sooner for it; 220 sessions gave way without an answer$/m,
    );
    assert.match(
      text,
      /^above {5}\[#{17}-{3}\] 860 of 1,000 entries of the NAT above \(86 %\), 45 taken again$/m,
    );
    assert.match(
      text,
      /^! pressure is at level 2 of 3: idle sessions end sooner; see `portfold why`$/m,
    );
  });
});

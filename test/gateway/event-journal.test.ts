/** The log of events: each host, kind and reason at once, and a flood of them as one line in ten seconds. */
import assert from 'node:assert/strict';
import type { EventItem } from '../../gateway/control/api.ts';
import { EventJournal } from '../../gateway/event-journal.ts';

type Line = { event: string; reason?: string; more?: number; suppressed: number; text: string };

describe('the log of events', () => {
  let lines: Line[];
  let journal: EventJournal;
  let sequence: number;

  beforeEach(() => {
    lines = [];
    sequence = 0;
    journal = new EventJournal({
      warn: (fields: object, text: string) => void lines.push({ ...(fields as Line), text }),
    });
  });

  const event = (
    kind: string,
    host: string | undefined,
    suppressed = 0,
    reason?: string,
  ): EventItem => ({
    sequence: ++sequence,
    time: '2026-01-01T00:00:00.000Z',
    kind,
    ...(host === undefined ? {} : { internal: `${host}:${5000 + sequence}` }),
    suppressed,
    ...(reason === undefined ? {} : { reason }),
    text: `${kind} ${host} ${sequence}`,
  });

  it('says the first of a host at once, and what follows once in ten seconds', () => {
    for (let at = 0; at < 30_000; at += 250)
      journal.note(
        Array.from({ length: 12 }, () => event('host-limited', '192.168.1.5', 100)),
        at,
      );
    assert.equal(lines[0].text, 'host-limited 192.168.1.5 1');
    assert.deepEqual(
      lines.slice(1).map(({ more, suppressed, text }) => [more, suppressed, text]),
      [
        [491, 49_100, '491 more within 10 s; the last: host-limited 192.168.1.5 492'],
        [480, 48_000, '480 more within 10 s; the last: host-limited 192.168.1.5 972'],
      ],
    );
    journal.end(30_000);
    assert.equal(lines.at(-1)?.more, 468);
    const told = lines.reduce((sum, { more }) => sum + (more ?? 1), 0);
    assert.equal(told, sequence, 'every event is told of');
  });

  it('tells hosts and kinds apart, and each change of pressure', () => {
    for (let turn = 0; turn < 3; turn++)
      journal.note(
        [
          event('host-limited', '192.168.1.5'),
          event('policy-refused', '192.168.1.5'),
          event('host-limited', '192.168.1.6'),
          event('pressure-changed', undefined),
        ],
        turn,
      );
    assert.deepEqual(
      lines.map(({ event: kind }) => kind),
      [
        'host-limited',
        'policy-refused',
        'host-limited',
        'pressure-changed',
        'pressure-changed',
        'pressure-changed',
      ],
    );
  });

  it('tells the reasons of one host apart: a worm is seen beside a noisy printer driver', () => {
    const toPrinter = (): EventItem =>
      event('policy-refused', '192.168.1.5', 0, 'PrivateDestination');
    for (let at = 0; at < 10_000; at += 250) journal.note([toPrinter(), toPrinter()], at);
    journal.note([event('policy-refused', '192.168.1.5', 0, 'RefusedByPolicy')], 9_900);
    assert.deepEqual(
      lines.map(({ reason, more }) => [reason, more]),
      [
        ['PrivateDestination', undefined],
        ['RefusedByPolicy', undefined],
      ],
    );
    journal.note([], 10_000);
    assert.deepEqual([lines[2].reason, lines[2].more], ['PrivateDestination', 79]);
  });

  it('tells the reasons apart beyond so many hosts as well', () => {
    for (let n = 0; n < 1_000; n++)
      journal.note([event('policy-refused', `10.0.${n >> 8}.${n & 255}`, 0, 'UdpBlocked')], n);
    journal.note([event('policy-refused', '10.0.3.255', 0, 'RefusedByPolicy')], 1_000);
    assert.equal(lines.at(-1)?.reason, 'RefusedByPolicy');
  });

  it('begins anew for whoever was silent for ten seconds, without a word about nothing', () => {
    journal.note([event('host-limited', '192.168.1.5')], 0);
    journal.note([], 10_000);
    journal.note([event('host-limited', '192.168.1.5')], 11_000);
    journal.end(12_000);
    assert.deepEqual(
      lines.map(({ text }) => text),
      ['host-limited 192.168.1.5 1', 'host-limited 192.168.1.5 2'],
    );
  });

  it('a sender with ever other addresses is no flood either', () => {
    for (let n = 0; n < 10_000; n++)
      journal.note([event('session-refused', `10.0.${n >> 8}.${n & 255}`)], n / 10);
    assert.ok(lines.length <= 258, `${lines.length} lines`);
    journal.note([], 11_000);
    const told = lines.reduce((sum, { more }) => sum + (more ?? 1), 0);
    assert.equal(told, 10_000);
  });
});

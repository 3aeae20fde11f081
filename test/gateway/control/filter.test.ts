/** The filter language: against a naive filter over finished items, and sentence by sentence where it refuses. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { SessionItem } from '../../../gateway/control/api.ts';
import { compileFilter, QueryError } from '../../../gateway/control/filter.ts';
import { LISTS } from '../../../gateway/control/rows.ts';
import {
  formatAddress,
  parseAddress,
  parseDuration,
  parseQuantity,
} from '../../../gateway/control/text.ts';
import { emptySession, FakeSource, sessionAt } from './fake-source.ts';

const COUNT = 600;
const items: SessionItem[] = [];
for (const row of new FakeSource(COUNT).sessions()) items.push(LISTS.sessions.item(row));

function rowsThatMatch(text: string): number[] {
  const filter = compileFilter(text, LISTS.sessions.fields);
  const row = emptySession();
  return items.flatMap((_, i) => (filter.matches(sessionAt(row, i)) ? [i] : []));
}

/** A term together with what it means for a finished item, written without the filter's own parts. */
type Meaning = { term: string; holds: (item: SessionItem) => boolean };

const port = (endpoint: string): number => Number(endpoint.split(':')[1]);
const host = (endpoint: string): string => endpoint.split(':')[0];
const ends = (item: SessionItem): string[] => [item.internal, item.external, item.remote];

const addresses = fc.constantFrom(
  '192.168.0.2',
  '192.168.1.3',
  '198.51.100.7',
  '203.0.113.5',
  '9.9.9.9',
);
const portNumbers = fc.constantFrom(53, 443, 1_030, 5_140, 65_535);
const endKeys = fc.constantFrom<['host' | 'external' | 'remote', keyof SessionItem][]>(
  ['host', 'internal'],
  ['external', 'external'],
  ['remote', 'remote'],
);
const numberKeys = fc.constantFrom<[string, (item: SessionItem) => number][]>(
  ['age', (item: SessionItem) => item.ageSeconds],
  ['idle', (item: SessionItem) => item.idleSeconds],
  ['left', (item: SessionItem) => item.timeLeftSeconds],
  ['bytes', (item: SessionItem) => item.bytesOut + item.bytesIn],
  ['out', (item: SessionItem) => item.bytesOut],
  ['in', (item: SessionItem) => item.bytesIn],
);
const compare: Record<string, (a: number, b: number) => boolean> = {
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};

const meanings: fc.Arbitrary<Meaning> = fc.oneof(
  addresses.map((text) => ({
    term: text,
    holds: (item: SessionItem) => ends(item).map(host).includes(text),
  })),
  portNumbers.map((number) => ({
    term: String(number),
    holds: (item: SessionItem) => ends(item).map(port).includes(number),
  })),
  portNumbers.map((number) => ({
    term: `port=${number}`,
    holds: (item: SessionItem) => ends(item).map(port).includes(number),
  })),
  fc.tuple(addresses, portNumbers).map(([text, number]) => ({
    term: `${text}:${number}`,
    holds: (item: SessionItem) => ends(item).includes(`${text}:${number}`),
  })),
  fc.tuple(endKeys, addresses).map(([[key, name], text]) => ({
    term: `${key}=${text}`,
    holds: (item: SessionItem) => host(String(item[name])) === text,
  })),
  fc.tuple(endKeys, portNumbers).map(([[key, name], number]) => ({
    term: `${key}=:${number}`,
    holds: (item: SessionItem) => port(String(item[name])) === number,
  })),
  fc.constantFrom('192.168.0', '192.168.1', '198.51.100').map((prefix) => ({
    term: `${prefix}.0/24`,
    holds: (item: SessionItem) => ends(item).some((end) => end.startsWith(`${prefix}.`)),
  })),
  fc.constantFrom('tcp', 'udp', 'icmp').map((name) => ({
    term: name,
    holds: (item: SessionItem) => item.protocol === name,
  })),
  fc
    .constantFrom('dns', 'quic', 'other', 'sip')
    .chain((name) =>
      fc.constantFrom(
        { term: `class=${name.toUpperCase()}`, holds: (item: SessionItem) => item.class === name },
        { term: `class!=${name}`, holds: (item: SessionItem) => item.class !== name },
      ),
    ),
  fc.constantFrom('answered', 'diverted').map((name) => ({
    term: `flag=${name}`,
    holds: (item: SessionItem) => item.flags.includes(name),
  })),
  fc
    .tuple(numberKeys, fc.constantFrom(...Object.keys(compare)), fc.integer({ min: 0, max: 5_000 }))
    .map(([[key, read], operator, bound]) => ({
      term: `${key}${operator}${bound}`,
      holds: (item: SessionItem) => compare[operator](read(item), bound),
    })),
);

describe('filter', () => {
  it('finds what a naive filter over the items finds', () => {
    let found = 0;
    fc.assert(
      fc.property(fc.array(meanings, { maxLength: 3 }), (terms) => {
        const naive = items.flatMap((item, i) =>
          terms.every((term) => term.holds(item)) ? [i] : [],
        );
        found += naive.length;
        assert.deepEqual(rowsThatMatch(terms.map((term) => term.term).join(' ')), naive);
      }),
      { numRuns: 1_000 },
    );
    assert.ok(found > COUNT, 'the terms drawn must match something for this to mean anything');
  });

  it('reads units, ranges and lists of names', () => {
    assert.deepEqual(rowsThatMatch('age>1h'), rowsThatMatch('age>3600'));
    assert.deepEqual(rowsThatMatch('idle=1m..2m30s'), rowsThatMatch('idle>=60 idle<=150'));
    assert.deepEqual(rowsThatMatch('bytes=2M..'), rowsThatMatch('bytes>=2000000'));
    assert.deepEqual(
      rowsThatMatch('class=dns,stun'),
      items.flatMap((item, i) => (['dns', 'stun'].includes(item.class) ? [i] : [])),
    );
    assert.notEqual(rowsThatMatch('age>1h').length, 0);
  });

  it('matches every address with /0 and none with a port that does not occur', () => {
    assert.equal(rowsThatMatch('remote=0.0.0.0/0').length, COUNT);
    assert.equal(rowsThatMatch('remote=0.0.0.0/0:1').length, 0);
    assert.equal(rowsThatMatch('host!=192.168.0.0/16').length, 0);
  });

  const refusals: [string, string, RegExp][] = [
    ['clas=dns', 'FILTER_KEY', /no "clas" to filter by here; did you mean "class"\?/],
    [
      'nonsense',
      'FILTER_WORD',
      /"nonsense" is no address .* write key=value with one of proto, host/,
    ],
    ['proto=sctp', 'FILTER_VALUE', /"sctp" is no proto; one of tcp, udp, icmp/],
    ['age>soon', 'FILTER_VALUE', /"soon" is no time; write 90s, 5m, 1h30m or 2d/],
    ['bytes>10Q', 'FILTER_VALUE', /"10Q" is no number; write 1500, 10k/],
    ['host=', 'FILTER_VALUE', /has no value behind =/],
    ['host=300.1.1.1', 'FILTER_VALUE', /"300.1.1.1" is not understood; write 192.168.1.20/],
    ['remote=:65536', 'FILTER_VALUE', /":65536" is not understood/],
    ['port=30-20', 'FILTER_VALUE', /"30-20" is not understood/],
    ['host=10.0.0.0/33', 'FILTER_VALUE', /is not understood/],
    ['class>dns', 'FILTER_OPERATOR', /class has no order.*write class=dns/],
    ['constructor=1', 'FILTER_KEY', /no "constructor" to filter by/],
    ['1 '.repeat(33), 'FILTER_TOO_LONG', /33 terms/],
  ];
  for (const [text, code, message] of refusals)
    it(`refuses ${text.slice(0, 20).trim()} with ${code}`, () => {
      assert.throws(
        () => compileFilter(text, LISTS.sessions.fields),
        (error: QueryError) => {
          assert.ok(error instanceof QueryError);
          assert.equal(error.code, code);
          assert.match(error.message, message);
          return true;
        },
      );
    });

  it('compiles whatever is typed or refuses it with a QueryError', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (text) => {
        try {
          compileFilter(text, LISTS.sessions.fields).matches(sessionAt(emptySession(), 1));
        } catch (error) {
          assert.ok(error instanceof QueryError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('finds events by endpoint and by words, and an absent endpoint never matches', () => {
    const source = new FakeSource(0);
    source.addEvent();
    source.addEvent({
      internal: undefined,
      remote: undefined,
      kind: 'started',
      text: 'Up and ready',
    });
    const found = (text: string): number[] => {
      const filter = compileFilter(text, LISTS.events.fields);
      return source.eventItems.filter((item) => filter.matches(item)).map((item) => item.sequence);
    };
    assert.deepEqual(found('host=192.168.0.0/24'), [1]);
    assert.deepEqual(found('host=0.0.0.0/0'), [1]);
    assert.deepEqual(found('READY'), [2]);
    assert.deepEqual(found('kind=session-refused :53'), [1]);
  });
});

describe('text', () => {
  it('prints and parses addresses both ways', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (number) => {
        assert.equal(parseAddress(formatAddress(number)), number);
      }),
    );
    assert.equal(parseAddress('1.2.3'), undefined);
    assert.equal(parseAddress('1.2.3.256'), undefined);
  });

  it('parses times and quantities', () => {
    assert.equal(parseDuration('1h30m'), 5_400);
    assert.equal(parseDuration('250ms'), 0.25);
    assert.equal(parseDuration('2d'), 172_800);
    assert.equal(parseDuration('5 s'), undefined);
    assert.equal(parseQuantity('1.5M'), 1_500_000);
    assert.equal(parseQuantity('64MiB'), 67_108_864);
    assert.equal(parseQuantity('-1'), undefined);
  });
});

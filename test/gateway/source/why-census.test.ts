/** The look at who holds what, while the worker goes on: records that are freed and taken anew in the middle of it. */
import assert from 'node:assert/strict';
import { type Arena, HOST_WORDS, S_COMMIT, SESSION_WORDS } from '../../../core/table/arena.ts';
import { HOST_ADDRESS } from '../../../core/table/hosts.ts';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import { type Census, type CensusRequest, takeCensus } from '../../../gateway/source/why-census.ts';
import { Bench } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

const CAPACITY = 1_024;
const PORTS = 240;
const HOST = '192.168.1.20';
const OTHER = '192.168.1.21';

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

const request = (bench: Bench, arena: Arena = bench.table.parts.arena): CensusRequest => ({
  arena,
  portCount: PORTS,
  nowMs: 0,
  wanted: new Set(),
  createdRecently: () => 0,
  lanName: () => 'home',
  limitsOf: () => ({ sessions: 0, newPerSecond: 0, owned: 0 }),
  ownedMost: PORTS,
});

/** Forty sessions of a host, ten towards each of four destinations in 198.51.`net`.0/24. */
function talk(bench: Bench, host: string, net: number): void {
  for (let i = 0; i < 40; i++)
    bench.pass4(udp4({ from: `${host}:${4_000 + i}`, to: `198.51.${net}.${1 + (i & 3)}:9000` }));
}

function endAll(bench: Bench): void {
  const { words } = bench.table.parts.sessions;
  for (let session = 0; session < CAPACITY; session++)
    if ((words[session * SESSION_WORDS + S_COMMIT] & 63) !== 0) bench.table.end(session);
}

/** A table of so few records is looked at in one go: what `meanwhile` does comes between the first look and the second. */
function censusAround(bench: Bench, meanwhile: () => void): Promise<Census> {
  const census = takeCensus(request(bench));
  meanwhile();
  return census;
}

const DESTINATIONS = [1, 2, 3, 4].map((n) => `udp 198.51.100.${n}:9000 10`);
const textOf = (one: { protocol: string; address: string; port: number; sessions: number }) =>
  `${one.protocol} ${one.address}:${one.port} ${one.sessions}`;

describe('the census', () => {
  for (const [what, goesOn] of [
    ['were freed', () => undefined],
    ['belong to others', (bench: Bench) => talk(bench, OTHER, 7)],
  ] as const)
    it(`names the destinations that were counted although their records ${what} by then`, async () => {
      const bench = new Bench({ capacity: CAPACITY });
      talk(bench, HOST, 100);
      const census = await censusAround(bench, () => {
        endAll(bench);
        goesOn(bench);
      });
      const host = census.hosts.find(({ address }) => address === HOST);
      assert.deepEqual(host?.destinations.map(textOf).sort(), DESTINATIONS);
      assert.deepEqual(census.remotes.map(textOf).sort(), DESTINATIONS);
    });

  it('leaves out a host whose record is that of another one at the end', async () => {
    const bench = new Bench({ capacity: CAPACITY });
    talk(bench, HOST, 100);
    const { hosts } = bench.table.parts;
    const at = hosts.find(parseIpv4(HOST)) * HOST_WORDS;
    const census = await censusAround(bench, () => {
      hosts.words[at + HOST_ADDRESS] = parseIpv4(OTHER);
    });
    assert.deepEqual(census.hosts, []);
  });

  it('attributes no port that was given back while its owner was looked up', async () => {
    const bench = new Bench({ capacity: CAPACITY });
    bench.pass4(udp4({ from: `${HOST}:5000`, to: '203.0.113.10:3478', payload: stun() }));
    const { arena, ports } = bench.table.parts;
    assert.equal(ports.ownedTotal, 1);
    const [, owned] = (await takeCensus(request(bench))).owned;
    assert.deepEqual([owned.owned, owned.hosts], [1, [{ address: HOST, owned: 1 }]]);

    // At the first look at the owner's record the session ends, and a guest of another host gets the record.
    let isEnded = false;
    const mappings = new Proxy(arena.mappings, {
      get(words, word) {
        if (!isEnded) {
          isEnded = true;
          endAll(bench);
          talk(bench, OTHER, 7);
        }
        return Reflect.get(words, word, words);
      },
    });
    const racing = Object.create(arena, { mappings: { value: mappings } }) as Arena;
    const [, none] = (await takeCensus(request(bench, racing))).owned;
    assert.ok(isEnded);
    assert.deepEqual([none.owned, none.hosts, none.classes], [0, [], []]);
  });
});

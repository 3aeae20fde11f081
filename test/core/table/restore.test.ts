import assert from 'node:assert/strict';
import fc from 'fast-check';
import { S_COMMIT, S_EXTERNAL, S_MAPPING } from '../../../core/table/arena.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { SYN, tcp4, udp4 } from '../../support/packets.ts';

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};
const inside = (n: number): string => `10.1.${n >> 8}.${n & 255 || 1}:${4000 + n}`;

/** A bench with sessions of every kind, and the external endpoint of each. */
function filled(): { bench: Bench; flows: Map<string, string> } {
  const bench = new Bench({ capacity: 4096 });
  const flows = new Map<string, string>();
  for (let n = 0; n < 3000; n++) {
    const to = `198.51.100.${(n % 40) + 1}:53`;
    flows.set(inside(n), endpoints(bench.pass4(udp4({ from: inside(n), to }))).from);
  }
  for (let host = 11; host < 20; host++)
    bench.pass4(udp4({ from: `192.168.1.${host}:5000`, to: '203.0.113.10:3478', payload: stun() }));
  bench.pass4(tcp4({ from: '192.168.1.11:5000', to: '198.51.100.1:80', flags: SYN }));
  return { bench, flows };
}

const successor = (bench: Bench, seed = 7): Bench => {
  const buffer = bench.table.parts.arena.header.buffer as ArrayBuffer;
  return new Bench({ capacity: 4096, arena: buffer.slice(0), now: bench.now, seed });
};

describe('a restart', () => {
  it('loses no session, no owner and no filter', () => {
    const { bench, flows } = filled();
    const next = successor(bench);
    const restored = next.table.restore();
    assert.deepEqual([restored.sessions, restored.dropped], [bench.table.parts.sessions.count, 0]);
    assert.deepEqual(selfCheck(next.table.parts), []);
    assert.equal(next.table.parts.ports.ownedCount[1], 9);
    const [was, is] = [bench.table.parts.sessions, next.table.parts.sessions];
    assert.deepEqual([...is.byProtocol], [...was.byProtocol]);
    assert.deepEqual([...is.byClass], [...was.byClass]);

    let n = 0;
    for (const [from, external] of flows) {
      const to = `198.51.100.${(n++ % 40) + 1}:53`;
      assert.equal(endpoints(next.pass4(udp4({ from, to }))).from, external);
      assert.equal(endpoints(next.pass4(udp4({ from: to, to: external }))).to, from);
    }
    const peer = next.pass4(
      udp4({ from: '192.168.1.11:5000', to: '203.0.113.11:3478', payload: stun() }),
    );
    const external = endpoints(peer).from;
    assert.equal(
      endpoints(next.pass4(udp4({ from: '203.0.113.10:9', to: external }))).to,
      '192.168.1.11:5000',
    );
    assert.equal(next.send(udp4({ from: '203.0.113.99:9', to: external })), 'FilteredByOwner');
    next.pass(8000);
    assert.equal(next.table.parts.sessions.count, 0);
    assert.deepEqual(selfCheck(next.table.parts), []);
  });

  it('drops and counts what is not possible, and keeps the rest', () => {
    const { bench } = filled();
    const next = successor(bench);
    const { words } = next.table.parts.sessions;
    const before = bench.table.parts.sessions.count;
    words[0 * 16 + S_EXTERNAL] = (80 << 16) | 17;
    words[1 * 16 + S_MAPPING] = 4095;
    words[2 * 16 + S_MAPPING] = -5;
    words[3 * 16 + S_COMMIT] |= 63;
    words.copyWithin(4 * 16, 5 * 16, 6 * 16);
    const restored = next.table.restore();
    assert.deepEqual([restored.sessions, restored.dropped], [before - 5, 5]);
    assert.deepEqual(selfCheck(next.table.parts), []);
  });

  it('survives any damage to the records', () => {
    const { bench } = filled();
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer()), { minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(damage, (edits) => {
        const next = successor(bench);
        const { sessions, mappings, remotes, hosts, ports } = next.table.parts;
        const regions = [sessions.words, mappings.words, remotes.words, hosts.words, ports.words];
        for (const [at, value] of edits) {
          const region = regions[at % regions.length];
          region[(at >>> 3) % region.length] = value;
        }
        next.table.restore();
        assert.deepEqual(selfCheck(next.table.parts), []);
        next.pass4(udp4({ from: '192.168.1.77:1', to: '198.51.100.200:9' }));
        next.pass(10);
        assert.deepEqual(selfCheck(next.table.parts), []);
      }),
      { numRuns: 60 },
    );
  });
});

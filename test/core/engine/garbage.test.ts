/**
 * Nothing is allocated per packet: a million packets go through the engine, and the collector has nothing to do. The observer hears of a
 * collection one turn of the event loop later, so the count is read after the loop has turned. A control with one object per packet
 * must be caught, or the test would prove nothing.
 */
import assert from 'node:assert/strict';
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { DESCRIPTOR_WORDS, HEADROOM_BYTES } from '../../../core/frames.ts';
import { Bench } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

const BATCH = 64;
const BATCHES = 15_625;
const SLOT_BYTES = 256;
const EVENT_LOOP_TURNS = 4;

/** Collections while `work` runs, as heard after the event loop has turned. */
async function collectionsDuring(work: () => void): Promise<number> {
  let count = 0;
  const observer = new PerformanceObserver((list) => {
    count += list.getEntries().length;
  });
  for (let i = 0; i < EVENT_LOOP_TURNS; i++) await turn();
  observer.observe({ entryTypes: ['gc'] });
  work();
  for (let i = 0; i < EVENT_LOOP_TURNS; i++) await turn();
  observer.disconnect();
  return count;
}

/** Sends batches of established and of new sessions, by writing bytes only. */
function makeWork(bench: Bench, perPacket: (i: number) => void): () => void {
  const packet = udp4({
    from: '10.0.0.1:1024',
    to: '198.51.100.1:53',
    payload: new Uint8Array(18),
  });
  const { bytes, descriptors } = bench.frames;
  let flow = 0;
  return () => {
    for (let batch = 0; batch < BATCHES; batch++) {
      for (let i = 0; i < BATCH; i++) {
        const at = HEADROOM_BYTES + i * SLOT_BYTES;
        for (let k = 0; k < packet.length; k++) bytes[at + k] = packet[k];
        // One packet in sixteen opens a session, to one of 250 remote addresses.
        if ((i & 15) === 0) flow++;
        bytes[at + 14] = flow >> 8;
        bytes[at + 15] = flow;
        bytes[at + 19] = (flow % 250) + 1;
        descriptors[i * DESCRIPTOR_WORDS] = at;
        descriptors[i * DESCRIPTOR_WORDS + 1] = packet.length;
        descriptors[i * DESCRIPTOR_WORDS + 2] = 0;
        perPacket(i);
      }
      bench.now += 2;
      bench.engine.process(BATCH, bench.now);
      bench.engine.advance(bench.now);
    }
  };
}

describe('garbage', () => {
  it('none is made by a million packets, old sessions and new', async () => {
    const bench = new Bench({ capacity: 65536 });
    const work = makeWork(bench, () => {});
    // Twice before, so that everything is compiled when it counts.
    work();
    work();
    await turn();
    assert.equal(await collectionsDuring(work), 0);
    assert.ok(bench.table.parts.sessions.count > 10_000);
  }).timeout(60_000);

  it('is noticed when one object is made per packet', async () => {
    const kept: unknown[] = new Array(256);
    const bench = new Bench({ capacity: 65536 });
    const work = makeWork(bench, (i) => {
      kept[i] = { address: i, port: bench.now };
    });
    work();
    await turn();
    assert.ok((await collectionsDuring(work)) > 0);
  }).timeout(60_000);
});

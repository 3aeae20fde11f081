/** The thread that forwards steps back before the kernel stops it. In virtual time. */
import assert from 'node:assert/strict';
import { Precedence } from '../../gateway/datapath/precedence.ts';

/** What the kernel grants a real-time thread of each second. */
const GRANTED_MS = 950;

/** A thread that uses `share` of its time, looked at every millisecond. */
class Thread {
  now = 1000;
  used = 0;
  mayGo = true;
  changes = 0;
  /** For each millisecond: processor time used as a real-time thread. */
  readonly realtime: number[] = [];
  readonly precedence = new Precedence(
    {
      goBeforeOthers: () => {
        this.changes++;
        return this.mayGo;
      },
      goWithOthers: () => {
        this.changes++;
      },
      threadMilliseconds: () => this.used,
    },
    this.now,
  );

  run(milliseconds: number, share: number): void {
    for (let i = 0; i < milliseconds; i++) {
      this.now++;
      this.used += share;
      this.realtime.push(this.precedence.isBefore ? share : 0);
      this.precedence.turn(this.now);
    }
  }

  /** Most real time in any second. */
  get most(): number {
    let sum = 0;
    let most = 0;
    for (const [at, used] of this.realtime.entries()) {
      sum += used - (this.realtime[at - 1000] ?? 0);
      most = Math.max(most, sum);
    }
    return most;
  }
}

describe('precedence of the thread that forwards', () => {
  it('lasts for a thread that uses up to three quarters of its processor', () => {
    const thread = new Thread();
    thread.run(60_000, 0.74);
    assert.equal(thread.changes, 0);
    assert.ok(thread.precedence.isBefore);
  });

  it('is never in force for as long as the kernel would not bear, whatever the load', () => {
    for (const share of [0.8, 0.9, 0.95, 1]) {
      const thread = new Thread();
      thread.run(10_000, share);
      assert.ok(thread.most < GRANTED_MS, `${thread.most} ms of a second at ${share}`);
      assert.ok(thread.most > GRANTED_MS / 2, `${thread.most} ms of a second at ${share}`);
    }
    const bursts = new Thread();
    for (let i = 0; i < 20; i++) {
      bursts.run(700, 1);
      bursts.run(300, 0);
    }
    assert.ok(bursts.most < GRANTED_MS, `${bursts.most} ms`);
  });

  it('comes back when there is less to do', () => {
    const thread = new Thread();
    thread.run(5000, 1);
    thread.run(200, 0.2);
    const { changes } = thread;
    thread.run(20_000, 0.5);
    assert.ok(thread.precedence.isBefore);
    assert.equal(thread.changes, changes);
  });

  it('is given up where the right to it was taken away', () => {
    const thread = new Thread();
    thread.mayGo = false;
    thread.run(5000, 1);
    assert.deepEqual([thread.precedence.isBefore, thread.changes], [false, 2]);
  });
});

/**
 * When to look whether the host is still as the gateway set it: soon after the kernel told of a change,
 * and every half minute anyway, since not everything is told (kernel settings, nftables, a lost message).
 *
 *   change ──► 300 ms, in which others may follow ──► a pass ──► rest of four times its length
 *
 * One pass at a time; what is told meanwhile leads to one more. The rest keeps a host whose routes change all
 * the time (a routing daemon) from doing nothing but looking. What a pass makes anew is a change too, and somebody else may
 * take it away at once; so there are at most ten
 * repairs in a row, and then one every ten seconds.
 */
import { monitorHost } from '../tun/host/index.ts';

const SETTLE_MILLISECONDS = 300;
const PASS_INTERVAL_MILLISECONDS = 30_000;
/** Of the length of a pass. */
const REST_FACTOR = 4;

/** Repairs in a row, and then one in so many milliseconds. */
const REPAIRS_AT_ONCE = 10;
const REPAIR_MILLISECONDS = 10_000;

/** Says when a repair may be tried. */
export class RepairPace {
  private left = REPAIRS_AT_ONCE;
  private countedAt = 0;

  /** Milliseconds until the next repair may be tried; 0: it may now, and is taken to be. */
  take(now: number): number {
    const gained = Math.max(0, now - this.countedAt) / REPAIR_MILLISECONDS;
    this.left = Math.min(REPAIRS_AT_ONCE, this.left + gained);
    this.countedAt = now;
    if (this.left < 1) return Math.ceil((1 - this.left) * REPAIR_MILLISECONDS);
    this.left--;
    return 0;
  }
}

export class HostWatch {
  private readonly pass: () => Promise<number>;
  private readonly monitor = monitorHost(() => this.soon());
  private readonly interval: NodeJS.Timeout;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  /** Something changed while a pass ran. */
  private isStale = false;
  private isOver = false;
  private notBefore = 0;

  /** @param pass resolves with the milliseconds after which it wants to be repeated, or 0; must not throw */
  constructor(pass: () => Promise<number>) {
    this.pass = pass;
    this.interval = setInterval(() => {
      this.monitor.revive();
      this.soon();
    }, PASS_INTERVAL_MILLISECONDS);
    // For what happened between the start and the first word of the monitor.
    this.soon();
  }

  /** Ends the watching; a pass that runs comes to its end first. */
  async stop(): Promise<void> {
    this.isOver = true;
    clearInterval(this.interval);
    clearTimeout(this.timer);
    this.monitor.close();
    await this.running;
  }

  private soon(): void {
    if (this.isOver || this.timer !== undefined) return;
    if (this.running !== undefined) {
      this.isStale = true;
      return;
    }
    const wait = Math.max(SETTLE_MILLISECONDS, this.notBefore - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.running = this.runPass();
    }, wait);
  }

  private async runPass(): Promise<void> {
    const startedAt = performance.now();
    this.isStale = false;
    const again = await this.pass();
    const endedAt = performance.now();
    this.notBefore = endedAt + Math.max((endedAt - startedAt) * REST_FACTOR, again);
    this.running = undefined;
    if (this.isStale || again > 0) this.soon();
  }
}

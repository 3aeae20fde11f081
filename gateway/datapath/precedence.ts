/**
 * Precedence of the thread that forwards: before other programs, as the kernel's own forwarding is, but within what the kernel grants.
 *
 * A real-time thread that uses more than 95 % of a processor's second is stopped until the second is over (`kernel.sched_rt_runtime_us`):
 * for 50 ms nothing would be forwarded, once a second, just when there is most to do. So a thread that is so busy steps back in time, and
 * is an ordinary one for a while. Then it shares the processor, but nothing stops it.
 *
 *   budget, in ms of processor time    fills by 0.75 a ms, up to 150
 *   before others                      what it uses is taken out;  at 0 it steps back
 *   as others                          nothing is taken out;       at 75 it goes before them again
 *
 * So no second has more than 150 + 750 ms of real time, and some for the turns between two looks.
 */

export interface Scheduling {
  /** See tun/native.ts. */
  goBeforeOthers(): boolean;
  goWithOthers(): void;
  /** Processor time that the calling thread has used. */
  threadMilliseconds(): number;
}

const LOOK_MILLISECONDS = 10;
const SHARE = 0.75;
const BUDGET_MAX = 150;
const BUDGET_TO_RETURN = 75;

export class Precedence {
  /** The thread goes before others now. */
  isBefore = true;
  private readonly scheduling: Scheduling;
  private budget = BUDGET_MAX;
  private lookedAt: number;
  private used: number;
  private mayReturn = true;

  /** Of a thread that has just gone before others. @param nowMs clock of the turns */
  constructor(scheduling: Scheduling, nowMs: number) {
    this.scheduling = scheduling;
    this.lookedAt = nowMs;
    this.used = scheduling.threadMilliseconds();
  }

  /** To be called at least every few milliseconds while there is work. */
  turn(nowMs: number): void {
    const elapsed = nowMs - this.lookedAt;
    if (elapsed < LOOK_MILLISECONDS) return;
    const used = this.scheduling.threadMilliseconds();
    const spent = this.isBefore ? used - this.used : 0;
    this.budget = Math.min(BUDGET_MAX, this.budget + elapsed * SHARE - spent);
    this.lookedAt = nowMs;
    this.used = used;
    if (this.isBefore && this.budget <= 0) {
      this.scheduling.goWithOthers();
      this.isBefore = false;
    } else if (!this.isBefore && this.mayReturn && this.budget >= BUDGET_TO_RETURN) {
      this.isBefore = this.scheduling.goBeforeOthers();
      // The right to do so was taken away meanwhile.
      this.mayReturn = this.isBefore;
    }
  }
}

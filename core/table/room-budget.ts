/**
 * What making room may cost: how often whom is searched for.
 *
 *   a search at a remote that remembers a refusal    16 in a tick, 4 of them for one host; none for a second after one that found nothing
 *   room made in the full table                      512 times in a tick, 16 of them for one host; none in the tick after finding nothing
 *
 * The share of a host is what keeps the budget from being one host's: who asks all the time, and finds nothing, would use it up, and a
 * neighbour would not even be searched for.
 *
 * What each asked is remembered by remote and host in a table of fixed size without chains: a pair that falls on another's place forgets
 * that, which costs a search more.
 */

const SEARCHES_PER_TICK = 16;
const SEARCHES_PER_HOST = 4;
const TABLE_ROOM_PER_TICK = 512;
const TABLE_ROOM_PER_HOST = 16;
/** After a search that found nothing its asker waits for a second. */
export const RETRY_TICKS = 4;

/** Entry: remote, or one of the two below; host; the tick of the count, or until which to wait; count. */
const MEMORY_ENTRIES = 1024;
const MEMORY_WORDS = 4;
const THE_TABLE = -1;
const NOTHING = -2;
const ALL_SEARCHES = -3;

export class RoomBudget {
  private readonly memory = new Int32Array(MEMORY_ENTRIES * MEMORY_WORDS).fill(NOTHING);
  private tick = -1;
  private searchesLeft = 0;
  private tableRoomLeft = 0;

  /** True if it may be searched for this host at a remote that remembers a refusal: counts as a search. */
  takeSearch(remote: number, host: number, tick: number): boolean {
    const { memory } = this;
    const at = this.placeOf(remote, host);
    if (memory[at] === remote && memory[at + 1] === host && memory[at + 2] - tick > 0) return false;
    this.refill(tick);
    if (this.searchesLeft === 0) return false;
    const taken = this.takenOf(ALL_SEARCHES, host, tick);
    if (taken >= SEARCHES_PER_HOST) return false;
    this.remember(ALL_SEARCHES, host, tick, taken + 1);
    this.searchesLeft--;
    return true;
  }

  /** The search at this remote has found nothing. */
  foundNothing(remote: number, host: number, tick: number): void {
    this.remember(remote, host, tick + RETRY_TICKS, 0);
  }

  /** True if room may be made for this host in the table: neither it nor all together have had their share of this tick. */
  takeTableRoom(host: number, tick: number): boolean {
    this.refill(tick);
    if (this.tableRoomLeft === 0) return false;
    const taken = this.takenOf(THE_TABLE, host, tick);
    if (taken >= TABLE_ROOM_PER_HOST) return false;
    this.remember(THE_TABLE, host, tick, taken + 1);
    this.tableRoomLeft--;
    return true;
  }

  /** There is no room in the table for this host, in this tick. */
  foundNoTableRoom(host: number, tick: number): void {
    this.remember(THE_TABLE, host, tick, TABLE_ROOM_PER_HOST);
  }

  private refill(tick: number): void {
    if (tick === this.tick) return;
    this.tick = tick;
    this.searchesLeft = SEARCHES_PER_TICK;
    this.tableRoomLeft = TABLE_ROOM_PER_TICK;
  }

  /** How much of it a host had in this tick. */
  private takenOf(what: number, host: number, tick: number): number {
    const { memory } = this;
    const at = this.placeOf(what, host);
    const isKnown = memory[at] === what && memory[at + 1] === host && memory[at + 2] === tick;
    return isKnown ? memory[at + 3] : 0;
  }

  private placeOf(what: number, host: number): number {
    const hash = Math.imul(Math.imul(what, 0x9e3779b1) ^ host, 0x85ebca6b);
    return (hash >>> 22) * MEMORY_WORDS;
  }

  private remember(what: number, host: number, tick: number, count: number): void {
    const { memory } = this;
    const at = this.placeOf(what, host);
    memory[at] = what;
    memory[at + 1] = host;
    memory[at + 2] = tick;
    memory[at + 3] = count;
  }
}

if (MEMORY_ENTRIES !== 1 << 10) throw new Error('placeOf takes the top ten bits of its hash');

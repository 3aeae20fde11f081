/**
 * Fills the bit row of a remote that has just been given one.
 *
 * A small set is filled at once, by one look-up a port. For a large one (61,439 ports are 4 ms of look-ups) the builder walks the
 * session records instead, a bounded share per call; sessions that come and go meanwhile mark and unmark the row themselves, so that
 * the row is exact when the walk is over. Until then the search does not trust it. One row is built at a time: a remote that comes
 * second gets its row with one of its next sessions.
 */
import { S_COMMIT, S_EXTERNAL, S_REMOTE } from './arena.ts';
import type { PortSet } from './port-set.ts';
import type { Remotes } from './remotes.ts';
import { SESSION_SHIFT, type Sessions } from './sessions.ts';

const WHOLE_SET_MAX = 4096;
const RECORDS_PER_CALL = 8192;

export class RowBuilder {
  /** The remote whose row is not complete, or -1. */
  remote = -1;
  private cursor = 0;
  private readonly sessions: Sessions;
  private readonly remotes: Remotes;
  private readonly set: PortSet;

  constructor(sessions: Sessions, remotes: Remotes, set: PortSet) {
    this.sessions = sessions;
    this.remotes = remotes;
    this.set = set;
  }

  /** Gives `remote` a row and fills it, at once or from now on. */
  begin(remote: number, remoteAddress: number, remotePort: number, low: number): void {
    const { set, sessions, remotes } = this;
    const isLarge = set.count > WHOLE_SET_MAX;
    if ((isLarge && this.remote >= 0) || !remotes.giveRow(remote)) return;
    if (isLarge) {
      this.remote = remote;
      this.cursor = 0;
      return;
    }
    for (let number = 0; number < set.count; number++)
      if (sessions.findExternal((set.ports[number] << 16) | low, remoteAddress, remotePort) >= 0)
        remotes.mark(remote, number);
  }

  /** Forgets the work if it was for `remote`: its row was taken back. */
  abandon(remote: number): void {
    if (this.remote === remote) this.remote = -1;
  }

  /** Goes on with the walk. */
  advance(): void {
    if (this.remote < 0) return;
    const { words, capacity } = this.sessions;
    const end = Math.min(capacity, this.cursor + RECORDS_PER_CALL);
    for (let session = this.cursor; session < end; session++) {
      const at = session << SESSION_SHIFT;
      if ((words[at + S_COMMIT] & 63) !== 0 && words[at + S_REMOTE] === this.remote)
        this.remotes.mark(this.remote, this.set.numberOf(words[at + S_EXTERNAL] >>> 16));
    }
    this.cursor = end;
    if (end === capacity) this.remote = -1;
  }
}

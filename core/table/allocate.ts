/**
 * Which external port a new session gets (design: ports shared, and still endpoint-independent).
 *
 *   1. An endpoint that has a mapping keeps its port, unless that exact external 5-tuple is taken; then it is diverted.
 *   2. A peer claims a port of its own: ownerless, free towards this remote, with the fewest sessions.
 *   3. Otherwise, below another NAT, the port of a tuple that it still knows towards this remote (upstream.ts); or
 *      any shareable port that is free towards the remote: by random probes while the remote has few sessions, by its bit
 *      row when it has many, by walking the set when there is no row. The search is exact: it fails only when every port is taken.
 *   4. Then a port that a peer owns, towards a remote address that the peer does not admit.
 *   5. Then that of a session that may end for it: closed, never answered, idle, or of whoever holds most there (make-room.ts).
 *   6. Else the session is refused, and the remote remembers for how long searching is useless.
 *
 * Sharing needs one test only: the external index holds no such 5-tuple.
 */
import { hasBit, randomFree } from './bits.ts';
import { Counter } from './counters.ts';
import { HOST_OTHERS, HOST_OWNED, HOST_SHIFT } from './hosts.ts';
import type { MakeRoom } from './make-room.ts';
import type { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';

/** Random probes before a row, or a walk, is used. At a sixteenth of the set taken, eight fail once in 4 billion. */
const PROBES_MAX = 8;
/** While the row of a large set is being made. */
const PROBES_BUILDING_MAX = 64;
/** Sets up to this size are looked through whole when a peer claims a port, and when a row is filled. */
const CLAIM_WHOLE_SET_MAX = 256;
const CLAIM_SAMPLES = 16;
/** Owned ports looked at: all of them in sets of up to a thousand. */
const LAST_RESORT_TRIES = 1024;

export class Allocator {
  private readonly parts: TableParts;
  private readonly room: MakeRoom;
  /** Set by portFor: the port is not the mapping's own. */
  diverted = false;
  /** Set by portFor: the endpoint now owns the port. */
  claimed = false;
  /** Set by portFor: a peer found no port to own and goes on as a guest. */
  unowned = false;
  /** Set by portFor: the host owns as many ports as a host may, and ports are not shared. */
  hostLimited = false;

  constructor(parts: TableParts, room: MakeRoom) {
    this.parts = parts;
    this.room = room;
  }

  /** The number of a port in the set for the session that `first` asks for, or -1 when none is left. */
  portFor(first: Opening, tick: number): number {
    const { ports, mappings, hosts, remotes, counters, random, upstream } = this.parts;
    const { set } = ports;
    const { mapping, host, remote, remoteAddress, remotePort, low, profile } = first;
    const { sharing, ownedPerHostMax } = profile;
    const group = ports.group(low >>> 8, first.protocol);
    this.diverted = false;
    this.claimed = false;
    this.unowned = false;
    this.hostLimited = false;

    const isRefused = remote >= 0 && remotes.refuses(remote, tick);

    if ((first.isPeer || !sharing) && (mapping < 0 || !mappings.isOwner(mapping))) {
      const ownedMax = (set.count * profile.ownedShare256) >> 8;
      // Hosts that share a record cannot be told apart, so no limit of a single host holds for them.
      const hostOwned = host === HOST_OTHERS ? 0 : hosts.words[(host << HOST_SHIFT) + HOST_OWNED];
      const hostMayOwn = ownedPerHostMax === 0 || hostOwned < ownedPerHostMax;
      const mayOwn = hostMayOwn && ports.ownedCount[group] < ownedMax;
      // Where every port is known to be taken a claim would look at each of them again.
      if (mayOwn && !isRefused) {
        const number = this.claim(group, remoteAddress, remotePort, low);
        if (number >= 0) {
          this.claimed = true;
          return number;
        }
      }
      if (!sharing) {
        this.hostLimited = !hostMayOwn;
        return -1;
      }
      counters[Counter.PeersWithoutOwnPort]++;
      this.unowned = true;
    }

    if (mapping >= 0) {
      const number = set.numberOf(mappings.externalPort(mapping));
      if (!this.isTaken(number, low, remoteAddress, remotePort)) return number;
      if (!sharing) return -1;
      this.diverted = true;
    }

    if (isRefused)
      return this.room.mayAskAgain(first, tick) ? this.room.inRemote(first, group, tick) : -1;
    if (upstream !== undefined) {
      const number = upstream.portFor(first, low);
      if (number >= 0) return number;
    }
    const row = remote < 0 ? -1 : remotes.rowAt(remote);
    const isExactRow = row >= 0 && remote !== this.parts.rowBuilder.remote;
    if (!isExactRow) {
      const tries = row < 0 ? PROBES_MAX : PROBES_BUILDING_MAX;
      for (let i = 0; i < tries; i++) {
        const number = randomFree(
          ports.shareable,
          -1,
          ports.shareable,
          group * set.rowWords,
          set.rowWords,
          random.next(),
        );
        if (number < 0) break;
        if (!this.isTaken(number, low, remoteAddress, remotePort)) {
          counters[Counter.SearchesByProbe]++;
          return number;
        }
      }
      const number = this.walk(group, remoteAddress, remotePort, low);
      if (number >= 0) return number;
    } else {
      const number = randomFree(
        remotes.rows,
        row,
        ports.shareable,
        group * set.rowWords,
        set.rowWords,
        random.next(),
      );
      if (number >= 0) {
        counters[Counter.SearchesByRow]++;
        return number;
      }
    }

    const owned = this.lastResort(group, remoteAddress, remotePort, low);
    if (owned >= 0) return owned;
    if (remote < 0) return -1;
    return this.room.inRemote(first, group, tick);
  }

  /** True if the external 5-tuple of port `number` towards this remote endpoint is in use. */
  private isTaken(number: number, low: number, remoteAddress: number, remotePort: number): boolean {
    const external = (this.parts.ports.set.ports[number] << 16) | low;
    return this.parts.sessions.findExternal(external, remoteAddress, remotePort) >= 0;
  }

  /** The shareable port with the fewest sessions that is free towards the remote; -1 when none is. */
  private claim(group: number, remoteAddress: number, remotePort: number, low: number): number {
    const { ports, random } = this.parts;
    const { set } = ports;
    const rowAt = group * set.rowWords;
    const whole = set.count <= CLAIM_WHOLE_SET_MAX;
    const start = random.below(set.count);
    const candidates = whole ? set.count : CLAIM_SAMPLES;
    let best = -1;
    let bestSessions = 0x7fffffff;
    for (let i = 0; i < candidates; i++) {
      const number = whole
        ? (start + i) % set.count
        : randomFree(ports.shareable, -1, ports.shareable, rowAt, set.rowWords, random.next());
      if (number < 0 || !hasBit(ports.shareable, rowAt, number)) continue;
      const sessions = ports.sessions(group, number);
      if (sessions >= bestSessions || this.isTaken(number, low, remoteAddress, remotePort))
        continue;
      best = number;
      bestSessions = sessions;
    }
    return best;
  }

  /** Exact search without a row: every shareable port from a random start. */
  private walk(group: number, remoteAddress: number, remotePort: number, low: number): number {
    const { ports, random, counters } = this.parts;
    const { set } = ports;
    const rowAt = group * set.rowWords;
    counters[Counter.SearchesByWalk]++;
    let number = random.below(set.count);
    for (let i = 0; i < set.count; i++) {
      if (
        hasBit(ports.shareable, rowAt, number) &&
        !this.isTaken(number, low, remoteAddress, remotePort)
      )
        return number;
      number = number + 1 === set.count ? 0 : number + 1;
    }
    return -1;
  }

  /**
   * A port owned by a peer that has nothing to do with this remote address, and that is free towards it: the owned ports in order from
   * a random word.
   */
  private lastResort(
    group: number,
    remoteAddress: number,
    remotePort: number,
    low: number,
  ): number {
    const { ports, filter, random } = this.parts;
    const { rowWords } = ports.set;
    if (ports.ownedCount[group] === 0) return -1;
    let tries = 0;
    let word = random.below(rowWords);
    for (let i = 0; i < rowWords; i++) {
      let bits = ports.lastResort[group * rowWords + word];
      for (; bits !== 0; bits &= bits - 1) {
        if (tries++ === LAST_RESORT_TRIES) return -1;
        const number = (word << 5) + 31 - Math.clz32(bits & -bits);
        if (
          !filter.admits(ports.owner(group, number), remoteAddress) &&
          !this.isTaken(number, low, remoteAddress, remotePort)
        )
          return number;
      }
      word = word + 1 === rowWords ? 0 : word + 1;
    }
    return -1;
  }
}

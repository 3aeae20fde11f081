/**
 * One view of a web page: names are asked for, then connections opened, by TCP and by QUIC.
 *
 *   first server:  DNS ─▶ connection ─▶ the page is there ─┬─▶ further server: DNS ─▶ connections
 *                                                          └─▶ …
 *
 * A browser that QUIC is refused to connects by TCP: at once where it was told by ICMP (Chromium needs 2 to 3 ms), a little later where
 * packets vanish, since it then races the two; and it leaves QUIC to that server alone for five minutes.
 *
 * The page *fails* when the first server's name or connection is not had, or when more than a tenth of its connections are not had
 * within 20 s.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import type { FlowOwner } from '../flows.ts';
import { Payload } from '../payloads.ts';
import type { Random } from '../random.ts';
import type { Host, World } from '../world.ts';

export interface PageShape {
  /** Sessions of a page, at least and at most; the shares of DNS and QUIC among them. */
  sessions: readonly [number, number];
  dnsShare: number;
  quicShare: number;
}

const RESOLVERS = [(1 << 24) | (1 << 16) | (1 << 8) | 1, (8 << 24) | (8 << 16) | (8 << 8) | 8];
const DNS_PORT = 53;
const HTTPS_PORT = 443;
/** A, AAAA and HTTPS records; a socket each. */
const QUERIES_PER_SERVER = 3;
const FAILED_SHARE_MAX = 0.1;
const PATIENCE_MS = 20_000;

/** A resolver library asks again after five seconds, or at once after an error; three times in all. */
const DNS_TRIES = 3;
const DNS_SILENT_MS = 5000;
const DNS_TOLD_MS = 50;
const TCP_RETRIES = 3;
const QUIC_TOLD_MS = 3;
const QUIC_SILENT_MS = 300;
const QUIC_BROKEN_MS = 300_000;
/** Exchanges of a connection: heavy-tailed, most are short. */
const ROUNDS = { least: 3, most: 60, shape: 1.6 } as const;
/** How long a connection stays open unused; then one of the two closes it. */
const IDLE_MS = { least: 2_000, most: 60_000, shape: 0.7 } as const;
/** The further servers are found while the page is read. */
const DISCOVERY_MEAN_MS = 600;

/** What a browser remembers from page to page: until when it leaves QUIC alone, by server. */
export class Browser {
  readonly host: Host;
  private readonly brokenUntilMs = new Map<number, number>();

  constructor(host: Host) {
    this.host = host;
  }

  mayUseQuic(server: number, nowMs: number): boolean {
    return (this.brokenUntilMs.get(server) ?? 0) <= nowMs;
  }

  quicFailed(server: number, nowMs: number): void {
    this.brokenUntilMs.set(server, nowMs + QUIC_BROKEN_MS);
  }
}

/** What a flow is for, in the low bits of its tag; above them the number of the server or of the connection. */
const Part = { Name: 0, OtherName: 1, Tcp: 2, Quic: 3 } as const;

interface Server {
  address: number;
  connections: number;
  tries: number;
}

export class Page implements FlowOwner {
  private readonly world: World;
  private readonly browser: Browser;
  private readonly random: Random;
  private readonly kind: string;
  private readonly servers: Server[] = [];
  /** Server of each connection begun. */
  private readonly serverOf: number[] = [];
  private readonly quicChance: number;
  private total = 0;
  private had = 0;
  private lost = 0;
  private isShown = false;
  private isOver = false;

  /**
   * @param random the page's own; each connection has one of its own again, so that what failed before changes nothing in it
   * @param kind of action that it counts as
   */
  constructor(world: World, browser: Browser, shape: PageShape, random: Random, kind: string) {
    this.world = world;
    this.browser = browser;
    this.random = random;
    this.kind = kind;
    const sessions = Math.round(random.between(...shape.sessions));
    const servers = Math.max(1, Math.round((sessions * shape.dnsShare) / QUERIES_PER_SERVER));
    const connections = Math.max(servers, sessions - servers * QUERIES_PER_SERVER);
    this.quicChance = Math.min(1, (sessions * shape.quicShare) / connections);
    for (let n = 0; n < servers; n++)
      this.servers.push({ address: world.server(random), connections: 1, tries: 0 });
    for (let n = servers; n < connections; n++) this.servers[random.below(servers)].connections++;
    this.total = connections;
    world.tally.began(kind);
    this.askNames(0, 0);
    world.after(PATIENCE_MS, () => this.judge());
  }

  /** Asks for the addresses of a server. Without the first answer it cannot be reached; the others are for comfort. */
  private askNames(server: number, delayMs: number): void {
    for (let query = 0; query < QUERIES_PER_SERVER; query++)
      this.askName(server, query === 0 ? Part.Name : Part.OtherName, delayMs);
  }

  private askName(server: number, part: number, delayMs: number): void {
    const rttMs = this.random.between(5, 30);
    this.world.flows.begin(
      {
        protocol: PROTOCOL_UDP,
        host: this.browser.host,
        remoteAddress: RESOLVERS[this.servers[server].tries % RESOLVERS.length],
        remotePort: DNS_PORT,
        first: Payload.DnsQuery,
        answer: Payload.DnsAnswer,
        rounds: 0,
        rttMs,
        gapMs: rttMs,
        owner: this,
        tag: (server << 2) | part,
      },
      delayMs,
    );
  }

  private connect(server: number, delayMs: number): void {
    const connection = this.serverOf.push(server) - 1;
    const { address } = this.servers[server];
    const wantsQuic = this.random.fork(connection).chance(this.quicChance);
    const atMs = this.world.timeline.nowMs + delayMs;
    if (wantsQuic && this.browser.mayUseQuic(address, atMs)) this.openQuic(connection, delayMs);
    else this.openTcp(connection, delayMs);
  }

  private openQuic(connection: number, delayMs: number): void {
    const random = this.random.fork(connection, Part.Quic);
    const rttMs = random.between(8, 60);
    this.world.tally.quicAttempts++;
    this.world.flows.begin(
      {
        protocol: PROTOCOL_UDP,
        host: this.browser.host,
        remoteAddress: this.servers[this.serverOf[connection]].address,
        remotePort: HTTPS_PORT,
        first: Payload.QuicInitial,
        answer: Payload.QuicAnswer,
        later: Payload.QuicShort,
        rounds: Math.round(random.pareto(ROUNDS.least, ROUNDS.most, ROUNDS.shape)),
        rttMs,
        gapMs: rttMs + random.exponential(100),
        owner: this,
        tag: (connection << 2) | Part.Quic,
      },
      delayMs,
    );
  }

  private openTcp(connection: number, delayMs: number): void {
    const random = this.random.fork(connection, Part.Tcp);
    const rttMs = random.between(8, 60);
    this.world.flows.begin(
      {
        protocol: PROTOCOL_TCP,
        host: this.browser.host,
        remoteAddress: this.servers[this.serverOf[connection]].address,
        remotePort: HTTPS_PORT,
        rounds: Math.round(random.pareto(ROUNDS.least, ROUNDS.most, ROUNDS.shape)),
        rttMs,
        gapMs: rttMs + random.exponential(100),
        idleMs: random.pareto(IDLE_MS.least, IDLE_MS.most, IDLE_MS.shape),
        remoteCloses: random.chance(0.5),
        retries: TCP_RETRIES,
        owner: this,
        tag: (connection << 2) | Part.Tcp,
      },
      delayMs,
    );
  }

  /** A name is known, or a connection there. */
  opened(tag: number): void {
    const part = tag & 3;
    if (part === Part.OtherName) return;
    if (part !== Part.Name) {
      this.connected();
      return;
    }
    const server = tag >>> 2;
    const { connections } = this.servers[server];
    // The rest of the first server's connections wait for the first, as all that follows does.
    const now = server === 0 ? 1 : connections;
    for (let n = 0; n < now; n++) this.connect(server, n === 0 ? 1 : this.random.between(1, 200));
  }

  failed(tag: number, told: boolean): void {
    const part = tag & 3;
    const number = tag >>> 2;
    if (part === Part.Name) this.nameFailed(number, told);
    else if (part === Part.Quic) {
      const { nowMs } = this.world.timeline;
      if (told) this.world.tally.quicRefused++;
      this.browser.quicFailed(this.servers[this.serverOf[number]].address, nowMs);
      this.openTcp(number, told ? QUIC_TOLD_MS : QUIC_SILENT_MS);
    } else if (part === Part.Tcp) this.lose(1);
  }

  private nameFailed(server: number, told: boolean): void {
    const asked = this.servers[server];
    if (++asked.tries < DNS_TRIES)
      this.askName(server, Part.Name, told ? DNS_TOLD_MS : DNS_SILENT_MS);
    else this.lose(asked.connections);
  }

  private connected(): void {
    this.had++;
    if (!this.isShown) {
      this.isShown = true;
      this.discover();
    }
    this.judgeWhenDone();
  }

  /** The first connection has brought the page; now the rest of it is fetched. */
  private discover(): void {
    for (let n = 1; n < this.servers[0].connections; n++)
      this.connect(0, this.random.exponential(DISCOVERY_MEAN_MS));
    for (let server = 1; server < this.servers.length; server++)
      this.askNames(server, this.random.exponential(DISCOVERY_MEAN_MS));
  }

  private lose(connections: number): void {
    this.lost += connections;
    this.judgeWhenDone();
  }

  private judgeWhenDone(): void {
    if (this.had + this.lost >= this.total || (!this.isShown && this.lost > 0)) this.judge();
  }

  private judge(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { had } = this;
    if (had === 0)
      this.world.tally.failed(
        this.kind,
        this.serverOf.length === 0 ? 'no address' : 'no connection',
      );
    else if (this.total - had > this.total * FAILED_SHARE_MAX)
      this.world.tally.failed(this.kind, 'parts missing');
  }
}

/**
 * One run: a router, the users behind it, and the clock.
 *
 *   users ──▶ flows and alarms ──▶ timeline ──▶ one after the other, in virtual milliseconds
 *                  │
 *                  └──▶ send / receive ──▶ router ──▶ tally
 *
 * The router's own time passes every 250 ms, as a tick of the engine is; what stands in between was asked of it at its exact time.
 */
import { Flows } from './flows.ts';
import type { RouterModel } from './model.ts';
import type { Payloads } from './payloads.ts';
import { type Random, Zipf } from './random.ts';
import { Tally } from './tally.ts';
import { Timeline } from './timeline.ts';

const TICK_MS = 250;
/** Ports that systems take for sockets of their own (RFC 6335: the dynamic ports). */
const PORT_FIRST = 49_152;
const PORT_COUNT = 16_384;
/** Servers of the simulated Internet: public addresses that are nobody's in particular. */
const SERVER_FIRST = (151 << 24) | (101 << 16);

/** A host of the LAN. */
export class Host {
  readonly address: number;
  private nextPort: number;

  constructor(address: number, random: Random) {
    this.address = address;
    this.nextPort = random.below(PORT_COUNT);
  }

  /** The port of a fresh socket; one that was closed long ago comes again. */
  takePort(): number {
    this.nextPort = (this.nextPort + 1) % PORT_COUNT;
    return PORT_FIRST + this.nextPort;
  }
}

export interface WorldOptions {
  model: RouterModel;
  /** The router above, whose table is watched too. */
  above?: RouterModel;
  payloads: Payloads;
  random: Random;
  durationMs: number;
  /** Servers of the Internet, and how uneven their popularity is. */
  servers: number;
  popularity: number;
  /** Samples of the time series. */
  samples: number;
}

export class World {
  readonly timeline = new Timeline();
  readonly tally = new Tally();
  readonly flows: Flows;
  readonly payloads: Payloads;
  readonly random: Random;
  readonly durationMs: number;
  private readonly model: RouterModel;
  private readonly above: RouterModel | undefined;
  private readonly popularity: Zipf;
  private readonly sampleMs: number;
  private readonly alarms: ((() => void) | undefined)[] = [];
  private readonly freeAlarms: number[] = [];
  private readonly hosts: Host[] = [];

  constructor(options: WorldOptions) {
    this.model = options.model;
    this.above = options.above;
    this.payloads = options.payloads;
    this.random = options.random;
    this.durationMs = options.durationMs;
    this.sampleMs = Math.max(TICK_MS, options.durationMs / options.samples);
    this.popularity = new Zipf(options.servers, options.popularity);
    this.flows = new Flows(this);
  }

  /** A host more in the LAN, 10.0.0.2 being the first. */
  addHost(): Host {
    const number = this.hosts.length;
    const host = new Host((10 << 24) | (number + 2), this.random.fork(number));
    this.hosts.push(host);
    return host;
  }

  /** The address of a server by its popularity; `random` is the user's own. */
  server(random: Random): number {
    return SERVER_FIRST + this.popularity.draw(random) * 5;
  }

  /** Calls back after `delayMs`. */
  after(delayMs: number, callback: () => void): void {
    const alarm = this.freeAlarms.pop() ?? this.alarms.length;
    this.alarms[alarm] = callback;
    this.timeline.add(alarm * 2 + 1, this.timeline.nowMs + delayMs);
  }

  /** A packet from the LAN: the external port, or a refusal, which is counted. */
  send(
    protocol: number,
    internalAddress: number,
    internalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
  ): number {
    const result = this.model.outbound(
      protocol,
      internalAddress,
      internalPort,
      remoteAddress,
      remotePort,
      tcpFlags,
      payload,
      this.timeline.nowMs,
    );
    if (result > 0) this.tally.packets++;
    else this.tally.refused(result);
    return result;
  }

  /** A packet from outside: the internal port, or a refusal, which is counted. */
  receive(
    protocol: number,
    externalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
  ): number {
    const result = this.model.inbound(
      protocol,
      externalPort,
      remoteAddress,
      remotePort,
      tcpFlags,
      payload,
      this.timeline.nowMs,
    );
    if (result >= 0) this.tally.packets++;
    else this.tally.lostInbound++;
    return result;
  }

  /** True if the last packet that came in went to this host. */
  wentTo(host: Host): boolean {
    return this.model.internalAddress === host.address;
  }

  /** Lets everything happen. @param progress hears of it now and then, with the share that is done */
  run(progress: (share: number) => void): void {
    const { timeline, tally } = this;
    let sampleAtMs = 0;
    for (let tickMs = 0; tickMs <= this.durationMs; tickMs += TICK_MS) {
      this.until(tickMs);
      this.model.advance(tickMs);
      tally.look(this.model, this.above);
      if (tickMs < sampleAtMs) continue;
      tally.sample(tickMs, this.model, this.above);
      progress(timeline.nowMs / this.durationMs);
      sampleAtMs += this.sampleMs;
    }
  }

  private until(endMs: number): void {
    for (let item = this.timeline.take(endMs); item >= 0; item = this.timeline.take(endMs)) {
      if ((item & 1) === 0) this.flows.happen(item >>> 1);
      else this.ring(item >>> 1);
    }
  }

  private ring(alarm: number): void {
    const callback = this.alarms[alarm];
    this.alarms[alarm] = undefined;
    this.freeAlarms.push(alarm);
    callback?.();
  }
}

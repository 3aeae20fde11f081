/**
 * Coding agents: many short TLS connections to a few servers, some at a time, in bursts of work. A request fails when its connection is
 * not had or breaks.
 */
import { z } from 'zod';
import { PROTOCOL_TCP } from '../../../core/wire/ipv4.ts';
import type { FlowOwner } from '../flows.ts';
import type { Random } from '../random.ts';
import { amount, count } from '../values.ts';
import type { Host, World } from '../world.ts';
import { userKind } from './kind.ts';

const HTTPS_PORT = 443;
const TCP_RETRIES = 3;
/** The servers of one provider: they stand side by side. */
const SERVER_FIRST = (160 << 24) | (79 << 16) | (104 << 8) | 10;
const KIND = 'agent request';

export const agents = userKind({
  table: z.strictObject({
    count,
    'agents-per-host': count.default(8),
    'requests-per-minute': amount(10_000).default(30),
    servers: count.default(3),
  }),
  begin(world, options, random) {
    const meanMs = 60_000 / options['requests-per-minute'];
    for (let n = 0; n < options.count; n++) {
      const host = world.addHost();
      for (let agent = 0; agent < options['agents-per-host']; agent++)
        new Agent(world, host, options.servers, meanMs, random.fork(n, agent)).work();
    }
  },
});

class Agent implements FlowOwner {
  private readonly world: World;
  private readonly host: Host;
  private readonly servers: number;
  private readonly meanMs: number;
  private readonly random: Random;

  constructor(world: World, host: Host, servers: number, meanMs: number, random: Random) {
    this.world = world;
    this.host = host;
    this.servers = servers;
    this.meanMs = meanMs;
    this.random = random;
  }

  work(): void {
    this.world.after(this.random.exponential(this.meanMs), () => {
      this.request();
      this.work();
    });
  }

  private request(): void {
    const { world, random } = this;
    const rttMs = random.between(20, 120);
    world.tally.began(KIND);
    world.flows.begin({
      protocol: PROTOCOL_TCP,
      host: this.host,
      remoteAddress: SERVER_FIRST + random.below(this.servers),
      remotePort: HTTPS_PORT,
      rounds: Math.round(random.pareto(4, 40, 1.5)),
      rttMs,
      gapMs: rttMs + random.exponential(50),
      idleMs: random.exponential(500),
      remoteCloses: random.chance(0.2),
      retries: TCP_RETRIES,
      owner: this,
    });
  }

  failed(): void {
    this.world.tally.failed(KIND, 'no connection');
  }

  ended(_tag: number, broken: boolean): void {
    if (broken) this.world.tally.failed(KIND, 'connection broke');
  }
}

/**
 * Calls and games: a socket learns by STUN which external endpoint it has, tells its peers, and packets flow both ways without a
 * server.
 *
 *   socket ──STUN──▶ server            the external port that the server saw is what the peers are told
 *   socket ──media─▶ peer              the peer's own NAT lets in only what comes from the endpoint it was told of
 *   socket ◀─media── peer              and our router must let in what the peer sends to that endpoint
 *
 * So a call comes about if the router shows the peer the port that it showed the server, and admits the peer's answer to the socket
 * that asked. It breaks when media cannot pass for five seconds. One packet each way a second stands for the stream.
 */
import { z } from 'zod';
import { PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import type { FlowOwner } from '../flows.ts';
import { Payload } from '../payloads.ts';
import type { Random } from '../random.ts';
import { amount, count, duration } from '../values.ts';
import type { Host, World } from '../world.ts';
import { userKind } from './kind.ts';

const STUN_SERVERS = [(74 << 24) | (125 << 16) | (250 << 8) | 129, (52 << 24) | (4 << 16) | 99];
const STUN_PORT = 3478;
const PEER_FIRST = (126 << 24) | (10 << 16);
const PEERS = 60_000;
const MEDIA_MS = 1000;
const LOST_MAX = 5;
const KIND = 'call';

export const calls = userKind({
  table: z.strictObject({
    count,
    'calls-per-hour': amount(1000).default(4),
    peers: count.default(1),
    lasts: duration.default(600_000),
  }),
  begin(world, options, random) {
    const meanMs = 3_600_000 / options['calls-per-hour'];
    for (let n = 0; n < options.count; n++) {
      const own = random.fork(n);
      const host = world.addHost();
      let call = 0;
      const next = (): void =>
        world.after(own.exponential(meanMs), () => {
          const random = own.fork(call++);
          new Call(world, host, options.peers, random.exponential(options.lasts), random).begin();
          next();
        });
      next();
    }
  },
});

class Call implements FlowOwner {
  private readonly world: World;
  private readonly host: Host;
  private readonly internalPort: number;
  private readonly peers: number[] = [];
  private readonly endMs: number;
  private readonly random: Random;
  /** The port that the server saw. */
  private externalPort = 0;
  private lost = 0;

  constructor(world: World, host: Host, peers: number, lastsMs: number, random: Random) {
    this.world = world;
    this.host = host;
    this.random = random;
    this.internalPort = host.takePort();
    this.endMs = world.timeline.nowMs + Math.max(lastsMs, 2 * MEDIA_MS);
    for (let n = 0; n < peers; n++) this.peers.push(PEER_FIRST + random.below(PEERS));
  }

  begin(): void {
    this.world.tally.began(KIND);
    const rttMs = this.random.between(10, 60);
    this.world.flows.begin({
      protocol: PROTOCOL_UDP,
      host: this.host,
      internalPort: this.internalPort,
      remoteAddress: STUN_SERVERS[this.random.below(STUN_SERVERS.length)],
      remotePort: STUN_PORT,
      first: Payload.StunRequest,
      answer: Payload.StunAnswer,
      rounds: 0,
      rttMs,
      gapMs: rttMs,
      retries: 5,
      retryMs: 500,
      owner: this,
    });
  }

  opened(_tag: number, flow: number): void {
    this.externalPort = this.world.flows.externalPort(flow);
    this.world.after(MEDIA_MS / 10, () => this.talk(true));
  }

  failed(): void {
    this.world.tally.failed(KIND, 'no STUN answer');
  }

  /** A packet to each peer and one back. @param isFirst nothing has passed yet */
  private talk(isFirst: boolean): void {
    const passed = this.peers.every((peer) => this.exchange(peer, isFirst));
    this.lost = passed ? 0 : this.lost + 1;
    if (this.lost > LOST_MAX) {
      this.world.tally.failed(KIND, isFirst ? 'peer not reached' : 'call broke');
      return;
    }
    const stillFirst = isFirst && !passed;
    if (this.world.timeline.nowMs < this.endMs)
      this.world.after(MEDIA_MS, () => this.talk(stillFirst));
  }

  private exchange(peer: number, isFirst: boolean): boolean {
    const { world } = this;
    const port = 10_000 + (peer & 0x7fff);
    const payload = isFirst ? Payload.StunRequest : Payload.Rtp;
    const sentFrom = world.send(
      PROTOCOL_UDP,
      this.host.address,
      this.internalPort,
      peer,
      port,
      0,
      payload,
    );
    const cameTo = world.receive(PROTOCOL_UDP, this.externalPort, peer, port, 0, payload);
    return (
      sentFrom === this.externalPort && cameTo === this.internalPort && world.wentTo(this.host)
    );
  }
}

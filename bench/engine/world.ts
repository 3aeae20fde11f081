/**
 * The flows of the engine's benchmark, by number, and an engine that holds some of them. Each is an internal endpoint of its own, so that
 * a new one costs a mapping too; every remote has 216 of the 240 ports of a v6 Plus line in use.
 *
 *   flow n:   internal 10.1.0.0 + n % 4096, port 1024 + n / 4096        remote 198.18.0.0 + n % remotes, port 53
 */
import { readI32 } from '../../core/wire/bytes.ts';
import { AS_IN_GATEWAY, type BenchEngine, makeEngine } from '../support/engine.ts';
import { slotAt, udpPacket } from '../support/packets.ts';
import { mapEPorts } from '../support/seeded.ts';

export const PACKET_BYTES = 64;
export const REMOTE_PORT = 53;
export const SESSIONS_PER_REMOTE = 216;
export const HOSTS = 4096;
const LAN_FIRST = (10 << 24) | (1 << 16);
const REMOTE_FIRST = (198 << 24) | (18 << 16);
const PORT_FIRST = 1024;
const IPV6_ADDRESS_BYTES = 16;

export const internalOf = (n: number): number => LAN_FIRST + (n % HOSTS);
export const portOf = (n: number): number => PORT_FIRST + Math.floor(n / HOSTS);

export const relayAddress = Uint8Array.from({ length: IPV6_ADDRESS_BYTES }, (_, i) => 0x20 + i);
export const ownAddress = Uint8Array.from({ length: IPV6_ADDRESS_BYTES }, (_, i) => 0x30 + i);

export class World {
  readonly bench: BenchEngine;
  readonly remotes: number;
  /** Sessions that were opened at the start, and the external port of each. */
  readonly sessions: number;
  readonly external: Uint16Array;

  /** @param sessions to open, rounded up to whole remotes; @param capacity a power of two */
  constructor(sessions: number, capacity: number, isTunnel = false, variant = AS_IN_GATEWAY) {
    const tunnel = { encapsulatesHere: true, ceAddress: ownAddress, brAddress: relayAddress };
    this.bench = makeEngine(capacity, mapEPorts(), isTunnel ? tunnel : {}, variant);
    this.remotes = Math.max(1, Math.ceil(sessions / SESSIONS_PER_REMOTE));
    this.sessions = this.remotes * SESSIONS_PER_REMOTE;
    this.external = new Uint16Array(this.sessions);
    for (let n = 0; n < this.sessions; n++) {
      this.outbound(0, n, this.remoteOf(n));
      this.bench.engine.process(1, 1000);
      this.external[n] = readI32(this.bench.frames.bytes, slotAt(0) + 20) >>> 16;
    }
    const open = this.bench.table.parts.sessions.count;
    if (open !== this.sessions) throw new Error(`${open} of ${this.sessions} sessions were opened`);
  }

  remoteOf(n: number): number {
    return REMOTE_FIRST + (n % this.remotes);
  }

  /** A remote that no session has. */
  strangerOf(n: number): number {
    return REMOTE_FIRST + this.remotes + n;
  }

  outbound(i: number, n: number, remote: number, remotePort = REMOTE_PORT): void {
    udpPacket(this.bench, i, internalOf(n), portOf(n), remote, remotePort, PACKET_BYTES);
  }

  inbound(i: number, n: number): void {
    const { externalAddress } = this.bench;
    udpPacket(
      this.bench,
      i,
      this.remoteOf(n),
      REMOTE_PORT,
      externalAddress,
      this.external[n],
      PACKET_BYTES,
    );
  }
}

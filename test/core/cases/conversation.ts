/** A TCP connection between a LAN host and a remote through a bench, segment by segment. */
import { STATE_NAMES } from '../../../core/state.ts';
import { S_COMMIT } from '../../../core/table/arena.ts';
import { SESSION_SHIFT } from '../../../core/table/sessions.ts';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import { Bench, type BenchOptions, endpoints } from '../../support/gateway.ts';
import { ACK, SYN, tcp4 } from '../../support/packets.ts';

const address = (endpoint: string): number => parseIpv4(endpoint.split(':')[0]);
const port = (endpoint: string): number => Number(endpoint.split(':')[1]);

export class Conversation {
  readonly bench: Bench;
  readonly host: string;
  readonly remote: string;
  /** The external endpoint, from the first segment that left. */
  external = '';

  constructor(
    bench: Bench | BenchOptions = {},
    host = '192.168.1.11:5000',
    remote = '198.51.100.9:8080',
  ) {
    this.bench = bench instanceof Bench ? bench : new Bench(bench);
    this.host = host;
    this.remote = remote;
  }

  /** A segment from the LAN. True if it left from the external endpoint of this connection. */
  out(flags: number, seq: number, ack = 0, bytes = 0): boolean {
    const payload = new Uint8Array(bytes);
    const segment = tcp4({ from: this.host, to: this.remote, flags, seq, ack, payload });
    const sent = this.bench.send(segment);
    if (typeof sent === 'string') return false;
    if (this.external === '') this.external = endpoints(sent).from;
    const { from, to } = endpoints(sent);
    return from === this.external && to === this.remote;
  }

  /** A segment from the remote. True if it reached the host. */
  in(flags: number, seq: number, ack = 0, bytes = 0): boolean {
    const payload = new Uint8Array(bytes);
    const segment = tcp4({ from: this.remote, to: this.external, flags, seq, ack, payload });
    const sent = this.bench.send(segment);
    return typeof sent !== 'string' && endpoints(sent).to === this.host;
  }

  /** Sequence numbers as packetdrill shows them: both sides begin at 0. */
  open(): this {
    this.out(SYN, 0);
    this.in(SYN | ACK, 0, 1);
    this.out(ACK, 1, 1);
    return this;
  }

  private get session(): number {
    const ports = (port(this.host) << 16) | port(this.remote);
    const { sessions } = this.bench.table.parts;
    return sessions.findInternal(address(this.host), address(this.remote), ports, 6);
  }

  /** Name of the session's state, or "none". */
  get state(): string {
    const { session } = this;
    if (session < 0) return 'none';
    const { words } = this.bench.table.parts.sessions;
    return STATE_NAMES[words[(session << SESSION_SHIFT) + S_COMMIT] & 63];
  }
}

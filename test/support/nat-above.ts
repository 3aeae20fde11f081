/**
 * A NAT above the gateway as plainly as it can be written: a map of 5-tuples, and the time of the last packet of each. What the model
 * in core/table/upstream.ts is held against.
 */
import { endpoints } from './gateway.ts';

export interface AboveTimers {
  udpSeconds: number;
  tcpSeconds: number;
  icmpSeconds: number;
}

export class NatAbove {
  private readonly lastMs = new Map<string, number>();
  private readonly timers: AboveTimers;

  constructor(timers: AboveTimers) {
    this.timers = timers;
  }

  /** A translated packet of ours goes out: it makes an entry or begins its time anew. */
  outbound(packet: Uint8Array, nowMs: number): void {
    const { from, to } = endpoints(packet);
    const key = `${packet[9]} ${from} ${to}`;
    this.forgetEnded(nowMs);
    this.lastMs.set(key, nowMs);
  }

  /** A packet comes in; true if there is an entry for it, which begins its time anew. */
  inbound(packet: Uint8Array, nowMs: number): boolean {
    const { from, to } = endpoints(packet);
    const key = `${packet[9]} ${to} ${from}`;
    this.forgetEnded(nowMs);
    if (!this.lastMs.has(key)) return false;
    this.lastMs.set(key, nowMs);
    return true;
  }

  entries(nowMs: number): number {
    this.forgetEnded(nowMs);
    return this.lastMs.size;
  }

  /** Protocol, our endpoint and the remote one, of every entry. */
  tuples(nowMs: number): [protocol: number, ours: string, remote: string][] {
    this.forgetEnded(nowMs);
    return [...this.lastMs.keys()].map((key) => {
      const [protocol, ours, remote] = key.split(' ');
      return [Number(protocol), ours, remote];
    });
  }

  private forgetEnded(nowMs: number): void {
    const { udpSeconds, tcpSeconds, icmpSeconds } = this.timers;
    for (const [key, lastMs] of this.lastMs) {
      const seconds = key.startsWith('17 ')
        ? udpSeconds
        : key.startsWith('6 ')
          ? tcpSeconds
          : icmpSeconds;
      if (nowMs - lastMs >= seconds * 1000) this.lastMs.delete(key);
    }
  }
}

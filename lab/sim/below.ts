/**
 * A router below another one, as two NATs in a row: what the lower one has translated is translated again.
 *
 *   LAN ──▶ lower ──(its external address)──▶ upper ──▶ Internet
 *
 * The upper router has one host, the lower router; a packet that it refuses is refused. Its table is watched as `above`.
 */
import type { RouterModel } from './model.ts';

export class Below implements RouterModel {
  readonly name: string;
  readonly capacity: number;
  readonly portCount: number;
  private readonly lower: RouterModel;
  private readonly upper: RouterModel;
  private readonly addressBetween: number;

  /** @param addressBetween the lower router's external address, which the upper one sees as its host */
  constructor(lower: RouterModel, upper: RouterModel, addressBetween: number) {
    this.name = lower.name;
    this.capacity = lower.capacity;
    this.portCount = lower.portCount;
    this.lower = lower;
    this.upper = upper;
    this.addressBetween = addressBetween;
  }

  get internalAddress(): number {
    return this.lower.internalAddress;
  }

  outbound(
    protocol: number,
    internalAddress: number,
    internalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
    nowMs: number,
  ): number {
    const port = this.lower.outbound(
      protocol,
      internalAddress,
      internalPort,
      remoteAddress,
      remotePort,
      tcpFlags,
      payload,
      nowMs,
    );
    if (port < 0) return port;
    return this.upper.outbound(
      protocol,
      this.addressBetween,
      port,
      remoteAddress,
      remotePort,
      tcpFlags,
      payload,
      nowMs,
    );
  }

  inbound(
    protocol: number,
    externalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
    nowMs: number,
  ): number {
    const port = this.upper.inbound(
      protocol,
      externalPort,
      remoteAddress,
      remotePort,
      tcpFlags,
      payload,
      nowMs,
    );
    if (port < 0) return port;
    return this.lower.inbound(protocol, port, remoteAddress, remotePort, tcpFlags, payload, nowMs);
  }

  advance(nowMs: number): void {
    this.upper.advance(nowMs);
    this.lower.advance(nowMs);
  }

  sessions(): number {
    return this.lower.sessions();
  }

  portsUsed(): number {
    return this.lower.portsUsed();
  }
}

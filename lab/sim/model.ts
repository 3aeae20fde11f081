/**
 * What the simulator asks of a router: what becomes of one packet, now.
 *
 *   LAN ──▶ outbound(internal endpoint, remote endpoint) ──▶ external port, or a refusal
 *   LAN ◀── inbound(external port, remote endpoint)      ◀── Internet
 *
 * A router has one external address, so that a port names its place outside; the identifier of an ICMP query stands for its port, with
 * remote port 0. Addresses are signed 32-bit numbers, the time is virtual and never goes back. The routers that are compared are small
 * models; Portfold is its real engine with real packets (portfold-model.ts). A model draws chance from `random` only.
 *
 *   result: >= 0  the external port (outbound, never 0) or the internal port (inbound; the host is then in `internalAddress`)
 *            < 0  ~refusal: bits 0 … 7 a number of `Drop`, bit 8 the sender was told by ICMP at once
 */

/** Set in a refusal that the sender hears of at once; without it the packet is lost in silence. */
export const TOLD = 256;

/** The result "refused for this reason (a number of Drop), in silence". */
export const refused = (reason: number): number => ~reason;

/** The reason within a negative result, and whether the sender was told. */
export const reasonOf = (result: number): number => ~result & 0xff;
export const wasTold = (result: number): boolean => (~result & TOLD) !== 0;

export interface RouterModel {
  /** For tables and plots: "rtx1200". */
  readonly name: string;
  /** Entries that its table holds, and external ports that it may use for each protocol. */
  readonly capacity: number;
  readonly portCount: number;
  /** The host that the last inbound packet was for. Valid until the next call. */
  readonly internalAddress: number;

  /**
   * A packet from the LAN.
   * @param tcpFlags flags of the TCP header, 0 otherwise; @param payload number of its payload (payloads.ts), of which most models know nothing
   */
  outbound(
    protocol: number,
    internalAddress: number,
    internalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
    nowMs: number,
  ): number;

  /** A packet from the Internet to an external port. */
  inbound(
    protocol: number,
    externalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
    nowMs: number,
  ): number;

  /** Lets time pass, at least four times a virtual second: entries end when their timer has run out. */
  advance(nowMs: number): void;

  /** Entries now. */
  sessions(): number;
  /** External ports in use now, of the protocol that uses most. */
  portsUsed(): number;
}

/** What a model is made from. */
export interface ModelOptions {
  /** The external ports of the line, in ascending order. */
  ports: Uint16Array;
  /** 32 random bits, signed; from the seed of the run. */
  random: () => number;
  /** Entries of its table; absent: the model's own size. */
  entries?: number;
}

export type ModelMaker = (options: ModelOptions) => RouterModel;

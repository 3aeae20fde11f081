/**
 * What every translation function needs: the tables, the line, the LANs, and the batch in hand. One object for the life of the engine;
 * only `frames` changes, once per batch.
 */
import { Frames } from '../frames.ts';
import { COUNTER_DROPS, Counter } from '../table/counters.ts';
import { FragmentTable } from '../table/fragment-table.ts';
import type { NatTable } from '../table/nat-table.ts';
import type { TableParts } from '../table/parts.ts';
import { Mesh, type MeshRules } from './mesh.ts';
import { Reassembly } from './reassembly.ts';

/** The WAN line as the packet path sees it. Addresses are signed 32-bit numbers. */
export interface Line {
  externalAddress: number;
  externalIndex: number;
  /** MTU of IPv4 packets on the line (inside the tunnel, if there is one). */
  mtu: number;
  /** Hops that the kernel takes a second time behind the TUN, and that are given back here. */
  restoreHopsOutbound: number;
  restoreHopsInbound: number;
  /** The external address is shared with other CEs: a port of it outside our set is a neighbour's. */
  isShared: boolean;
  /** The host uses the external address too; absent where it is the gateway's alone. */
  sharedWithHost?: boolean;
  /** Packets that are too big and may be fragmented are cut here; otherwise the kernel does it behind us. */
  fragmentsHere: boolean;
  /** Packets for the relay get their tunnel header here; otherwise the kernel does it behind us. */
  encapsulatesHere?: boolean;
  /** Tunnel endpoints, 16 bytes each; absent on a line without a tunnel. */
  ceAddress?: Uint8Array;
  brAddress?: Uint8Array;
  /** Neighbours are reached directly, and may send directly. */
  mesh?: MeshRules;
}

/** A network of a LAN, and the gateway's own address there. Most specific first. */
export interface LanNetwork {
  address: number;
  mask: number;
  gatewayAddress: number;
}

/**
 * Completes a partial transport checksum over the payload, which is not done in TypeScript: ip offset, where the sum starts and where it
 * is stored (both as the virtio header has them), and the packet's length.
 */
export type CompleteChecksum = (
  bytes: Uint8Array,
  ip: number,
  start: number,
  offset: number,
  length: number,
) => boolean;

/** ICMP answers to senders that have no host record: in all, per tick and at once. */
const STRANGER_ANSWERS_PER_TICK = 25;
const STRANGER_ANSWERS_BURST = 100;

export class Context {
  readonly table: NatTable;
  readonly parts: TableParts;
  readonly counters: Float64Array;
  readonly line: Line;
  readonly lans: readonly LanNetwork[];
  readonly fragments: FragmentTable;
  /** On a line with a tunnel. */
  readonly reassembly: Reassembly | undefined;
  /** On a line in a mesh. */
  readonly mesh: Mesh | undefined;
  readonly completeChecksum: CompleteChecksum;
  frames: Frames = new Frames(0, 0);
  /** The identification that the next outbound packet without DF gets; changes with each. */
  private identification: number;
  private strangerTokens = STRANGER_ANSWERS_BURST;
  private strangerTick = 0;

  constructor(
    table: NatTable,
    line: Line,
    lans: readonly LanNetwork[],
    completeChecksum: CompleteChecksum,
  ) {
    this.completeChecksum = completeChecksum;
    this.fragments = new FragmentTable(table.parts.random.next());
    const { ceAddress, mesh } = line;
    this.reassembly = ceAddress === undefined ? undefined : new Reassembly();
    const inMesh = ceAddress !== undefined && mesh !== undefined;
    this.mesh = inMesh ? new Mesh(mesh, ceAddress) : undefined;
    this.identification = table.parts.random.next() & 0xffff;
    this.table = table;
    this.parts = table.parts;
    this.counters = table.parts.counters;
    this.line = line;
    this.lans = lans;
  }

  /** A fresh IPv4 identification: none is used again before 65,535 others (RFC 6864). */
  nextIdentification(): number {
    this.identification = (this.identification + 1) & 0xffff;
    return this.identification;
  }

  /** Number of the LAN network that holds the address, or -1. */
  lanOf(address: number): number {
    const { lans } = this;
    for (let i = 0; i < lans.length; i++) {
      const lan = lans[i];
      if (((address ^ lan.address) & lan.mask) === 0) return i;
    }
    return -1;
  }

  /** True for the broadcast address of a LAN: nothing but its mask tells it from a host. A /31 and a /32 have none (RFC 3021). */
  isLanBroadcast(address: number): boolean {
    const lan = this.lanOf(address);
    if (lan < 0) return false;
    const { mask } = this.lans[lan];
    return (address | mask) === -1 && mask !== -1 && mask !== -2;
  }

  /** Counts a drop; the negative verdict carries the reason. */
  drop(reason: number): number {
    this.counters[COUNTER_DROPS + reason]++;
    return ~reason;
  }

  /** True if the internal sender may get another ICMP answer now. */
  mayAnswer(internalAddress: number): boolean {
    const { hosts } = this.parts;
    const { tick } = this.table;
    const host = hosts.find(internalAddress);
    if (host >= 0) return hosts.takeAnswer(host, tick);
    if (tick !== this.strangerTick) {
      const refill = Math.max(0, tick - this.strangerTick) * STRANGER_ANSWERS_PER_TICK;
      this.strangerTokens = Math.min(STRANGER_ANSWERS_BURST, this.strangerTokens + refill);
      this.strangerTick = tick;
    }
    if (this.strangerTokens <= 0) return false;
    this.strangerTokens--;
    return true;
  }

  /** Counts a translated packet of `bytes` bytes. */
  countOutbound(bytes: number): void {
    this.counters[Counter.PacketsOutbound]++;
    this.counters[Counter.BytesOutbound] += bytes;
  }

  countInbound(bytes: number): void {
    this.counters[Counter.PacketsInbound]++;
    this.counters[Counter.BytesInbound] += bytes;
  }
}

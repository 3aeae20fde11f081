/**
 * Portfold as one of the routers that are compared: its real engine over one frame of memory, with real packets under virtual time.
 *
 *   outbound(…) ──▶ headers into the slot of the payload ──▶ Engine.process ──▶ verdict, external port read from the packet
 *
 * Each packet is a batch of its own, since users react to what becomes of it. Nothing is replaced but the device and the clock: the
 * policy, the table, its sweep and its random numbers (from the run's seed) are those of the gateway.
 *
 * Sequence numbers of TCP run with the clock, from an initial number by 5-tuple as RFC 6528 has it, so that the reuse of closed
 * sessions is decided as for real hosts.
 */
import { Engine } from '../../core/engine.ts';
import {
  FRAME_LENGTH,
  FRAME_OFFLOAD,
  FRAME_OFFSET,
  FRAME_VERDICT,
  Frames,
  HEADROOM_BYTES,
} from '../../core/frames.ts';
import type { Policy } from '../../core/policy.ts';
import { Arena, arenaBytes, IDENTITY_WORDS, S_SEQUENCE_OUT } from '../../core/table/arena.ts';
import { COUNTER_DROPS, type Counter } from '../../core/table/counters.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import { SESSION_SHIFT } from '../../core/table/sessions.ts';
import { ANSWERED, DROP_COUNT, Drop } from '../../core/verdict.ts';
import { readI32, readU16, writeI32, writeU16 } from '../../core/wire/bytes.ts';
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, ICMP_ID } from '../../core/wire/icmp.ts';
import {
  finishIpv4Header,
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../core/wire/ipv4.ts';
import { TCP_HEADER_BYTES } from '../../core/wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../../core/wire/udp.ts';
import { type RouterModel, TOLD } from './model.ts';
import type { Payloads } from './payloads.ts';
import { mix } from './random.ts';

/** Two packets of the largest size a payload has, and an ICMP answer in front. */
const BUFFER_BYTES = 1 << 16;
const SPARE_BYTES = 1 << 16;
const FRAMES_MAX = 64;
const AT = HEADROOM_BYTES;
const L4 = AT + IPV4_HEADER_BYTES;
const TTL = 63;
/** Initial sequence numbers run with a clock of 4 µs (RFC 6528). */
const SEQUENCE_PER_MS = 250;

export interface PortfoldOptions {
  name: string;
  policy: Policy;
  ports: Uint16Array;
  /** A power of two. */
  capacity: number;
  payloads: Payloads;
  random: () => number;
  externalAddress: number;
  lans: { address: number; mask: number; gatewayAddress: number }[];
}

export class PortfoldModel implements RouterModel {
  readonly name: string;
  readonly capacity: number;
  readonly portCount: number;
  internalAddress = 0;
  readonly table: NatTable;
  private readonly engine: Engine;
  private readonly frames = new Frames(BUFFER_BYTES, FRAMES_MAX, SPARE_BYTES, FRAMES_MAX);
  private readonly payloads: Payloads;
  private readonly externalAddress: number;
  private readonly dropsBefore = new Float64Array(DROP_COUNT);

  constructor(options: PortfoldOptions) {
    const { name, policy, ports, capacity, externalAddress, random } = options;
    this.name = name;
    this.capacity = capacity;
    this.portCount = ports.length;
    this.payloads = options.payloads;
    this.externalAddress = externalAddress;
    const shape = { capacity, portCount: ports.length, externalCount: 1 };
    const arena = new Arena(new ArrayBuffer(arenaBytes(shape)), shape);
    arena.format(0, [externalAddress], new Int32Array(IDENTITY_WORDS));
    const fill = (words: Int32Array): void => {
      for (let i = 0; i < words.length; i++) words[i] = random();
    };
    const parts = makeParts(arena, new PortSet(ports), new RandomSource(fill));
    this.table = new NatTable(parts, policy, 0);
    const line = {
      externalAddress,
      externalIndex: 0,
      mtu: 1500,
      restoreHopsOutbound: 0,
      restoreHopsInbound: 0,
      isShared: true,
      fragmentsHere: false,
    };
    this.engine = new Engine(this.table, line, options.lans, this.frames, () => false);
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
    const { bytes, descriptors } = this.frames;
    this.write(protocol, internalAddress, remoteAddress, payload, ICMP_ECHO_REQUEST);
    if (protocol === PROTOCOL_ICMP) writeU16(bytes, L4 + ICMP_ID, internalPort);
    else writeI32(bytes, L4, (internalPort << 16) | remotePort);
    if (protocol === PROTOCOL_TCP) {
      const clock = nowMs * SEQUENCE_PER_MS;
      const flow = internalAddress ^ (internalPort << 16) ^ remotePort;
      writeSegment(bytes, mix(flow) + clock, mix(remoteAddress) + clock, tcpFlags);
    }
    this.engine.process(1, nowMs);
    const verdict = descriptors[FRAME_VERDICT];
    if (verdict < 0) return ~this.reasonOfDrop(~verdict);
    if (verdict === ANSWERED) return ~(this.reasonOfAnswer() | TOLD);
    return readU16(bytes, protocol === PROTOCOL_ICMP ? L4 + ICMP_ID : L4);
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
    const { bytes, descriptors } = this.frames;
    this.write(protocol, remoteAddress, this.externalAddress, payload, ICMP_ECHO_REPLY);
    if (protocol === PROTOCOL_ICMP) writeU16(bytes, L4 + ICMP_ID, externalPort);
    else writeI32(bytes, L4, (remotePort << 16) | externalPort);
    if (protocol === PROTOCOL_TCP)
      this.answerSegment(externalPort, remoteAddress, remotePort, tcpFlags, nowMs);
    this.engine.process(1, nowMs);
    const verdict = descriptors[FRAME_VERDICT];
    if (verdict < 0) return ~this.reasonOfDrop(~verdict);
    this.internalAddress = readI32(bytes, AT + IPV4_DESTINATION);
    return readU16(bytes, protocol === PROTOCOL_ICMP ? L4 + ICMP_ID : L4 + 2);
  }

  advance(nowMs: number): void {
    this.engine.advance(nowMs);
  }

  sessions(): number {
    return this.table.parts.sessions.count;
  }

  portsUsed(): number {
    return Math.max(...this.table.parts.ports.usedCount);
  }

  /** A counter of the engine. */
  counter(number: (typeof Counter)[keyof typeof Counter]): number {
    return this.table.parts.counters[number];
  }

  /** The one frame of the batch: IPv4 header and payload, without the transport header. */
  private write(
    protocol: number,
    source: number,
    destination: number,
    payload: number,
    icmpType: number,
  ): void {
    const { bytes, descriptors } = this.frames;
    const content = this.payloads.at(payload);
    const header = protocol === PROTOCOL_TCP ? TCP_HEADER_BYTES : UDP_HEADER_BYTES;
    const length = IPV4_HEADER_BYTES + header + content.length;
    if (content.length > 0) bytes.set(content, L4 + header);
    writeI32(bytes, AT, (0x4500 << 16) | length);
    writeI32(bytes, AT + 4, 0x4000);
    writeI32(bytes, AT + 8, (TTL << 24) | (protocol << 16));
    writeI32(bytes, AT + 12, source);
    writeI32(bytes, AT + 16, destination);
    finishIpv4Header(bytes, AT);
    if (protocol === PROTOCOL_UDP) writeI32(bytes, L4 + 4, (header + content.length) << 16);
    else if (protocol === PROTOCOL_ICMP) {
      writeI32(bytes, L4, icmpType << 24);
      writeI32(bytes, L4 + 4, 0);
    }
    descriptors[FRAME_OFFSET] = AT;
    descriptors[FRAME_LENGTH] = length;
    descriptors[FRAME_OFFLOAD] = 0;
  }

  /** The remote's segment acknowledges what the host has sent so far; whose connection it is, the session tells. */
  private answerSegment(
    externalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    nowMs: number,
  ): void {
    const clock = nowMs * SEQUENCE_PER_MS;
    const { sessions } = this.table.parts;
    const session = sessions.findExternal(
      (externalPort << 16) | PROTOCOL_TCP,
      remoteAddress,
      remotePort,
    );
    const sent = session < 0 ? clock : sessions.words[(session << SESSION_SHIFT) + S_SEQUENCE_OUT];
    writeSegment(this.frames.bytes, mix(remoteAddress) + clock, sent, tcpFlags);
  }

  /** The reason why a packet was dropped in silence. One that was to be answered, but for the limit of answers, has a reason of its own. */
  private reasonOfDrop(reason: number): number {
    if (reason === Drop.AnswerLimited) return this.reasonOfAnswer();
    this.dropsBefore[reason]++;
    return reason;
  }

  /** The reason of the answer that was just given: the one whose counter has risen. */
  private reasonOfAnswer(): number {
    const { counters } = this.table.parts;
    const { dropsBefore } = this;
    let reason: number = Drop.RefusedByPolicy;
    for (let i = 0; i < DROP_COUNT; i++) {
      const now = counters[COUNTER_DROPS + i];
      if (now !== dropsBefore[i] && i !== Drop.AnswerLimited) reason = i;
      dropsBefore[i] = now;
    }
    return reason;
  }
}

function writeSegment(
  bytes: Uint8Array,
  sequence: number,
  acknowledgement: number,
  flags: number,
): void {
  writeI32(bytes, L4 + 4, sequence | 0);
  writeI32(bytes, L4 + 8, acknowledgement | 0);
  writeI32(bytes, L4 + 12, (5 << 28) | (flags << 16) | 0xffff);
  writeI32(bytes, L4 + 16, 0x12340000);
}

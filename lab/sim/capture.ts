/**
 * The flows of a recorded capture, to be played behind the routers of a scenario.
 *
 *   packets ──▶ 5-tuples ──▶ which end is inside ──▶ the same packets at the same times, from hosts of the simulated LAN
 *
 * Inside is the end with a private address; where both or neither have one, the end that sent first. What stays in a LAN (both ends in
 * one /24), goes to everybody (multicast, broadcast), or is a later fragment never comes to a router, and is left out. Hosts get new addresses, in
 * the order in which they appear. The first payload of a UDP flow goes along, so that classes are found as in the gateway.
 *
 * A recording begins and ends amid connections, and what that cuts off must not count against a router that keeps the state of TCP:
 *
 *   first packet recorded is          the connection is
 *     a SYN from inside               played as it was
 *     a SYN from outside              left out: no router here forwards a port
 *     a FIN or RST                    left out: it has ended before
 *     anything else                   opened by a handshake in front of that packet, for every router alike
 *
 * A recording cannot react: a browser that was refused QUIC does not fall back here. A flow *fails* when one of its packets is refused on
 * the way out; behind a FIN or RST nobody waits for anything any more, so what is refused there fails no flow.
 */
import { readI32, readU16 } from '../../core/wire/bytes.ts';
import {
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  ipv4HeaderBytes,
  isUnroutable,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../core/wire/ipv4.ts';
import { TCP_ACK, TCP_FIN, TCP_FLAGS, TCP_RST, TCP_SYN } from '../../core/wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../../core/wire/udp.ts';
import { isPrivate } from '../../policies/private-destinations.ts';
import { Payload } from './payloads.ts';
import type { Recording } from './pcap.ts';
import type { Host, World } from './world.ts';

interface RecordedFlow {
  protocol: number;
  internalAddress: number;
  internalPort: number;
  remoteAddress: number;
  remotePort: number;
  /** Of the first UDP packet that leaves; as long as it was on the wire. */
  first: Uint8Array;
  /** A TCP connection that was there before the recording. */
  stoodBefore: boolean;
}

interface FlowPacket {
  timeMs: number;
  flow: number;
  isOutbound: boolean;
  tcpFlags: number;
}

export interface Capture {
  flows: RecordedFlow[];
  packets: FlowPacket[];
  durationMs: number;
  leftOut: LeftOut;
}

/** TCP connections that are not played. */
export interface LeftOut {
  /** Only their end was recorded. */
  ended: number;
  /** Somebody outside began them. */
  fromOutside: number;
}

const ICMP_ECHO_REQUEST = 8;
const ICMP_ECHO_REPLY = 0;
const NOTHING = new Uint8Array(0);
/** Of a line's 1,500 bytes. What was longer travelled in fragments, or was several packets that the recording host had not cut yet. */
const PAYLOAD_MAX = 1500 - IPV4_HEADER_BYTES - UDP_HEADER_BYTES;
const KIND = 'recorded flow';
const NETWORK_MASK = -1 << 8;
/** Stands for the number of a flow. */
const NOT_PLAYED = -1;

/** The two ends of a packet. */
interface Ends {
  protocol: number;
  source: number;
  sourcePort: number;
  destination: number;
  destinationPort: number;
  tcpFlags: number;
  /** The answer to an ICMP query: its identifier stands for the port of the end that asked. */
  isReply: boolean;
}

export function captureOf({ bytes, packets }: Recording): Capture {
  const inOrder = [...packets].sort((a, b) => a.timeMs - b.timeMs);
  const startMs = inOrder[0]?.timeMs ?? 0;
  const flows: RecordedFlow[] = [];
  const leftOut: LeftOut = { ended: 0, fromOutside: 0 };
  const numbers = new Map<string, number>();
  const found: FlowPacket[] = [];
  for (const { timeMs, at, kept } of inOrder) {
    const ends = endsOf(bytes, at, kept);
    if (ends === undefined) continue;
    const { source, sourcePort, destination, destinationPort, protocol, tcpFlags } = ends;
    const forwards = `${protocol} ${source}:${sourcePort} ${destination}:${destinationPort}`;
    const backwards = `${protocol} ${destination}:${destinationPort} ${source}:${sourcePort}`;
    const name = numbers.has(backwards) ? backwards : forwards;
    let flow = numbers.get(name);
    if (flow === undefined || (flow === NOT_PLAYED && isSyn(tcpFlags) && !isInbound(ends))) {
      const why = whyLeftOut(ends);
      if (why !== undefined) leftOut[why]++;
      flow = why === undefined ? flows.push(flowOf(ends)) - 1 : NOT_PLAYED;
      numbers.set(name, flow);
    }
    if (flow === NOT_PLAYED) continue;
    const { internalAddress, internalPort } = flows[flow];
    const isOutbound = internalAddress === source && internalPort === sourcePort;
    if (isOutbound && protocol === PROTOCOL_UDP && flows[flow].first === NOTHING)
      flows[flow].first = payloadOf(bytes, at + ipv4HeaderBytes(bytes, at), at + kept);
    found.push({ timeMs: timeMs - startMs, flow, isOutbound, tcpFlags });
  }
  const durationMs = Math.ceil((found[found.length - 1]?.timeMs ?? 0) / 1000) * 1000 + 1000;
  return { flows, packets: found, durationMs, leftOut };
}

/** Why a connection that begins with this packet is not played. */
function whyLeftOut(ends: Ends): keyof LeftOut | undefined {
  const { protocol, tcpFlags } = ends;
  if (protocol !== PROTOCOL_TCP) return undefined;
  // From inside, SYN and ACK are the answer of a server there.
  if ((tcpFlags & TCP_SYN) !== 0 && isSyn(tcpFlags) === isInbound(ends)) return 'fromOutside';
  return isEnd(tcpFlags) ? 'ended' : undefined;
}

const isSyn = (tcpFlags: number): boolean => (tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_SYN;
const isEnd = (tcpFlags: number): boolean => (tcpFlags & (TCP_FIN | TCP_RST)) !== 0;

/** Plays a capture in a world. */
export function replay(world: World, { flows, packets }: Capture): void {
  const hosts = new Map<number, Host>();
  const state = flows.map((flow) => {
    let host = hosts.get(flow.internalAddress);
    if (host === undefined) {
      host = world.addHost();
      hosts.set(flow.internalAddress, host);
    }
    const first = flow.first.length > 0 ? world.payloads.add(flow.first) : Payload.None;
    return {
      ...flow,
      host,
      first,
      externalPort: 0,
      hasBegun: false,
      hasFailed: false,
      hasEnded: false,
    };
  });
  const play = (n: number): void => {
    const { isOutbound, tcpFlags, flow: number } = packets[n];
    const flow = state[number];
    if (flow.stoodBefore && !flow.hasBegun) open(flow);
    if (isOutbound) send(flow, tcpFlags);
    else receive(flow, tcpFlags);
    if (isEnd(tcpFlags)) flow.hasEnded = true;
    if (n + 1 < packets.length)
      world.after(packets[n + 1].timeMs - world.timeline.nowMs, () => play(n + 1));
  };
  const open = (flow: (typeof state)[number]): void => {
    send(flow, TCP_SYN);
    if (flow.externalPort === 0) return;
    receive(flow, TCP_SYN | TCP_ACK);
    send(flow, TCP_ACK);
  };
  const receive = (flow: (typeof state)[number], tcpFlags: number): void => {
    // Before anything went out there is no external port to which it could have come.
    if (flow.externalPort === 0) return;
    world.receive(
      flow.protocol,
      flow.externalPort,
      flow.remoteAddress,
      flow.remotePort,
      tcpFlags,
      Payload.None,
    );
  };
  const send = (flow: (typeof state)[number], tcpFlags: number): void => {
    if (!flow.hasBegun) world.tally.began(KIND);
    // Opened again on the same ports.
    if (isSyn(tcpFlags)) flow.hasEnded = false;
    const result = world.send(
      flow.protocol,
      flow.host.address,
      flow.internalPort,
      flow.remoteAddress,
      flow.remotePort,
      tcpFlags,
      flow.hasBegun ? Payload.None : flow.first,
    );
    if (result > 0) {
      if (!flow.hasBegun) world.tally.sessions++;
      flow.externalPort = result;
    } else if (!flow.hasFailed && !flow.hasEnded) {
      flow.hasFailed = true;
      world.tally.failed(KIND, flow.hasBegun ? 'flow broke' : 'first packet refused');
    }
    flow.hasBegun = true;
  };
  if (packets.length > 0) world.after(packets[0].timeMs, () => play(0));
}

/** Ends of a packet that a router would see; undefined otherwise. */
function endsOf(bytes: Uint8Array, at: number, kept: number): Ends | undefined {
  const l4 = at + ipv4HeaderBytes(bytes, at);
  if (l4 + 8 > at + kept || (readU16(bytes, at + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0)
    return undefined;
  const protocol = bytes[at + IPV4_PROTOCOL];
  const source = readI32(bytes, at + IPV4_SOURCE);
  const destination = readI32(bytes, at + IPV4_DESTINATION);
  if (isUnroutable(source) || isUnroutable(destination)) return undefined;
  const isLocal = isPrivate(source) && isPrivate(destination);
  if (isLocal && ((source ^ destination) & NETWORK_MASK) === 0) return undefined;
  const ends = { protocol, source, destination, tcpFlags: 0, isReply: false };
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
    const isTcp = protocol === PROTOCOL_TCP;
    if (isTcp && l4 + 20 > at + kept) return undefined;
    const sourcePort = readU16(bytes, l4);
    const destinationPort = readU16(bytes, l4 + 2);
    return { ...ends, sourcePort, destinationPort, tcpFlags: isTcp ? bytes[l4 + TCP_FLAGS] : 0 };
  }
  if (protocol !== PROTOCOL_ICMP) return undefined;
  const identifier = readU16(bytes, l4 + 4);
  if (bytes[l4] === ICMP_ECHO_REQUEST)
    return { ...ends, sourcePort: identifier, destinationPort: 0 };
  if (bytes[l4] === ICMP_ECHO_REPLY)
    return { ...ends, sourcePort: 0, destinationPort: identifier, isReply: true };
  return undefined;
}

/** True if the sender of a flow's first packet is outside. */
function isInbound({ source, destination, tcpFlags, isReply }: Ends): boolean {
  if (isReply) return true;
  if (isPrivate(source) !== isPrivate(destination)) return isPrivate(destination);
  // Of two ends alike the one that asked is inside, and a server's answer is not what asks.
  return (tcpFlags & TCP_SYN) !== 0 && !isSyn(tcpFlags);
}

function flowOf(ends: Ends): RecordedFlow {
  const { protocol, source, sourcePort, destination, destinationPort, tcpFlags } = ends;
  const common = {
    protocol,
    first: NOTHING,
    stoodBefore: protocol === PROTOCOL_TCP && !isSyn(tcpFlags),
  };
  return isInbound(ends)
    ? {
        ...common,
        internalAddress: destination,
        internalPort: destinationPort,
        remoteAddress: source,
        remotePort: sourcePort,
      }
    : {
        ...common,
        internalAddress: source,
        internalPort: sourcePort,
        remoteAddress: destination,
        remotePort: destinationPort,
      };
}

/** The UDP payload at its full length; what the recording cut off is zeros. */
function payloadOf(bytes: Uint8Array, l4: number, end: number): Uint8Array {
  const length = Math.min(PAYLOAD_MAX, Math.max(0, readU16(bytes, l4 + 4) - UDP_HEADER_BYTES));
  const payload = new Uint8Array(length);
  payload.set(bytes.subarray(l4 + UDP_HEADER_BYTES, Math.min(end, l4 + UDP_HEADER_BYTES + length)));
  return payload;
}

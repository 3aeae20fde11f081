/**
 * What is measured: one entry a case, each a piece of traffic whose amount is known afterwards.
 *
 *   tcp-out, tcp-in, tcp8-out, tcp8-in      iperf3, one and eight streams
 *   udp64-out … udp1400-in                  as fast as one sender can; what arrives is counted.
 *                                           Out of the LAN over all sessions of the table, at
 *                                           random, where there are any; else, and inbound, one flow
 *   flows                                   each datagram a flow that was never seen before
 *   rtt, rtt-load                           one datagram at a time, idle and beside a TCP transfer
 */
import { startSink, udpBlast, udpPull, udpRtt } from '../../lab/flows.ts';
import { LabError } from '../../lab/programs.ts';
import { iperf } from '../../lab/services.ts';
import { type Lab, SERVER } from '../../lab/topology.ts';
import { endpointsOf, SINK_PORT, sinkCount, spreadOver } from './scene.ts';

/** Round trips are taken this far apart. */
const RTT_INTERVAL_MICROS = 1000;
const RTT_LOAD_LEAD_MS = 500;
/** As many as a turn may leave behind, so that five turns fit a table of a million. */
const NEW_FLOWS_PER_SECOND = 60_000;
const NEW_FLOWS_MOST = 150_000;
const NEW_FLOWS_REMOTES = 4_096;
const NEW_FLOWS_ADDRESSES = 30_000;

/** Which traffic, and in the unit of the case how much of it got through. */
export interface Amount {
  /** Gbit/s, thousand packets or flows a second, or microseconds. */
  value: number;
  /** Second value of a case that has one: the 99th percentile. */
  tail?: number;
  bytes: number;
  packets: number;
}

export interface Traffic {
  lab: Lab;
  /** The server as the host reaches it; another than SERVER where IPv6 is translated. */
  target: string;
  /** Sessions in the table that the traffic may use. */
  sessions: number;
  seconds: number;
  /** Turns so far: flows that must be new start from a source port of their own. */
  turn: number;
}

export interface Case {
  name: string;
  title: string;
  unit: 'Gbit/s' | 'kpacket/s' | 'kflow/s' | 'µs';
  /** Costs are given for each GB, for each packet, or not at all. */
  cost?: 'GB' | 'packet';
  /** Leaves a full table behind, so that it has a gateway of its own. */
  fillsTable?: true;
  /** The traffic runs over the table's sessions, so that a null forwarder has it for each size. */
  usesSessions?: true;
  run(traffic: Traffic): Promise<Amount>;
}

export const CASES: readonly Case[] = [
  tcp('tcp-out', 'TCP out', {}),
  tcp('tcp-in', 'TCP in', { reverse: true }),
  tcp('tcp8-out', 'TCP out, 8 streams', { streams: 8 }),
  tcp('tcp8-in', 'TCP in, 8 streams', { streams: 8, reverse: true }),
  ...[64, 512, 1400].flatMap((bytes) => [udpOut(bytes), udpIn(bytes)]),
  {
    name: 'flows',
    title: 'new flows',
    unit: 'kflow/s',
    cost: 'packet',
    fillsTable: true,
    run: newFlows,
  },
  {
    name: 'rtt',
    title: 'round trip, idle',
    unit: 'µs',
    run: ({ lab, seconds }) => roundTrips(lab, seconds),
  },
  {
    name: 'rtt-load',
    title: 'round trip beside TCP out',
    unit: 'µs',
    run: roundTripsUnderLoad,
  },
];

/** The cases of a list like "tcp,udp64-out": a word means itself and all that begins with it. */
export function selectCases(words: string | undefined, all: readonly Case[] = CASES): Case[] {
  if (words === undefined) return [...all];
  const wanted = words.split(',').map((word) => word.trim());
  for (const word of wanted) {
    if (all.some((one) => matches(one, word))) continue;
    const known = all.map((one) => one.name).join(', ');
    throw new LabError('BENCH_UNKNOWN_CASE', 2, `there is no case "${word}"; use ${known}`);
  }
  return all.filter((one) => wanted.some((word) => matches(one, word)));
}

/** "rtt" is the idle round trip alone; "tcp" and "udp64" are both directions. */
function matches(one: Case, word: string): boolean {
  if (one.name === word) return true;
  return !CASES.some((exact) => exact.name === word) && one.name.startsWith(word);
}

function tcp(name: string, title: string, how: { streams?: number; reverse?: boolean }): Case {
  return {
    name,
    title,
    unit: 'Gbit/s',
    cost: 'GB',
    run: async ({ lab, target, seconds }) => {
      const { bitsPerSecond } = await iperf(lab.hosts[0], { seconds, target, ...how });
      if (!(bitsPerSecond > 0)) throw new LabError('BENCH_NOTHING', 1, 'no byte arrived');
      return { value: bitsPerSecond / 1e9, bytes: (bitsPerSecond * seconds) / 8, packets: 0 };
    },
  };
}

function udpOut(bytes: number): Case {
  return {
    name: `udp${bytes}-out`,
    title: `UDP out, ${bytes} bytes`,
    unit: 'kpacket/s',
    cost: 'packet',
    usesSessions: true,
    run: async ({ lab, sessions, seconds }) => {
      if (sessions > 0) {
        return amount(await spreadOver(lab, { ...endpointsOf(sessions), bytes, seconds }), bytes);
      }
      const sink = await startSink(lab.internet, { port: SINK_PORT });
      await udpBlast(lab.hosts[0], { to: SERVER, port: SINK_PORT, bytes, seconds });
      return amount(await sinkCount(sink), bytes);
    },
  };
}

function udpIn(bytes: number): Case {
  return {
    name: `udp${bytes}-in`,
    title: `UDP in, ${bytes} bytes`,
    unit: 'kpacket/s',
    cost: 'packet',
    run: async ({ lab, seconds }) =>
      amount(await udpPull(lab.hosts[0], { to: SERVER, bytes, seconds }), bytes),
  };
}

function amount(counted: { received: number; perSecond: number }, bytes: number): Amount {
  if (!(counted.received > 0)) throw new LabError('BENCH_NOTHING', 1, 'no datagram arrived');
  const { received, perSecond } = counted;
  return { value: perSecond / 1e3, packets: received, bytes: received * bytes };
}

async function newFlows({ lab, seconds, turn }: Traffic): Promise<Amount> {
  const flows = Math.min(NEW_FLOWS_MOST, NEW_FLOWS_PER_SECOND * seconds);
  const sockets = Math.ceil(flows / NEW_FLOWS_ADDRESSES);
  const sourcePort = 30_000 + (turn % 1000) * sockets;
  const counted = await spreadOver(lab, {
    flows,
    addresses: Math.ceil(flows / sockets),
    remotes: NEW_FLOWS_REMOTES,
    sourcePort,
    bytes: 64,
    seconds: seconds * 4,
    once: true,
  });
  return amount(counted, 64);
}

async function roundTrips(lab: Lab, seconds: number): Promise<Amount> {
  const count = Math.round((seconds * 1e6) / (RTT_INTERVAL_MICROS * 1.3));
  const answer = await udpRtt(lab.hosts[0], {
    to: SERVER,
    count,
    intervalMicros: RTT_INTERVAL_MICROS,
  });
  return { value: answer.p50Micros, tail: answer.p99Micros, bytes: 0, packets: answer.answered };
}

async function roundTripsUnderLoad({ lab, seconds }: Traffic): Promise<Amount> {
  const load = iperf(lab.hosts[0], { seconds: seconds + 1 });
  await new Promise((resolve) => setTimeout(resolve, RTT_LOAD_LEAD_MS));
  // A queue in front of the forwarder makes a round trip milliseconds long: fewer of them fit.
  const answer = await udpRtt(lab.hosts[0], {
    to: SERVER,
    count: seconds * 100,
    intervalMicros: RTT_INTERVAL_MICROS,
  });
  await load;
  return { value: answer.p50Micros, tail: answer.p99Micros, bytes: 0, packets: answer.answered };
}

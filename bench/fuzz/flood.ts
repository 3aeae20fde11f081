/**
 * Floods: what one packet costs when somebody sends nothing but the worst, and whether anything grows.
 *
 *   node --expose-gc --import tsx bench/fuzz/floods.ts
 *
 * Each flood writes its packets into one batch by poking addresses and ports into a template, so that what is measured is the engine.
 * The first tenth warms up and fills the tables; the rest is timed in ten windows. Flat means: the last windows cost what the first do.
 */
import { DESCRIPTOR_WORDS, HEADROOM_BYTES } from '../../core/frames.ts';
import { Counter } from '../../core/table/counters.ts';
import { selfCheck } from '../../core/table/self-check.ts';
import { FORWARDED } from '../../core/verdict.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { put16, put32, SYN, tcp, udp } from './build.ts';
import { PLAIN_HOME, type PolicyChoice } from './policy-choice.ts';
import { chooseVariant, EXTERNAL, psidPorts, World } from './world.ts';

export const WINDOWS = 10;
const BATCH = 8;
const SLOT_BYTES = 256;
const START_MS = 1_000_000;
const SERVER = parseIpv4('198.51.100.1');
const REQUEST = Uint8Array.from([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Array(12).fill(7)]);

export interface Flood {
  name: string;
  capacity: number;
  ports: Uint16Array;
  packets: number;
  /** Of hosts; none if not said. */
  limits?: PolicyChoice['limits'];
  template: Uint8Array;
  /** Makes the packet at `at` number n: addresses and ports only. */
  poke: (bytes: Uint8Array, at: number, n: number) => void;
}

export interface FloodResult {
  nanosecondsByWindow: number[];
  forwarded: number;
  notForwarded: number;
  refused: number;
  sessions: number;
  hosts: number;
  owned: number;
  /** Growth of heap and buffers while it was timed, after a collection; 0 without --expose-gc. */
  grownBytes: number;
  problems: string[];
}

/** All ports that a line of its own has. */
export const wholePorts = (): Uint16Array =>
  Uint16Array.from({ length: 61439 }, (_, i) => 4096 + i);

const internal = (n: number): number => (10 << 24) | (1 + (n & 0x3fffff));
const outward = { from: internal(0), to: SERVER, fromPort: 5000, toPort: 53 };

export function floods(scale = 1): Flood[] {
  const small = Uint16Array.from(psidPorts());
  const whole = wholePorts();
  const plain = udp(outward, new Uint8Array(20));
  const stun = udp({ ...outward, toPort: 3478 }, REQUEST);
  const syn = tcp({ ...outward, toPort: 443, flags: SYN, seq: 1, ack: 0 }, new Uint8Array(0));
  const inward = udp({ from: SERVER, to: EXTERNAL, fromPort: 9, toPort: small[0] }, REQUEST);
  const later = plain.slice();
  put16(later, 6, 100);
  const hostOf = (bytes: Uint8Array, at: number, n: number): void =>
    put32(bytes, at + 12, internal(n));
  const packets = 200_000 * scale;
  return [
    {
      name: 'more hosts than records',
      capacity: 4096,
      ports: small,
      packets,
      template: plain,
      poke: (bytes, at, n) => {
        hostOf(bytes, at, n);
        put32(bytes, at + 16, SERVER + (n % 200));
      },
    },
    {
      name: 'more remotes than sessions',
      capacity: 1024,
      ports: small,
      packets,
      template: plain,
      poke: (bytes, at, n) => put32(bytes, at + 16, parseIpv4('20.0.0.0') + (n % 0xfffff)),
    },
    {
      name: 'one remote, 240 ports, UDP',
      capacity: 1024,
      ports: small,
      packets,
      template: plain,
      poke: hostOf,
    },
    {
      name: 'one remote, 240 ports, TCP',
      capacity: 1024,
      ports: small,
      packets,
      template: syn,
      poke: hostOf,
    },
    {
      name: 'one remote, 61,439 ports, UDP',
      capacity: 131072,
      ports: whole,
      packets,
      template: plain,
      poke: hostOf,
    },
    {
      name: 'one remote, 61,439 ports, TCP',
      capacity: 131072,
      ports: whole,
      packets,
      template: syn,
      poke: hostOf,
    },
    {
      name: 'peers beyond every limit',
      capacity: 4096,
      ports: small,
      packets,
      template: stun,
      poke: hostOf,
    },
    {
      name: 'one peer, eight ports and more',
      capacity: 1024,
      ports: small,
      packets,
      template: stun,
      poke: (bytes, at, n) => put16(bytes, at + 20, n & 0xffff),
    },
    {
      name: 'one host beyond its rate',
      capacity: 4096,
      ports: small,
      packets,
      limits: 'tight',
      template: plain,
      poke: (bytes, at, n) => {
        // The first internal address is the gateway's own, which has no limits.
        hostOf(bytes, at, 1);
        put32(bytes, at + 16, SERVER + (n % 50_000));
        put16(bytes, at + 20, n & 0xffff);
      },
    },
    {
      name: 'more senders than limits can hold',
      capacity: 4096,
      ports: small,
      packets,
      limits: 'tight',
      template: plain,
      poke: (bytes, at, n) => {
        hostOf(bytes, at, n);
        put32(bytes, at + 16, SERVER + (n % 50_000));
      },
    },
    {
      name: 'unsolicited, to ports of the set',
      capacity: 1024,
      ports: small,
      packets,
      template: inward,
      poke: (bytes, at, n) => {
        put32(bytes, at + 12, parseIpv4('20.0.0.0') + n);
        put16(bytes, at + 22, small[n % 240]);
      },
    },
    {
      name: 'later fragments without a first',
      capacity: 1024,
      ports: small,
      packets,
      template: later,
      poke: (bytes, at, n) => {
        put16(bytes, at + 4, n & 0xffff);
        hostOf(bytes, at, n >> 8);
      },
    },
  ];
}

/** Runs a flood; time passes by 1 ms for each 64 packets. */
export function runFlood(flood: Flood): FloodResult {
  const variant = {
    ...chooseVariant(2),
    ports: flood.ports,
    capacity: flood.capacity,
    ...PLAIN_HOME,
    limits: flood.limits ?? PLAIN_HOME.limits,
  };
  const world = new World(variant, 1, 0, START_MS);
  const { frames, engine, table } = world;
  const { bytes, descriptors } = frames;
  const collect = (globalThis as { gc?: () => void }).gc;
  const occupied = (): number => {
    if (collect === undefined) return 0;
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };

  let n = 0;
  let now = START_MS;
  let forwarded = 0;
  const send = (packets: number): void => {
    for (const end = n + packets; n < end; ) {
      for (let i = 0; i < BATCH; i++, n++) {
        const at = HEADROOM_BYTES + i * (SLOT_BYTES + HEADROOM_BYTES);
        for (let k = 0; k < flood.template.length; k++) bytes[at + k] = flood.template[k];
        flood.poke(bytes, at, n);
        descriptors[i * DESCRIPTOR_WORDS] = at;
        descriptors[i * DESCRIPTOR_WORDS + 1] = flood.template.length;
        descriptors[i * DESCRIPTOR_WORDS + 2] = 0;
      }
      if (n % 64 === 0) now++;
      engine.process(BATCH, now);
      for (let i = 0; i < BATCH; i++)
        if (descriptors[i * DESCRIPTOR_WORDS + 3] === FORWARDED) forwarded++;
      engine.advance(now);
    }
  };

  // A set of 61,439 ports must be full before a refusal can be timed.
  send(Math.max(flood.packets / 10, flood.ports.length + BATCH - (flood.ports.length % BATCH)));
  const before = occupied();
  const nanosecondsByWindow: number[] = [];
  for (let window = 0; window < WINDOWS; window++) {
    const packets = Math.floor(flood.packets / WINDOWS / BATCH) * BATCH;
    const started = process.hrtime.bigint();
    send(packets);
    nanosecondsByWindow.push(Number(process.hrtime.bigint() - started) / packets);
  }
  const { parts } = table;
  return {
    nanosecondsByWindow,
    forwarded,
    notForwarded: n - forwarded,
    refused: parts.counters[Counter.SessionsRefused],
    sessions: parts.sessions.count,
    hosts: parts.hosts.count,
    owned: parts.ports.ownedCount.reduce((sum, count) => sum + count, 0),
    grownBytes: occupied() - before,
    problems: selfCheck(parts),
  };
}

/**
 * Two engines with the same history and different bytes around their packets.
 *
 *   world A   | 00 00 00 00 | virtio | packet | 00 00 00 … |        what differs afterwards was read, or written,
 *   world B   | ff ff ff ff | virtio | packet | ff ff ff … |        outside the packet
 *
 * Each batch is put into both; verdicts, lengths and all bytes that come out must be equal, and what lies outside each frame's own
 * headroom and packet must still be what it was. Every packet that comes out is judged (judge.ts). From time to time the tables are
 * checked against their records, and the two arenas against each other.
 */
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { selfCheck } from '../../core/table/self-check.ts';
import { headerBytes, i32, isTransportRight, put16, u16 } from './build.ts';
import { Dice } from './dice.ts';
import type { Input } from './input.ts';
import { type Facts, factsOf, faultOf } from './judge.ts';
import { mutate } from './mutate.ts';
import { Traffic } from './traffic.ts';
import { chooseVariant, EXTERNAL, isInternal, READ_BYTES, type Variant, World } from './world.ts';

/** Between the frames of a batch, and behind the last one. */
const GUARD_BYTES = 64;
const BATCH_MAX = 6;
const CHECK_EVERY = 4000;
const START_MS = 1_000_000;
/** Longer than any timer, in seconds. */
const EVERYTHING_OVER_SECONDS = 7600;
const ENDPOINTS_MAX = 200_000;

export interface FuzzOptions {
  seed: number;
  packets: number;
  /** Out of a hundred packets, how many are mutated. */
  mutatedPercent?: number;
  onProgress?: (packets: number) => void;
}

export interface FuzzResult {
  packets: number;
  forwarded: number;
  answered: number;
  dropped: number;
  appended: number;
  datagramsJoined: number;
  sessionsMax: number;
  /** Packets by drop reason. */
  reasons: Map<number, number>;
}

/** A packet after which something did not hold. */
export class FuzzFailure extends Error {
  readonly seed: number;
  readonly index: number;

  constructor(seed: number, index: number, what: string, dump: string) {
    super(`seed ${seed}, packet ${index}: ${what}\n${dump}`);
    this.seed = seed;
    this.index = index;
  }
}

interface Sent {
  input: Input;
  facts: Facts;
  offset: number;
}

/** Runs `packets` packets of `seed` through two engines; throws a FuzzFailure at the first that is not right. */
export function fuzz(options: FuzzOptions): FuzzResult {
  return new Twins(options).run();
}

class Twins {
  private readonly options: FuzzOptions;
  private readonly dice: Dice;
  private readonly variant: Variant;
  private readonly traffic: Traffic;
  private readonly worlds: readonly [World, World];
  private readonly untouched: readonly [Uint8Array, Uint8Array];
  private readonly hosts = new Set<number>();
  /** Internal endpoint by external 5-tuple, as the packets that left have shown it. */
  private readonly endpoints = new Map<string, string>();
  private readonly datagrams = new Map<number, Uint8Array[]>();
  private readonly spoiled = new Set<number>();
  private readonly result: FuzzResult = {
    packets: 0,
    forwarded: 0,
    answered: 0,
    dropped: 0,
    appended: 0,
    datagramsJoined: 0,
    sessionsMax: 0,
    reasons: new Map(),
  };
  private now = START_MS;
  private batch: Sent[] = [];

  constructor(options: FuzzOptions) {
    const { seed } = options;
    this.options = options;
    this.dice = new Dice(seed);
    this.variant = chooseVariant(seed);
    this.traffic = new Traffic(this.dice, this.variant);
    this.worlds = [
      new World(this.variant, seed, 0, START_MS),
      new World(this.variant, seed, 0xff, START_MS),
    ];
    this.untouched = [new Uint8Array(READ_BYTES), new Uint8Array(READ_BYTES).fill(0xff)];
  }

  run(): FuzzResult {
    const { options, result, dice } = this;
    let nextCheck = CHECK_EVERY;
    while (result.packets < options.packets) {
      const size = dice.chance(80) ? 1 : dice.between(2, BATCH_MAX);
      this.fillBatch(size);
      this.process();
      result.packets += size;
      this.passTime();
      if (result.packets < nextCheck) continue;
      nextCheck += CHECK_EVERY;
      this.check();
      options.onProgress?.(result.packets);
    }
    this.check();
    this.checkEverythingEnds();
    return result;
  }

  private fail(what: string): never {
    const dump = this.batch
      .map(
        ({ input }, i) =>
          `input ${i}: virtio flags ${input.flags} gso ${input.gsoType}/${input.gsoSize} ` +
          `checksum ${input.csumStart}+${input.csumOffset}\n${hexDump(input.bytes)}`,
      )
      .join('\n');
    const { ports, preset, capacity, line } = this.variant;
    const variant = JSON.stringify({ ports: ports.length, preset, capacity, line });
    throw new FuzzFailure(
      this.options.seed,
      this.result.packets,
      what,
      `${variant}, ${this.now - START_MS} ms\n${dump}`,
    );
  }

  private fillBatch(size: number): void {
    const { dice, traffic, options } = this;
    this.batch = [];
    let at = 256;
    for (let i = 0; i < size; i++) {
      const input = traffic.next();
      // What comes out of a batch of several cannot be told apart.
      if (size > 1) this.spoiled.add(input.datagram);
      if (dice.chance(options.mutatedPercent ?? 35)) {
        // A mutant may wait, or claim a way, in the name of the datagram that it was part of.
        this.spoiled.add(input.datagram);
        mutate(dice, input);
      }
      if (input.bytes.length > 2000 && i > 0) continue;
      const offset = (at + HEADROOM_BYTES + 3) & ~3;
      at = offset + input.bytes.length + GUARD_BYTES;
      this.batch.push({ input, facts: factsOf(input), offset });
      if (input.bytes.length >= 20 && isInternal(i32(input.bytes, 12)))
        this.hosts.add(i32(input.bytes, 12));
      if (input.bytes.length > 2000) break;
    }
    for (const world of this.worlds) this.place(world);
  }

  private place({ frames, fill }: World): void {
    const { bytes, descriptors } = frames;
    bytes.fill(fill);
    this.batch.forEach(({ input, offset }, i) => {
      bytes.set(input.bytes, offset);
      const virtio = offset - VNET_HEADER_BYTES;
      bytes.fill(0, virtio, offset);
      bytes[virtio] = input.flags;
      bytes[virtio + 1] = input.gsoType;
      bytes[virtio + 4] = input.gsoSize;
      bytes[virtio + 5] = input.gsoSize >> 8;
      bytes[virtio + 6] = input.csumStart;
      bytes[virtio + 7] = input.csumStart >> 8;
      bytes[virtio + 8] = input.csumOffset;
      bytes[virtio + 9] = input.csumOffset >> 8;
      const d = i * DESCRIPTOR_WORDS;
      descriptors[d] = offset;
      descriptors[d + 1] = input.bytes.length;
      descriptors[d + 2] = (input.gsoSize << 16) | (input.gsoType << 8) | input.flags;
      descriptors[d + 3] = 0;
    });
  }

  private process(): void {
    const [a, b] = this.worlds;
    const count = this.batch.length;
    try {
      a.engine.process(count, this.now);
      b.engine.process(count, this.now);
    } catch (error) {
      this.fail(`an exception: ${(error as Error).stack}`);
    }
    if (a.frames.count !== b.frames.count) this.fail('the batches have different lengths');
    for (let i = 0; i < a.frames.count; i++) this.compareFrame(i);
    this.compareSurroundings(a, this.untouched[0]);
    this.compareSurroundings(b, this.untouched[1]);
    for (let i = 0; i < a.frames.count; i++) this.judgeFrame(i);
  }

  /** Verdict, descriptor, virtio header and bytes must not depend on what lies around the packet. */
  private compareFrame(i: number): void {
    const [a, b] = this.worlds;
    const d = i * DESCRIPTOR_WORDS;
    const verdict = a.frames.descriptors[d + 3];
    if (verdict !== b.frames.descriptors[d + 3])
      this.fail(`frame ${i}: verdicts ${verdict} and ${b.frames.descriptors[d + 3]}`);
    if (verdict < 0) return;
    for (let word = 0; word < 3; word++)
      if (a.frames.descriptors[d + word] !== b.frames.descriptors[d + word])
        this.fail(`frame ${i}: descriptor word ${word} differs`);
    const start = a.frames.descriptors[d] - VNET_HEADER_BYTES;
    const end = a.frames.descriptors[d] + a.frames.descriptors[d + 1];
    if (Buffer.compare(a.frames.bytes.subarray(start, end), b.frames.bytes.subarray(start, end)))
      this.fail(`frame ${i}: the bytes that come out depend on what lies around the packet`);
    if (i >= this.batch.length) return;
    const { offset, input } = this.batch[i];
    if (start < offset - HEADROOM_BYTES || end > offset + input.bytes.length)
      this.fail(`frame ${i}: the packet left its frame`);
  }

  /** Everything between the frames and behind them is still what it was. */
  private compareSurroundings({ frames }: World, untouched: Uint8Array): void {
    let from = 0;
    for (const { offset, input } of [...this.batch, undefined].map(
      (sent) => sent ?? { offset: READ_BYTES + HEADROOM_BYTES, input: { bytes: [] } },
    )) {
      const to = offset - HEADROOM_BYTES;
      if (Buffer.compare(frames.bytes.subarray(from, to), untouched.subarray(from, to)))
        this.fail('bytes outside every frame were written');
      from = offset + input.bytes.length;
    }
  }

  private judgeFrame(i: number): void {
    const [{ frames, table }] = this.worlds;
    const { result, batch } = this;
    const d = i * DESCRIPTOR_WORDS;
    const verdict = frames.descriptors[d + 3];
    const isAppended = i >= batch.length;
    if (verdict < 0) {
      result.dropped++;
      result.reasons.set(~verdict, (result.reasons.get(~verdict) ?? 0) + 1);
      return;
    }
    if (isAppended) result.appended++;
    else if (verdict === 1) result.answered++;
    else result.forwarded++;
    const start = frames.descriptors[d];
    const output = frames.bytes.slice(start, start + frames.descriptors[d + 1]);
    const { set } = table.parts.ports;
    // A frame that was appended belongs to some packet of the batch; it is judged as a sound fragment.
    const sent = isAppended ? undefined : batch[i];
    const fault = faultOf(
      sent?.input ?? batch[0].input,
      sent?.facts ?? { isSound: true, isWhole: false, isRight: false, hasUdpSum: false },
      output,
      frames.descriptors[d + 2] & 0xff,
      (port) => set.numberOf(port) >= 0,
      (address) => this.hosts.has(address),
    );
    // The header checksum of a fragment that waited is as right as it came.
    if (fault !== undefined && !(isAppended && fault === 'a wrong header checksum'))
      this.fail(`frame ${i} came out with ${fault}\noutput:\n${hexDump(output)}`);
    if (sent !== undefined) this.compareEndpoints(sent, output, verdict);
    if (sent !== undefined && batch.length === 1) this.traffic.heard(output);
    if (
      batch.length === 1 &&
      batch[0].input.datagram !== 0 &&
      !this.spoiled.has(batch[0].input.datagram)
    )
      this.join(batch[0].input.datagram, output);
  }

  /** An answer reaches the endpoint whose packets left under that external 5-tuple. */
  private compareEndpoints({ input }: Sent, output: Uint8Array, verdict: number): void {
    const hasPorts = output[9] !== 1 && (u16(output, 6) & 0x1fff) === 0;
    if (verdict !== 0 || !hasPorts) return;
    const { endpoints } = this;
    const l4 = headerBytes(output);
    const protocol = output[9];
    const from = i32(output, 12);
    const to = i32(output, 16);
    const isOut = from === EXTERNAL && i32(input.bytes, 12) !== EXTERNAL;
    if (isOut && !isInternal(to)) {
      const key = `${protocol} ${u16(output, l4)} ${to} ${u16(output, l4 + 2)}`;
      if (endpoints.size >= ENDPOINTS_MAX) endpoints.clear();
      endpoints.set(key, `${i32(input.bytes, 12)}:${u16(input.bytes, l4)}`);
    } else if (!isOut && isInternal(to)) {
      const externalPort = u16(input.bytes, l4 + 2);
      const { sessions } = this.worlds[0].table.parts;
      if (sessions.findExternal((externalPort << 16) | protocol, from, u16(output, l4)) < 0) return;
      const key = `${protocol} ${externalPort} ${from} ${u16(output, l4)}`;
      const known = endpoints.get(key);
      if (known !== undefined && known !== `${to}:${u16(output, l4 + 2)}`)
        this.fail(`delivered to ${to}:${u16(output, l4 + 2)}, and ${known} had sent`);
    }
  }

  /** Collects the fragments of a datagram; when they are a whole packet its checksum must be right. */
  private join(datagram: number, output: Uint8Array): void {
    const { datagrams } = this;
    if (output[9] === 1 && output[headerBytes(output)] === 3) return;
    const parts = datagrams.get(datagram) ?? [];
    parts.push(output);
    datagrams.set(datagram, parts);
    if (datagrams.size > 500) datagrams.delete(datagrams.keys().next().value as number);
    const whole = joined(parts);
    if (whole === undefined) return;
    if (new Set(parts.map((part) => `${u16(part, 4)} ${i32(part, 12)} ${i32(part, 16)}`)).size > 1)
      this.fail('the fragments of one datagram came out as those of several');
    if (!isTransportRight(whole))
      this.fail(`a datagram of ${parts.length} fragments came out wrong\n${hexDump(whole)}`);
    this.result.datagramsJoined++;
    datagrams.delete(datagram);
  }

  private passTime(): void {
    const { dice } = this;
    const kind = dice.below(10_000);
    let elapsed = dice.below(12);
    if (kind < 5) elapsed = dice.between(60_000, 8_000_000);
    else if (kind < 6) elapsed = 86_400_000 * dice.between(1, 40);
    else if (kind < 8) elapsed = -dice.between(1, 20_000);
    else if (kind < 9) elapsed = -dice.between(20_000, 10_000_000);
    else if (kind < 100) elapsed = dice.between(200, 5000);
    this.advance(Math.max(START_MS, this.now + elapsed));
    const { count } = this.worlds[0].table.parts.sessions;
    if (count > this.result.sessionsMax) this.result.sessionsMax = count;
  }

  private advance(now: number): void {
    this.now = now;
    for (const world of this.worlds) world.engine.advance(now);
  }

  private check(): void {
    const [a, b] = this.worlds;
    const problems = selfCheck(a.table.parts);
    if (problems.length > 0) this.fail(`the tables are wrong:\n${problems.join('\n')}`);
    if (Buffer.compare(a.arenaBytes, b.arenaBytes) !== 0) this.fail('the two arenas differ');
  }

  /** After the longest timer nothing may be left. */
  private checkEverythingEnds(): void {
    for (let i = 0; i < EVERYTHING_OVER_SECONDS; i++) this.advance(this.now + 1000);
    this.check();
    const { sessions, mappings, remotes, ports, permits } = this.worlds[0].table.parts;
    const left = {
      sessions: sessions.count,
      mappings: mappings.count,
      remotes: remotes.count,
      rows: remotes.rowCount - remotes.freeRowCount,
      permits: permits.count,
      owned: ports.ownedCount.reduce((sum, count) => sum + count, 0),
      used: ports.usedCount.reduce((sum, count) => sum + count, 0),
    };
    for (const [name, count] of Object.entries(left))
      if (count !== 0) this.fail(`${count} ${name} are left after every timer has run out`);
  }
}

/** The packet that the fragments make, or undefined while some are missing or overlap. */
function joined(parts: readonly Uint8Array[]): Uint8Array | undefined {
  const offset = (part: Uint8Array): number => (u16(part, 6) & 0x1fff) * 8;
  const sorted = [...parts].sort((a, b) => offset(a) - offset(b));
  let length = 0;
  for (const part of sorted) {
    if (offset(part) !== length) return undefined;
    length += part.length - headerBytes(part);
  }
  if ((u16(sorted[sorted.length - 1], 6) & 0x2000) !== 0) return undefined;
  const header = headerBytes(sorted[0]);
  const whole = new Uint8Array(header + length);
  whole.set(sorted[0].subarray(0, header));
  for (const part of sorted) whole.set(part.subarray(headerBytes(part)), header + offset(part));
  put16(whole, 2, whole.length);
  return whole;
}

function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.length, 512); at += 16)
    lines.push(
      `  ${at.toString(16).padStart(4, '0')}  ${Buffer.from(bytes.subarray(at, at + 16)).toString('hex')}`,
    );
  if (bytes.length > 512) lines.push(`  … ${bytes.length} bytes`);
  return lines.join('\n');
}

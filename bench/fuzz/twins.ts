/**
 * Two engines with the same history and different bytes around their packets.
 *
 *   world A   | 00 00 00 00 | virtio | packet | 00 00 00 … |        what differs afterwards was read, or written,
 *   world B   | ff ff ff ff | virtio | packet | ff ff ff … |        outside the packet
 *
 * Each batch is put into both; verdicts, lengths and all bytes that come out must be equal, and what lies next to each frame's own
 * headroom and packet must still be what it was. Every packet that comes out is judged (judge.ts). From time to time
 *
 *   - the whole of both buffers is looked at. A write far from its packet is found then, and the seed is run once more with this look
 *     after each batch, so that the failure still names its packet;
 *   - the tables are checked against their records, and the two arenas against each other;
 *   - both processes end, and others take over their arenas (restart.ts).
 */
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { S_CREATED, S_EXTERNAL } from '../../core/table/arena.ts';
import { selfCheck } from '../../core/table/self-check.ts';
import { SESSION_SHIFT } from '../../core/table/sessions.ts';
import { ANSWERED, COALESCE, DROP_COUNT, Drop, ENCAPSULATE } from '../../core/verdict.ts';
import { IPV6_HEADER_BYTES } from '../../core/wire/ipv6.ts';
import { copyOf, headerBytes, i32, u16 } from './build.ts';
import { Datagrams } from './datagrams.ts';
import { Dice } from './dice.ts';
import { Endpoints } from './endpoints.ts';
import type { Input } from './input.ts';
import { factsOf, faultOf } from './judge.ts';
import { mutate } from './mutate.ts';
import { FuzzFailure, type FuzzOptions, type FuzzResult, hexDump } from './outcome.ts';
import { choosePreset, LimitJudge } from './policy-choice.ts';
import { damage, lossOf, snapshotOf } from './restart.ts';
import { senderFault } from './sender-judge.ts';
import { Traffic } from './traffic.ts';
import {
  effective,
  inwardFault,
  NOTHING_KNOWN,
  outwardFault,
  SOUND_FRAGMENT,
  UNKNOWN,
} from './tunnel-judge.ts';
import {
  chooseVariant,
  EXTERNAL,
  GUARD_BYTES,
  isGateway,
  isInternal,
  PACE_MS,
  type Placed,
  READ_BYTES,
  type Variant,
  World,
} from './world.ts';

const BATCH_MAX = 6;
/** Packets between two checks of the tables, and between two looks at the whole of the buffers. */
const CHECK_EVERY = 20_000;
const LOOK_EVERY = 2000;
/** Packets between two restarts, at most. */
const RESTART_WITHIN = 30_000;
const START_MS = 1_000_000;
/** Longer than any timer. */
const EVERYTHING_OVER_MS = 7_600_000;

/** A write somewhere, by one of the packets since the last look. */
class WriteFarAway extends FuzzFailure {}

/** Runs `packets` packets of `seed` through two engines; throws a FuzzFailure at the first that is not right. */
export function fuzz(options: FuzzOptions): FuzzResult {
  try {
    return new Twins(options).run();
  } catch (error) {
    if (!(error instanceof WriteFarAway)) throw error;
    new Twins({ ...options, looksAfterEachBatch: true }).run();
    throw error;
  }
}

class Twins {
  private readonly options: FuzzOptions;
  private readonly mutatedPercent: number;
  private readonly dice: Dice;
  private readonly variant: Variant;
  /** The clock was never set back. */
  private clockIsSteady = true;
  /** Records were changed behind the engine's back. */
  private wasDamaged = false;
  private readonly limits = new LimitJudge();
  private readonly traffic: Traffic;
  private readonly worlds: readonly [World, World];
  private readonly hosts = new Set<number>();
  private readonly endpoints = new Endpoints();
  private readonly datagrams = new Datagrams();
  private readonly spoiledOuter = new Set<number>();
  private readonly reasons = new Int32Array(DROP_COUNT);
  private readonly isPort: (port: number) => boolean;
  private readonly isKnownHost: (address: number) => boolean;
  private readonly result: FuzzResult = {
    packets: 0,
    forwarded: 0,
    answered: 0,
    dropped: 0,
    appended: 0,
    datagramsJoined: 0,
    sessionsMax: 0,
    encapsulated: 0,
    decapsulated: 0,
    restarts: 0,
    reasons: new Map(),
  };
  private now = START_MS;
  private batch: Placed[] = [];

  constructor(options: FuzzOptions) {
    const { seed } = options;
    this.options = options;
    this.mutatedPercent = options.mutatedPercent ?? 35;
    this.dice = new Dice(seed);
    this.variant = chooseVariant(seed);
    this.traffic = new Traffic(this.dice, this.variant);
    this.worlds = [
      new World(this.variant, seed, 0, START_MS),
      new World(this.variant, seed, 0xff, START_MS),
    ];
    const { set } = this.worlds[0].table.parts.ports;
    this.isPort = (port) => set.numberOf(port) >= 0;
    this.isKnownHost = (address) => this.hosts.has(address);
  }

  run(): FuzzResult {
    const { options, result, dice } = this;
    let nextCheck = CHECK_EVERY;
    let nextLook = LOOK_EVERY;
    let nextRestart = dice.between(1, RESTART_WITHIN);
    while (result.packets < options.packets) {
      const size = dice.chance(80) ? 1 : dice.between(2, BATCH_MAX);
      this.fillBatch(size);
      this.process();
      result.packets += size;
      if (options.looksAfterEachBatch || result.packets >= nextLook) {
        this.lookEverywhere();
        nextLook = result.packets + LOOK_EVERY;
      }
      this.passTime();
      if (result.packets >= nextRestart) {
        if (dice.chance(30)) this.reload();
        else this.restart();
        nextRestart += dice.between(1, RESTART_WITHIN);
      }
      if (result.packets < nextCheck) continue;
      nextCheck += CHECK_EVERY;
      this.check();
      options.onProgress?.(result.packets);
    }
    this.lookEverywhere();
    this.check();
    this.checkEverythingEnds();
    result.datagramsJoined = this.datagrams.joined;
    for (let reason = 0; reason < DROP_COUNT; reason++)
      if (this.reasons[reason] > 0) result.reasons.set(reason, this.reasons[reason]);
    return result;
  }

  private fail(what: string, Kind = FuzzFailure): never {
    const dump = this.batch
      .map(
        ({ input }, i) =>
          `input ${i}: virtio flags ${input.flags} gso ${input.gsoType}/${input.gsoSize} ` +
          `checksum ${input.csumStart}+${input.csumOffset}\n${hexDump(input.bytes)}`,
      )
      .join('\n');
    const { ports, preset, second, limits, upstreamEntries, capacity, line } = this.variant;
    const { ceAddress: _ce, brAddress: _br, mesh, ...rest } = line;
    const policy = { preset, second, limits, upstreamEntries };
    const words = { ports: ports.length, ...policy, capacity, inMesh: mesh !== undefined };
    const variant = JSON.stringify({ ...words, line: rest });
    throw new Kind(
      this.options.seed,
      this.result.packets,
      what,
      `${variant}, ${this.now - START_MS} ms\n${dump}`,
    );
  }

  private fillBatch(size: number): void {
    const { dice, traffic, mutatedPercent } = this;
    this.batch = [];
    let at = 256;
    for (let i = 0; i < size; i++) {
      const input = traffic.next();
      const isMutated = dice.chance(mutatedPercent);
      // What comes out of a batch of several cannot be told apart; a mutant may wait, or claim a way, in the name of its datagram.
      this.datagrams.note(input.datagram, size > 1 || isMutated);
      if (isMutated) {
        if (input.outerDatagram !== undefined) this.spoiledOuter.add(input.outerDatagram);
        mutate(dice, input);
      }
      const { bytes } = input;
      if (bytes.length > 2000 && i > 0) continue;
      const offset = (at + HEADROOM_BYTES + 3) & ~3;
      at = offset + bytes.length + GUARD_BYTES;
      this.batch.push({ input, offset });
      this.noteHost(bytes);
      if (input.inner !== undefined) this.noteHost(input.inner);
      if (bytes.length > 2000) break;
    }
    for (const world of this.worlds) world.place(this.batch);
  }

  private noteHost(bytes: Uint8Array): void {
    if (bytes.length < 20 || bytes[0] >> 4 !== 4) return;
    const source = i32(bytes, 12);
    if (isInternal(source)) this.hosts.add(source);
  }

  private process(): void {
    const { batch } = this;
    const [a, b] = this.worlds;
    const count = batch.length;
    try {
      a.engine.process(count, this.now);
      b.engine.process(count, this.now);
    } catch (error) {
      this.fail(`an exception: ${(error as Error).stack}`);
    }
    if (a.frames.count !== b.frames.count) this.fail('the batches have different lengths');
    for (let i = 0; i < a.frames.count; i++) this.compareFrame(i);
    if (!a.guardsAreIntact(batch) || !b.guardsAreIntact(batch))
      this.fail('bytes outside every frame were written');
    for (let i = 0; i < a.frames.count; i++) this.judgeFrame(i);
    a.wipe(batch);
    b.wipe(batch);
  }

  /** Verdict, descriptor, virtio header and bytes must not depend on what lies around the packet. */
  private compareFrame(i: number): void {
    const [a, b] = this.worlds;
    const da = a.frames.descriptors;
    const db = b.frames.descriptors;
    const d = i * DESCRIPTOR_WORDS;
    const verdict = da[d + 3];
    if (verdict !== db[d + 3]) this.fail(`frame ${i}: verdicts ${verdict} and ${db[d + 3]}`);
    if (verdict < 0) return;
    for (let word = 0; word < 3; word++)
      if (da[d + word] !== db[d + word]) this.fail(`frame ${i}: descriptor word ${word} differs`);
    const outer = verdict === ENCAPSULATE ? IPV6_HEADER_BYTES : 0;
    const start = da[d] - VNET_HEADER_BYTES - outer;
    const end = da[d] + da[d + 1];
    if (!areEqual(a.frames.bytes, b.frames.bytes, start, end))
      this.fail(`frame ${i}: the bytes that come out depend on what lies around the packet`);
    // What was put together from fragments of the tunnel has room of its own.
    if (i >= this.batch.length || start >= READ_BYTES) return;
    const { offset, input } = this.batch[i];
    if (start < offset - HEADROOM_BYTES || end > offset + input.bytes.length)
      this.fail(`frame ${i}: the packet left its frame`);
  }

  private judgeFrame(i: number): void {
    const [{ frames }] = this.worlds;
    const { result, batch, variant } = this;
    const d = i * DESCRIPTOR_WORDS;
    const verdict = frames.descriptors[d + 3];
    const isAppended = i >= batch.length;
    if (verdict < 0) {
      result.dropped++;
      this.reasons[~verdict]++;
      if (~verdict === Drop.FragmentRoom && !isAppended) this.noteUnsent(batch[i].input.bytes);
      return;
    }
    if (isAppended) result.appended++;
    else if (verdict === ANSWERED) result.answered++;
    else result.forwarded++;
    const start = frames.descriptors[d];
    const output = copyOf(frames.bytes, start, start + frames.descriptors[d + 1]);
    const input = isAppended ? UNKNOWN : effective(batch[i].input, this.spoiledOuter);
    const facts = isAppended ? SOUND_FRAGMENT : input === UNKNOWN ? NOTHING_KNOWN : factsOf(input);
    const fault = faultOf(
      input,
      facts,
      output,
      frames.descriptors[d + 2] & 0xff,
      this.isPort,
      this.isKnownHost,
      variant.line.sharedWithHost === true,
    );
    // The header checksum of a fragment that waited is as right as it came.
    if (fault !== undefined && !(isAppended && fault === 'a wrong header checksum'))
      this.fail(`frame ${i} came out with ${fault}\noutput:\n${hexDump(output)}`);
    this.judgeTunnel(i, verdict, start, input);
    const wrong = batch.length === 1 && this.datagrams.add(batch[0].input.datagram, output);
    if (wrong) this.fail(`${wrong}\n${hexDump(output)}`);
    if (isAppended) return;
    if (input !== UNKNOWN) this.compareEndpoints(input.bytes, output, verdict);
    if (batch.length > 1) return;
    // Behind others of a batch a session may have ended, and its 5-tuple be another's.
    const { sessions } = this.worlds[0].table.parts;
    const stranger = verdict !== ANSWERED && senderFault(sessions, input.bytes, output);
    if (stranger) this.fail(`${stranger}\n${hexDump(output)}`);
    this.traffic.heard(output);
  }

  private judgeTunnel(i: number, verdict: number, start: number, input: Input): void {
    const [{ frames }] = this.worlds;
    const { line } = this.variant;
    const d = i * DESCRIPTOR_WORDS;
    const output = frames.bytes.subarray(start, start + frames.descriptors[d + 1]);
    const sent = i < this.batch.length ? this.batch[i].input.bytes : undefined;
    const inner = input === UNKNOWN ? undefined : input.bytes;
    const fault =
      outwardFault(line, verdict, frames.bytes, start, output) ??
      inwardFault(line, verdict, sent, inner);
    if (fault !== undefined) this.fail(`frame ${i}: ${fault}`);
    if (verdict === ENCAPSULATE) this.result.encapsulated++;
    if (verdict === COALESCE) this.result.decapsulated++;
  }

  /** A packet may have made a session and then not have found room to be cut: the session is its sender's nonetheless. */
  private noteUnsent(input: Uint8Array): void {
    const { sessions } = this.worlds[0].table.parts;
    const [protocol, l4] = [input[9], headerBytes(input)];
    const [from, to, ports] = [i32(input, 12), i32(input, 16), i32(input, l4)];
    const session = sessions.findInternal(from, to, ports, protocol);
    if (session < 0) return;
    const external = sessions.words[(session << SESSION_SHIFT) + S_EXTERNAL] >>> 16;
    this.endpoints.note(protocol, external, to, ports & 0xffff, from, ports >>> 16);
  }

  /** An answer reaches the endpoint whose packets left under that external 5-tuple. */
  private compareEndpoints(input: Uint8Array, output: Uint8Array, verdict: number): void {
    const protocol = output[9];
    if (verdict === ANSWERED || protocol === 1 || (u16(output, 6) & 0x1fff) !== 0) return;
    const { endpoints } = this;
    const l4 = headerBytes(output);
    const from = i32(output, 12);
    const to = i32(output, 16);
    const isOut = from === EXTERNAL && i32(input, 12) !== EXTERNAL;
    const fromPort = u16(output, l4);
    const toPort = u16(output, l4 + 2);
    if (isOut && !isInternal(to)) {
      endpoints.note(protocol, fromPort, to, toPort, i32(input, 12), u16(input, l4));
    } else if (!isOut && isInternal(to)) {
      const externalPort = u16(input, l4 + 2);
      const { parts, tick } = this.worlds[0].table;
      const { sessions } = parts;
      const session = sessions.findExternal((externalPort << 16) | protocol, from, fromPort);
      const known = endpoints.find(protocol, externalPort, from, fromPort);
      if (session < 0 || known < 0) return;
      // It may have been made behind this packet in the same batch; then the port's owner got the packet.
      const isNew = sessions.words[(session << SESSION_SHIFT) + S_CREATED] === tick;
      if (isNew && this.batch.length > 1) return;
      const address = endpoints.address(known);
      const port = endpoints.port(known);
      if (address !== to || port !== toPort)
        this.fail(`delivered to ${to}:${toPort}, and ${address}:${port} had sent`);
    }
  }

  private passTime(): void {
    const { dice } = this;
    const { paceMs = PACE_MS } = this.variant;
    const kind = dice.below(paceMs === 1 ? 100_000 : 10_000);
    let elapsed = dice.below(paceMs);
    if (kind < 5) elapsed = dice.between(60_000, 8_000_000);
    else if (kind < 6) elapsed = 86_400_000 * dice.between(1, 40);
    else if (kind < 8) elapsed = -dice.between(1, 20_000);
    else if (kind < 9) elapsed = -dice.between(20_000, 10_000_000);
    else if (kind < 100) elapsed = dice.between(200, 5000);
    if (elapsed < 0) this.clockIsSteady = false;
    this.advance(Math.max(START_MS, this.now + elapsed));
    const { count } = this.worlds[0].table.parts.sessions;
    if (count > this.result.sessionsMax) this.result.sessionsMax = count;
  }

  private advance(now: number): void {
    this.now = now;
    this.worlds[0].engine.advance(now);
    this.worlds[1].engine.advance(now);
  }

  /** Both processes end, and after a while others take over. What they knew of fragments is gone. */
  private restart(): void {
    const { dice } = this;
    this.now += dice.chance(80) ? dice.below(3000) : dice.below(600_000);
    const isDamaged = dice.chance(20);
    const seed = dice.next();
    for (const world of this.worlds) {
      if (isDamaged) this.wasDamaged = true;
      if (isDamaged) damage(world.table, new Dice(seed));
      const before = snapshotOf(world.table);
      const restored = world.restart(this.now);
      const loss = isDamaged ? undefined : lossOf(before, world.table, restored);
      if (loss !== undefined) this.fail(`after a restart ${loss}`);
    }
    if (isDamaged) this.endpoints.forget();
    this.datagrams.forget();
    this.result.restarts++;
    this.check();
  }

  /** Another preset and another MTU are in force from now on. */
  private reload(): void {
    const { dice, variant } = this;
    variant.preset = choosePreset(dice);
    variant.line.mtu = dice.pick([1280, 1460, 1500]);
    for (const world of this.worlds) world.reload();
  }

  private lookEverywhere(): void {
    for (const world of this.worlds)
      if (!world.isWiped()) this.fail('bytes outside every frame were written', WriteFarAway);
  }

  private check(): void {
    const [a, b] = this.worlds;
    const problems = selfCheck(a.table.parts);
    if (problems.length > 0) this.fail(`the tables are wrong:\n${problems.join('\n')}`);
    if (Buffer.compare(a.arenaBytes, b.arenaBytes) !== 0) this.fail('the two arenas differ');
    if (this.variant.limits !== 'tight' || this.wasDamaged) return;
    const excess = this.limits.fault(a.table, isGateway, this.clockIsSteady);
    if (excess !== undefined) this.fail(excess);
  }

  /** After the longest timer nothing may be left. */
  private checkEverythingEnds(): void {
    for (let i = 0; i < 4; i++) this.advance(this.now + EVERYTHING_OVER_MS);
    this.check();
    const { sessions, mappings, remotes, ports, permits } = this.worlds[0].table.parts;
    const left = {
      sessions: sessions.count,
      mappings: mappings.count,
      remotes: remotes.count,
      rows: remotes.rowCount - remotes.freeRowCount,
      permits: permits.count,
      owned: ports.ownedCount.reduce((total, count) => total + count, 0),
      used: ports.usedCount.reduce((total, count) => total + count, 0),
    };
    for (const [name, count] of Object.entries(left))
      if (count !== 0) this.fail(`${count} ${name} are left after every timer has run out`);
  }
}

/** True if both hold the same bytes from `start` to `end`. */
function areEqual(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (end - start > 2048)
    return Buffer.compare(a.subarray(start, end), b.subarray(start, end)) === 0;
  for (let at = start; at < end; at++) if (a[at] !== b[at]) return false;
  return true;
}

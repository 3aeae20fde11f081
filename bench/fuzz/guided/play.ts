/**
 * Plays a case on a stage and judges what comes out, packet by packet:
 *
 *   no exception; nothing written outside the frames; what comes out is right by judge.ts; answers reach the endpoint that sent; the
 *   tables agree with their records at the end and around a restart, which loses no session.
 *
 * `twin` plays the same inputs on a plain build of the engine, with other bytes around the packets, and compares everything; then all
 * timers run out and nothing may be left.
 */
import { DESCRIPTOR_WORDS, VNET_HEADER_BYTES } from '../../../core/frames.ts';
import type { Line } from '../../../core/translate/context.ts';
import { ANSWERED, COALESCE, ENCAPSULATE } from '../../../core/verdict.ts';
import { headerBytes, i32, u16 } from '../build.ts';
import { type Input, plain } from '../input.ts';
import { type Facts, factsOf, faultOf } from '../judge.ts';
import { senderFault } from '../sender-judge.ts';
import { BR, CE, EXTERNAL, isInternal } from '../world.ts';
import { type Case, inputOf } from './case.ts';
import type { Core } from './load.ts';
import type { Stage } from './stage.ts';

const OUTPUTS_MAX = 64;
const BATCH_MAX = 8;
const BATCH_BYTES_MAX = 150_000;
/** Longer than any timer. */
const EVERYTHING_OVER_SECONDS = 7600;
const OUTER_BYTES = 40 + VNET_HEADER_BYTES;
const UNKNOWN: Facts = { isSound: false, isWhole: false, isRight: false, hasUdpSum: false };

/** What happened, in the order in which it happened: batches of packets, and the other steps. */
type Happening = readonly Input[] | number | 'restart';

export class Fault extends Error {}

export class Player {
  private readonly core: Core;
  private readonly stage: Stage;
  private readonly outputs: Uint8Array[] = [];
  private readonly hosts = new Set<number>();
  private readonly endpoints = new Map<string, string>();
  readonly happened: Happening[] = [];
  /** Verdicts and a sum of everything that came out, to be compared with those of the twin. */
  readonly trace: number[] = [];
  packets = 0;
  /** The first packet of each packet step, by the number of the step. */
  readonly sent: Uint8Array[] = [];

  constructor(core: Core, stage: Stage) {
    this.core = core;
    this.stage = stage;
  }

  /** Throws a Fault at the first thing that is not right. */
  play({ steps }: Case): void {
    const { stage } = this;
    this.begin();
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i];
      if (step.kind === 'time') this.happen(step.milliseconds);
      else if (step.kind === 'restart') this.happen('restart');
      else
        for (let round = 0; round < step.times; round++) {
          const batch = [inputOf(step, round, this.outputs)];
          if (round === 0) this.sent[i] = batch[0].bytes;
          let bytes = batch[0].bytes.length;
          for (let next = steps[i + 1]; step.times === 1; next = steps[i + 1]) {
            if (next?.kind !== 'packet' || !next.together || batch.length === BATCH_MAX) break;
            const input = inputOf(next, 0, this.outputs);
            bytes += input.bytes.length;
            if (bytes > BATCH_BYTES_MAX) break;
            batch.push(input);
            this.sent[++i] = input.bytes;
          }
          this.happen(batch);
          stage.advance(1);
        }
    }
    this.check();
  }

  /** Plays again what happened on another stage. */
  repeat(happened: readonly Happening[]): void {
    this.begin();
    for (const happening of happened) {
      this.happen(happening);
      if (typeof happening === 'object') this.stage.advance(1);
    }
    this.check();
  }

  /** After the longest timer nothing may be left. */
  end(): void {
    const { stage } = this;
    for (let i = 0; i < EVERYTHING_OVER_SECONDS / 20; i++) stage.advance(20_000);
    this.check();
    const { sessions, mappings, remotes, ports, permits } = stage.table.parts;
    const left = {
      sessions: sessions.count,
      mappings: mappings.count,
      remotes: remotes.count,
      permits: permits.count,
      owned: ports.ownedCount.reduce((sum, count) => sum + count, 0),
      used: ports.usedCount.reduce((sum, count) => sum + count, 0),
    };
    for (const [name, count] of Object.entries(left))
      if (count !== 0) throw new Fault(`${name} are left after every timer has run out`);
  }

  private begin(): void {
    this.stage.reset();
    this.outputs.length = 0;
    this.happened.length = 0;
    this.trace.length = 0;
    this.sent.length = 0;
    this.hosts.clear();
    this.endpoints.clear();
    this.packets = 0;
  }

  private happen(happening: Happening): void {
    this.happened.push(happening);
    if (typeof happening === 'number') this.stage.advance(happening);
    else if (happening === 'restart') this.restart();
    else this.batch(happening);
  }

  private batch(batch: readonly Input[]): void {
    const { stage, hosts } = this;
    for (const { bytes } of batch)
      if (bytes.length >= 20 && bytes[0] >> 4 === 4) hosts.add(i32(bytes, 12));
    stage.place(batch);
    try {
      stage.process(batch.length);
    } catch (error) {
      throw new Fault(`an exception: ${whereOf(error as Error)}`);
    }
    this.packets += batch.length;
    if (!stage.isUntouched()) throw new Fault('bytes outside every frame were written');
    const { count } = stage.frames;
    for (let i = 0; i < count; i++) this.judge(batch, i);
  }

  private judge(batch: readonly Input[], i: number): void {
    const { frames, table, variant } = this.stage;
    const { bytes, descriptors } = frames;
    const d = i * DESCRIPTOR_WORDS;
    const at = descriptors[d];
    const verdict = descriptors[d + 3];
    this.trace.push(verdict);
    if (verdict < 0) return;
    const output = bytes.slice(at, at + descriptors[d + 1]);
    const input = i < batch.length ? batch[i] : undefined;
    this.trace.push(
      at,
      descriptors[d + 2],
      output.length,
      hashOf(bytes, at - VNET_HEADER_BYTES, at),
    );
    this.trace.push(hashOf(output, 0, output.length));
    if (!this.stage.isWithin(i, at - VNET_HEADER_BYTES, at + output.length))
      throw new Fault('a packet left its frame');
    if (verdict === ENCAPSULATE) this.checkOuter(at, output);
    this.hear(output);

    const { line } = variant;
    const [judged, facts] = judgedAs(input, output, verdict);
    const fault = faultOf(
      judged,
      facts,
      output,
      descriptors[d + 2] & 0xff,
      (port) => table.parts.ports.set.numberOf(port) >= 0,
      (address) => this.hosts.has(address),
      line.sharedWithHost,
    );
    if (fault !== undefined && !isAllowed(fault, judged, facts, line))
      throw new Fault(`it came out with ${fault}`);
    if (verdict === ANSWERED || input === undefined) return;
    this.compareEndpoints(judged.bytes, output);
    const { sessions } = table.parts;
    const stranger = batch.length === 1 && senderFault(sessions, judged.bytes, output);
    if (stranger) throw new Fault(stranger);
  }

  private checkOuter(at: number, output: Uint8Array): void {
    const { bytes } = this.stage.frames;
    const outer = at - OUTER_BYTES;
    if (bytes[outer] >> 4 !== 6 || bytes[outer + 6] !== 4) throw new Fault('a wrong outer header');
    // In a mesh the neighbour that a packet is for may take the relay's place.
    const hasNeighbours = this.stage.variant.line.mesh !== undefined;
    for (let i = 0; i < 16; i++)
      if (bytes[outer + 8 + i] !== CE[i] || (!hasNeighbours && bytes[outer + 24 + i] !== BR[i]))
        throw new Fault('an outer header with wrong addresses');
    const trafficClass = ((bytes[outer] << 4) | (bytes[outer + 1] >> 4)) & 255;
    if (trafficClass !== output[1]) throw new Fault('an outer header without the traffic class');
  }

  private hear(output: Uint8Array): void {
    if (output.length < 28) return;
    if (this.outputs.length === OUTPUTS_MAX) this.outputs.shift();
    this.outputs.push(output);
  }

  /** An answer reaches the endpoint whose packets left under that external 5-tuple. */
  private compareEndpoints(input: Uint8Array, output: Uint8Array): void {
    const protocol = output[9];
    const l4 = headerBytes(output);
    if ((protocol !== 6 && protocol !== 17) || (u16(output, 6) & 0x1fff) !== 0) return;
    const from = i32(output, 12);
    const to = i32(output, 16);
    const { endpoints } = this;
    const isOut = from === EXTERNAL && i32(input, 12) !== EXTERNAL;
    if (isOut && !isInternal(to)) {
      const sender = `${i32(input, 12)}:${u16(input, headerBytes(input))}`;
      endpoints.set(`${protocol} ${u16(output, l4)} ${to} ${u16(output, l4 + 2)}`, sender);
    } else if (!isOut && isInternal(to)) {
      const port = u16(input, headerBytes(input) + 2);
      const { sessions } = this.stage.table.parts;
      if (sessions.findExternal((port << 16) | protocol, from, u16(output, l4)) < 0) return;
      const known = endpoints.get(`${protocol} ${port} ${from} ${u16(output, l4)}`);
      if (known !== undefined && known !== `${to}:${u16(output, l4 + 2)}`)
        throw new Fault('it was delivered to another endpoint than had sent');
    }
  }

  private restart(): void {
    this.check();
    const before = sessionsOf(this.stage);
    const dropped = this.stage.restart();
    if (dropped > 0) throw new Fault('a restart dropped sessions');
    if (sessionsOf(this.stage) !== before) throw new Fault('a restart changed the sessions');
    this.check();
  }

  private check(): void {
    const [problem] = this.core.selfCheck(this.stage.table.parts);
    if (problem !== undefined) throw new Fault(`the tables are wrong: ${problem}`);
  }
}

/** Two stages that have played the same must have become the same. */
export function compare(a: Player, aStage: Stage, b: Player, bStage: Stage): void {
  if (a.trace.length !== b.trace.length || a.trace.some((word, i) => word !== b.trace[i]))
    throw new Fault('what comes out depends on what lies around the packets');
  if (Buffer.compare(aStage.arenaBytes, bStage.arenaBytes) !== 0)
    throw new Fault('the tables depend on what lies around the packets');
}

/** The packet that `output` is held against, and what is known of it. */
function judgedAs(input: Input | undefined, output: Uint8Array, verdict: number): [Input, Facts] {
  // An appended frame belongs to some packet of the batch, a reassembled one to several.
  if (input === undefined) return [plain(output), UNKNOWN];
  const { bytes } = input;
  if (bytes.length < 40 || bytes[0] >> 4 !== 6 || bytes[6] === 58) return [input, factsOf(input)];
  const isInner = bytes[6] === 4 && bytes.length >= 60 && (input.flags & 1) === 0;
  if (!isInner || verdict !== COALESCE) return [plain(output), UNKNOWN];
  const inner = plain(bytes.slice(40, 40 + u16(bytes, 4)));
  return [inner, factsOf(inner)];
}

/**
 * What is no fault after all: a fragment that waited has the header checksum that it came with, and on a shared address a neighbour's
 * packets have our external address and ports of its own.
 */
function isAllowed(fault: string, { bytes }: Input, facts: Facts, line: Line): boolean {
  if (facts === UNKNOWN && fault === 'a wrong header checksum') return true;
  const isNeighbours = line.isShared && bytes.length >= 20 && i32(bytes, 12) === EXTERNAL;
  return isNeighbours && /^source port \d+ is not ours$/.test(fault);
}

/** Addresses, ports and state of every session, in the order of the records. */
function sessionsOf({ table }: Stage): string {
  const { words, capacity } = table.parts.sessions;
  const found: string[] = [];
  for (let at = 0; at < capacity << 4; at += 16)
    if ((words[at + 4] & 63) !== 0)
      found.push(`${words.subarray(at, at + 4).join(' ')} ${words[at + 4] & 0xff000fff}`);
  return found.join('\n');
}

/** Message and place of an exception, without line numbers of a build. */
const whereOf = ({ message, stack }: Error): string =>
  `${message} ${/\n\s+at (\S+)/.exec(stack ?? '')?.[1] ?? ''}`;

function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash;
}

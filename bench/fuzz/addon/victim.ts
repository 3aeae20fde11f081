/**
 * What runs under the sanitizers in a namespace of its own; packets.ts starts it.
 *
 *   traffic ─ mutate ─► layout ──► writeInto                          memory that ends with the packet
 *                          │   ──► completeChecksum
 *                          └─────► writeBatch(in0) ─ kernel ─► readBatch(out0) ─► writeBatch(out0)
 *
 * The kernel forwards from one TUN to the other what it takes for a packet, superpackets included,
 * so that reading sees what real virtio headers say. Nothing is translated: the traffic hears its
 * own packets with the external address, so that it has something to answer and to quote. Prints
 * one line of JSON at its end.
 */
import { execFileSync } from 'node:child_process';
import { DESCRIPTOR_WORDS, Frames } from '../../../core/frames.ts';
import { ANSWERED, COALESCE, FORWARDED } from '../../../core/verdict.ts';
import { completeChecksum, loadNative, writeInto } from '../../../tun/native.ts';
import { TunDevice } from '../../../tun/tun-device.ts';
import { i32, put32 } from '../build.ts';
import { Dice } from '../dice.ts';
import { mutate } from '../mutate.ts';
import { Traffic } from '../traffic.ts';
import { chooseVariant, EXTERNAL, isInternal } from '../world.ts';
import {
  asTheyStand,
  beheadSuperpacket,
  datagramTrain,
  guardFault,
  type Layout,
  layOut,
  misplaced,
  outputFault,
  train,
} from './layout.ts';
import { arenas, deviceLives, threads, wrongArguments } from './lives.ts';

const [packetsText, seedText, mutatedText, folder] = process.argv.slice(2);
const PACKETS_PER_SEED = 100_000;
const BATCH_MAX = 6;
const OUTPUT_BYTES = 4 << 20;
/** The device that reads is opened anew so often, each time with buffers of another size. */
const REOPEN_EVERY = 2000;
const HEADROOM_BYTES = 128;
const ALIGNMENT = 64;
const ONE_PACKET_BYTES = HEADROOM_BYTES + 65535;

const result = {
  packets: 0,
  written: 0,
  refused: 0,
  misplaced: 0,
  completed: 0,
  kernelTook: 0,
  kernelRefused: 0,
  read: 0,
  superpacketsRead: 0,
  refusedCalls: 0,
};
const output = new Uint8Array(OUTPUT_BYTES);

class Tuns {
  private readonly dice: Dice;
  private readonly inFrames = new Frames(1 << 17, 80, 1 << 19, 0);
  private readonly input = new TunDevice('in0', { persist: true });
  private output: TunDevice;
  private outFrames: Frames;

  constructor(dice: Dice) {
    this.dice = dice;
    this.input.register(this.inFrames);
    [this.output, this.outFrames] = this.open();
    execFileSync('ip', ['-batch', '-'], {
      input: ['link set in0 up', 'link set out0 up', 'route add default dev out0'].join('\n'),
    });
    execFileSync('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  }

  private open(): [TunDevice, Frames] {
    const { dice } = this;
    const size = dice.pick([ONE_PACKET_BYTES, ONE_PACKET_BYTES + 200, 1 << 17, 1 << 18]);
    const frames = new Frames(size, dice.pick([1, 2, 16, 64]), 0, dice.pick([0, 1]));
    const device = new TunDevice('out0', { persist: true });
    device.register(frames);
    return [device, frames];
  }

  reopen(): void {
    this.output.close();
    [this.output, this.outFrames] = this.open();
  }

  /** Writes a copy that ends, or begins, with the buffer; reads what the kernel forwarded. */
  pass(layout: Layout): void {
    const { inFrames, input, dice } = this;
    const { bytes, words, count } = layout;
    const base = dice.chance(85) ? inFrames.bytes.length - bytes.length : 0;
    inFrames.bytes.set(bytes, base);
    inFrames.descriptors.set(words);
    for (let i = 0; i < count; i++) inFrames.descriptors[i * DESCRIPTOR_WORDS] += base;
    const outside = misplaced(inFrames.descriptors, count, inFrames.bytes.length);
    const errorsBefore = input.counters.writeErrors;
    inFrames.count = count;
    result.kernelTook += input.writeBatch();
    const errors = input.counters.writeErrors - errorsBefore;
    result.kernelRefused += errors - outside;
    if (errors < outside) throw new Error(`${outside} frames lie outside, ${errors} were refused`);
    this.drain();
  }

  private drain(): void {
    const { outFrames, output, dice, input, inFrames } = this;
    for (let round = 0; round < 3; round++) {
      const count = output.readBatch();
      if (count === 0) break;
      this.check(count);
      // What the gateway would do: write it again, from where it was read.
      for (let i = 0; i < count; i++)
        outFrames.descriptors[i * DESCRIPTOR_WORDS + 3] = dice.pick([-1, -1, 0, 2, 3]);
      if (dice.chance(20)) output.writeBatch();
    }
    inFrames.count = 0;
    result.read += input.readBatch();
  }

  private check(count: number): void {
    const { outFrames } = this;
    const { descriptors } = outFrames;
    let end = 0;
    for (let d = 0; d < count * DESCRIPTOR_WORDS; d += DESCRIPTOR_WORDS) {
      const [offset, length] = descriptors.subarray(d, d + 2);
      const isRight =
        offset % ALIGNMENT === 0 &&
        offset >= end + HEADROOM_BYTES &&
        length > 0 &&
        offset + length <= outFrames.readBytes &&
        descriptors[d + 3] === 0;
      if (!isRight) throw new Error(`frame at ${offset}, ${length} bytes, behind ${end}`);
      end = offset + length;
      if (descriptors[d + 2] >>> 16 > 0) result.superpacketsRead++;
    }
    if (count > outFrames.capacity) throw new Error(`${count} frames were read`);
    result.read += count;
  }

  close(): void {
    this.output.close();
    this.input.close();
  }
}

/** Everything that a layout is given to. */
function give(dice: Dice, layout: Layout, tuns: Tuns): void {
  const { bytes, words, count } = layout;
  tuns.pass(layout);
  complete(dice, layout);
  const outside = misplaced(words, count, bytes.length);
  const plain = everyVerdictIs(words, count, 0, 1) && !layout.lies && !mayBecomeTrain(words, count);
  const expected = plain ? asTheyStand(layout) : undefined;
  const room = dice.chance(95) ? output : new Uint8Array(dice.below(3000));
  const used = writeInto(bytes, words, count, room);
  result.misplaced += outside;
  if (used < 0) {
    result.refused -= used;
    if (-used < outside) throw new Error(`${outside} frames lie outside, ${-used} were refused`);
    return;
  }
  if (outside > 0) throw new Error(`${outside} frames lie outside, none was refused`);
  result.written += count;
  const fault = outputFault(room, used) ?? guardFault(layout);
  if (fault !== undefined) throw new Error(fault);
  if (expected !== undefined && Buffer.compare(room.subarray(0, used), expected) !== 0)
    throw new Error('what is written as it stands is not what stood there');
}

/** True if two neighbours have a checksum that the kernel vouches for: datagrams are then merged. */
function mayBecomeTrain(words: Int32Array, count: number): boolean {
  for (let i = 1; i < count; i++) {
    const [first, second] = [i - 1, i].map((n) => words[n * DESCRIPTOR_WORDS + 2] & 0xff);
    if (first !== 0 && second !== 0) return true;
  }
  return false;
}

function everyVerdictIs(words: Int32Array, count: number, ...allowed: number[]): boolean {
  for (let i = 0; i < count; i++)
    if (!allowed.includes(words[i * DESCRIPTOR_WORDS + 3])) return false;
  return true;
}

/** Completes a checksum at a place by chance, in memory that ends where the packet does. */
function complete(dice: Dice, { bytes, spans }: Layout): void {
  const [start, end] = dice.pick(spans);
  const copy = bytes.slice(0, end);
  const at = dice.chance(90) ? start : dice.pick([-1, 0, end, end + 1, 0x7fffffff]);
  const length = dice.chance(90) ? end - start : dice.pick([-1, 0, end - start + 1, 0x7fffffff]);
  const near = Math.max(0, length - 2);
  const csumStart = dice.pick([20, 24, 0, near, near + 1, -1, 65535, 0x7fffffff]);
  const field =
    dice.pick([6, 16, 2, 0, near - csumStart, near - csumStart + 1, -1, 0x7fffffff]) | 0;
  const isInside =
    at >= 0 &&
    csumStart >= 0 &&
    field >= 0 &&
    length >= 0 &&
    at + length <= copy.length &&
    csumStart + field + 2 <= length;
  if (completeChecksum(copy, at, csumStart, field, length) !== isInside)
    throw new Error(
      `checksum ${at} ${csumStart} ${field} ${length} of ${copy.length}: ${!isInside}`,
    );
  if (isInside) result.completed++;
}

/** Some packets, or a train that is to be merged, laid out. */
function layoutOf(dice: Dice, traffic: Traffic, mutated: number): Layout {
  const isTrain = dice.chance(4);
  const isOfDatagrams = !isTrain && dice.chance(4);
  const inputs = isTrain
    ? train(dice)
    : isOfDatagrams
      ? datagramTrain(dice)
      : Array.from({ length: dice.between(1, BATCH_MAX) }, () => traffic.next());
  for (const input of inputs) {
    traffic.heard(asIfTranslated(input.bytes));
    if (dice.chance(isTrain || isOfDatagrams ? 1 : mutated)) mutate(dice, input);
  }
  const last = inputs[inputs.length - 1];
  if (dice.chance(3) && last.bytes.length >= 20) beheadSuperpacket(dice, last);
  if (isTrain && dice.chance(70)) return layOut(dice, inputs, COALESCE);
  if (isOfDatagrams && dice.chance(70)) return layOut(dice, inputs, FORWARDED);
  return layOut(dice, inputs, dice.chance(10) ? dice.pick([FORWARDED, ANSWERED]) : undefined);
}

function asIfTranslated(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice(0, 1600);
  if (copy.length >= 20 && isInternal(i32(copy, 12))) put32(copy, 12, EXTERNAL);
  return copy;
}

async function main(): Promise<void> {
  const packets = Number(packetsText);
  const tuns = new Tuns(new Dice(Number(seedText)));
  for (let seed = Number(seedText); result.packets < packets; seed++) {
    const dice = new Dice(seed);
    const traffic = new Traffic(dice, chooseVariant(seed));
    const end = Math.min(packets, result.packets + PACKETS_PER_SEED);
    while (result.packets < end) {
      const before = result.packets;
      const layout = layoutOf(dice, traffic, Number(mutatedText));
      try {
        give(dice, layout, tuns);
      } catch (error) {
        throw new Error(`seed ${seed}, packet ${before}`, { cause: error });
      }
      result.packets += layout.count;
      if (Math.floor(before / REOPEN_EVERY) !== Math.floor(result.packets / REOPEN_EVERY))
        tuns.reopen();
    }
  }
  tuns.close();
  process.chdir(folder);
  const dice = new Dice(Number(seedText));
  result.refusedCalls = wrongArguments(dice, Math.min(packets, 50_000));
  const rounds = Math.min(100, Math.ceil(packets / 100));
  deviceLives(rounds);
  arenas(folder, rounds);
  await threads(folder, Math.ceil(rounds / 10));
  if (loadNative().wake(-1)) throw new Error('nobody has the token -1');
  console.log(JSON.stringify(result));
}

await main();

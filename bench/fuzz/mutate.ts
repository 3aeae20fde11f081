/**
 * What goes wrong with packets, by accident or on purpose: flipped bits, lengths that lie, bytes missing or too many, header lengths,
 * options, fragment fields, swapped addresses, and virtio headers that do not fit. Half of the mutants get right checksums again, so
 * that they are not all caught by the first sum.
 */
import { fixHeader, fixTransport, headerBytes, put16, u16 } from './build.ts';
import type { Dice } from './dice.ts';
import type { Input } from './input.ts';

type Mutation = (dice: Dice, input: Input) => void;

const resize = (input: Input, length: number, dice: Dice): void => {
  const bytes = dice.bytes(Math.max(0, length));
  bytes.set(input.bytes.subarray(0, bytes.length));
  input.bytes = bytes;
};

const flip: Mutation = (dice, { bytes }) => {
  for (let i = dice.between(1, 8); i > 0; i--)
    bytes[dice.below(bytes.length)] ^= 1 << dice.below(8);
};

/** As `flip`, but within the headers, where it matters. */
const flipHeader: Mutation = (dice, { bytes }) => {
  for (let i = dice.between(1, 4); i > 0; i--)
    bytes[dice.below(Math.min(64, bytes.length))] ^= 1 << dice.below(8);
};

const lieAboutLength: Mutation = (dice, { bytes }) => {
  if (bytes.length < 8) return;
  const lie = dice.pick([0, 19, 20, 21, 27, 28, bytes.length - 1, bytes.length + 1, 65535]);
  put16(bytes, bytes[0] >> 4 === 6 ? 4 : 2, dice.chance(50) ? lie : dice.below(bytes.length + 2));
};

const truncate: Mutation = (dice, input) => resize(input, dice.below(input.bytes.length), dice);

/** Fewer bytes, and a total length that says so. */
const truncateHonestly: Mutation = (dice, input) => {
  resize(input, dice.below(Math.min(100, input.bytes.length)), dice);
  if (input.bytes.length >= 4) put16(input.bytes, 2, input.bytes.length);
};

const extend: Mutation = (dice, input) =>
  resize(input, input.bytes.length + dice.between(1, 40), dice);

const setHeaderLength: Mutation = (dice, { bytes }) => {
  bytes[0] = 0x40 | dice.below(16);
};

const setDataOffset: Mutation = (dice, { bytes }) => {
  const at = headerBytes(bytes) + 12;
  if (bytes[9] === 6 && at < bytes.length) bytes[at] = dice.below(16) << 4;
};

/** A TCP header whose options are noise, or begin like the ones that are read. */
const spoilOptions: Mutation = (dice, { bytes }) => {
  const l4 = headerBytes(bytes);
  if (bytes[9] !== 6 || l4 + 20 >= bytes.length) return;
  const end = Math.min(bytes.length, l4 + ((bytes[l4 + 12] >> 4) << 2));
  for (let at = l4 + 20; at < end; at++) bytes[at] = dice.pick([0, 1, 2, 4, 8, 10, 255]);
};

const setFragmentField: Mutation = (dice, { bytes }) => {
  if (bytes.length < 20) return;
  put16(bytes, 6, dice.pick([0, 1, 2, 3, 0x2000, 0x2001, 0x4000, 0x6000, 0x8000, 0x1fff, 0x3fff]));
};

const swapAddresses: Mutation = (_dice, { bytes }) => {
  if (bytes.length < 20) return;
  const source = bytes.slice(12, 16);
  bytes.copyWithin(12, 16, 20);
  bytes.set(source, 16);
};

const setProtocol: Mutation = (dice, { bytes }) => {
  if (bytes.length >= 20) bytes[9] = dice.pick([1, 6, 17, 17, 4, 50, 58, 132]);
};

const setTransportWord: Mutation = (dice, { bytes }) => {
  const at = headerBytes(bytes) + 2 * dice.below(10);
  if (at + 2 <= bytes.length)
    put16(bytes, at, dice.pick([0, 1, 0xffff, 0x8000, dice.below(65536)]));
};

/** Says that the checksum is partial or verified, or that this is a superpacket, whatever it is. */
const spoilVirtio: Mutation = (dice, input) => {
  input.flags = dice.pick([0, 1, 2, 3]);
  input.gsoType = dice.pick([0, 0, 1, 4, 5, 0x81, 3]);
  input.gsoSize = dice.pick([0, 1, 536, 1420, 65535]);
  input.csumStart = headerBytes(input.bytes) + dice.pick([0, 0, 20, 60000]);
  input.csumOffset = dice.pick([6, 16, 2, 65535]);
};

const MUTATIONS: readonly Mutation[] = [
  flip,
  flipHeader,
  flipHeader,
  lieAboutLength,
  truncate,
  truncateHonestly,
  extend,
  setHeaderLength,
  setDataOffset,
  spoilOptions,
  setFragmentField,
  setFragmentField,
  swapAddresses,
  setProtocol,
  setTransportWord,
  spoilVirtio,
];

/** Mutates the packet once to three times. */
export function mutate(dice: Dice, input: Input): void {
  for (let i = dice.between(1, 3); i > 0; i--)
    if (input.bytes.length > 0) dice.pick(MUTATIONS)(dice, input);
  const { bytes } = input;
  if (bytes.length < 20 || bytes[0] >> 4 !== 4 || headerBytes(bytes) > bytes.length) return;
  if (headerBytes(bytes) < 20 || !dice.chance(50)) return;
  if (dice.chance(70) && u16(bytes, 2) <= bytes.length && (input.flags & 1) === 0)
    fixTransport(bytes);
  fixHeader(bytes);
}

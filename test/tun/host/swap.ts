/**
 * The smallest gateway that a test of the host settings needs: on the TUN it swaps one internal
 * address for the external one and back.
 *
 *   node --import tsx test/tun/host/swap.ts TUN INTERNAL EXTERNAL GATEWAY REFUSED
 *
 * Only ICMP echo passes (its checksum covers no addresses). A packet to REFUSED is answered as a
 * gateway answers: with an ICMP error from GATEWAY, an address that is the host's own. Prints
 * "ready", then a line for each IPv4 packet read: source, destination, TTL.
 */
import { Frames } from '../../../core/frames.ts';
import { TunDevice } from '../../../tun/tun-device.ts';

const [name, ...texts] = process.argv.slice(2);
const addressOf = (text: string): number =>
  text.split('.').reduce((sum, part) => (sum << 8) | Number(part), 0);
const [internal, external, gateway, refused] = texts.map(addressOf);

const frames = new Frames(4 << 20, 64);
const device = new TunDevice(name, { persist: true });
device.register(frames);
const view = new DataView(frames.bytes.buffer);
console.log('ready');

for (;;) {
  const count = device.readBatch();
  for (let i = 0; i < count; i++) translate(i);
  if (count > 0) device.writeBatch();
  else device.wait(200);
}

function translate(frame: number): void {
  const at = frames.descriptors[frame * 4];
  const version = frames.bytes[at] >> 4;
  frames.descriptors[frame * 4 + 3] = -1;
  if (version !== 4) return;

  const source = view.getInt32(at + 12);
  const destination = view.getInt32(at + 16);
  console.log(`${format(source)} ${format(destination)} ${frames.bytes[at + 8]}`);

  if (destination === refused) answer(frame, at, source);
  else if (source === internal) view.setInt32(at + 12, external);
  else if (destination === external) view.setInt32(at + 16, internal);
  else return;
  sum(at, 20, at + 10);
  frames.descriptors[frame * 4 + 3] = 0;
}

/** Turns the packet into ICMP 3/13 around its own first bytes. */
function answer(frame: number, at: number, source: number): void {
  frames.bytes.copyWithin(at + 28, at, at + 28);
  view.setInt32(at + 12, gateway);
  view.setInt32(at + 16, source);
  view.setUint16(at + 2, 56);
  frames.bytes[at + 8] = 64;
  frames.bytes[at + 9] = 1;
  frames.bytes.set([3, 13, 0, 0, 0, 0, 0, 0], at + 20);
  sum(at + 20, 36, at + 22);
  frames.descriptors[frame * 4 + 1] = 56;
}

/** Writes the internet checksum of `length` bytes into the field at `field`. */
function sum(at: number, length: number, field: number): void {
  view.setUint16(field, 0);
  let total = 0;
  for (let i = 0; i < length; i += 2) total += view.getUint16(at + i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  view.setUint16(field, ~total & 0xffff);
}

function format(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

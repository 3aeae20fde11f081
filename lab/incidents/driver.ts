/**
 * The mouse driver of the incident `flow`: datagrams to one address and one of two ports, each from a new source port, and
 * nothing ever answers.
 *
 * The real one sends two to four every three seconds; this one sends sixty a second, so that a minute here is what an hour
 * was there. Timers are not sped up: what a gateway keeps per datagram weighs sixty times as much.
 */
import type { Namespace } from '../netns.ts';
import { RawFlood } from '../raw.ts';

const PER_SECOND = 60;
export const DRIVER_PORTS = [59870, 59781] as const;
const SOURCE_PORT_FIRST = 10_000;
const SOURCE_PORTS = 50_000;
/** Of the datagram; what is in it is not known. */
const PAYLOAD_BYTES = 24;

const IPV4_BYTES = 20;
const UDP_BYTES = 8;

const octets = (address: string): number[] => address.split('.').map(Number);

/** UDP in IPv4 with no checksum, so that a raw socket may change the source port. */
function datagram(from: string, to: string, port: number): Uint8Array {
  const bytes = new Uint8Array(IPV4_BYTES + UDP_BYTES + PAYLOAD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x4500);
  view.setUint16(2, bytes.length);
  view.setUint16(8, 0x4011);
  bytes.set([...octets(from), ...octets(to)], 12);
  view.setUint16(IPV4_BYTES, SOURCE_PORT_FIRST);
  view.setUint16(IPV4_BYTES + 2, port);
  view.setUint16(IPV4_BYTES + 4, UDP_BYTES + PAYLOAD_BYTES);
  return bytes;
}

export interface Driver {
  /** Datagrams that it sends in all. */
  readonly packets: number;
  ended: Promise<void>;
}

/** Sends for so many seconds. Resolves once it sends. */
export async function startDriver(
  host: Namespace,
  from: string,
  to: string,
  seconds: number,
): Promise<Driver> {
  const packets = PER_SECOND * seconds;
  const flood = await RawFlood.start(
    host,
    DRIVER_PORTS.map((port) => datagram(from, to, port)),
    { sourcePorts: SOURCE_PORTS, ratePerSecond: PER_SECOND, count: packets, processor: -1 },
  );
  const ended = flood.ended().then(({ sent }) => {
    if (sent !== packets) throw new Error(`the driver sent ${sent} of ${packets} datagrams`);
  });
  return { packets, ended };
}

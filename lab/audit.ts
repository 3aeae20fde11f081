/**
 * What really left the gateway on the provider's side, from a capture of tcpdump.
 *
 * The capture holds what entered the provider from the gateway (`-Q in`). On MAP-E an honest packet
 * is IPv6 from the CE address to the relay (next header 4) around IPv4 from the external address;
 * on an address line it is plain IPv4. Whatever else carries IPv4 is a leak, and what carries a
 * port or echo identifier outside the port set belongs to a neighbour.
 *
 *   pcap: 24 bytes of header, then records:
 *         seconds u32 | fraction u32 | captured u32 | length u32 | bytes
 *   Ethernet: destination 6 | source 6 | type 2 | packet
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { externalAddress, inPortSet, type LineType, MAP_E } from './lines.ts';
import { type Background, until } from './netns.ts';
import type { Lab } from './topology.ts';

const ETHERNET_BYTES = 14;
const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const NEXT_HEADER_IPV4 = 4;
const ICMP = 1;
const TCP = 6;
const UDP = 17;
const TCP_FLAGS = 13;
const TCP_RESET = 4;

export interface Audit {
  /** IPv4 packets that left. */
  packets: number;
  /** TCP or UDP packets whose source port is not in the port set. */
  portsOutside: number;
  /** ICMP echo requests whose identifier is not in the port set. */
  echoIdsOutside: number;
  /** ICMP errors that quote a port outside the set. */
  errorsOutside: number;
  /** IPv4 sources of RFC 1918 and RFC 6598. */
  privateSources: number;
  /** Other IPv4 sources than the external address. */
  otherSources: number;
  /**
   * On MAP-E: IPv4 outside of the tunnel, or in a tunnel between other addresses than CE and relay.
   */
  outsideTunnel: number;
  /** TCP segments that end a connection at once. Not wrong as such: who expects none asks for them. */
  resets: number;
  /** Packets that tcpdump did not see; NaN if it did not say. */
  missed: number;
  /** Source port or echo identifier → packets. */
  ports: Map<number, number>;
  /** The first few that were wrong, for people. */
  examples: string[];
}

const MARKER = 'portfold';
const TAIL_BYTES = 65_536;

function tailOf(file: string): Buffer {
  const handle = openSync(file, 'r');
  const size = fstatSync(handle).size;
  const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
  readSync(handle, tail, 0, tail.length, size - tail.length);
  closeSync(handle);
  return tail;
}

/** A capture of what enters the provider from the gateway. */
export class Capture {
  readonly file: string;
  readonly #lab: Lab;
  readonly #child: Background;

  private constructor(lab: Lab, file: string, child: Background) {
    this.#lab = lab;
    this.file = file;
    this.#child = child;
  }

  static async start(lab: Lab): Promise<Capture> {
    const file = join(lab.folder, 'provider.pcap');
    const child = lab.provider.start('tcpdump', [
      '-i',
      'gw0',
      '-Q',
      'in',
      '-s',
      '128',
      '-B',
      '65536',
      '-n',
      '-U',
      '-Z',
      'root',
      '-w',
      file,
      'ip or ip6',
    ]);
    await child.line(/listening on/);
    return new Capture(lab, file, child);
  }

  /**
   * tcpdump drops what still waits in its ring when it is told to end. So the gateway's host sends
   * one marked packet, and once that is in the file, everything before it is, too.
   */
  async stop(): Promise<Audit> {
    const marker = Buffer.from(MARKER).toString('hex');
    await this.#lab.gateway.run('ping', ['-c', '1', '-W', '1', '-p', marker, 'ff02::1%wan0'], {
      check: false,
    });
    await until('the marked packet', () => tailOf(this.file).includes(MARKER.repeat(2)));
    const result = await this.#child.stop('SIGINT');
    const audit = auditCapture(readFileSync(this.file), this.#lab.line);
    audit.missed = Number(result.stderr.match(/(\d+) packets? dropped by kernel/)?.[1]);
    return audit;
  }
}

export function auditCapture(bytes: Buffer, line: LineType): Audit {
  const audit: Audit = {
    packets: 0,
    portsOutside: 0,
    echoIdsOutside: 0,
    errorsOutside: 0,
    privateSources: 0,
    otherSources: 0,
    outsideTunnel: 0,
    resets: 0,
    missed: 0,
    ports: new Map(),
    examples: [],
  };
  const magic = bytes.length >= 24 ? bytes.readUInt32LE(0) : 0;
  if (magic !== 0xa1b2c3d4 && magic !== 0xa1b23c4d)
    throw new Error('this is no capture in the byte order of this machine');
  for (let at = 24; at + 16 <= bytes.length; ) {
    const captured = bytes.readUInt32LE(at + 8);
    const frame = bytes.subarray(at + 16, at + 16 + captured);
    at += 16 + captured;
    auditFrame(frame, line, audit);
  }
  return audit;
}

function auditFrame(frame: Buffer, line: LineType, audit: Audit): void {
  if (frame.length < ETHERNET_BYTES + 20) return;
  const type = frame.readUInt16BE(12);
  const packet = frame.subarray(ETHERNET_BYTES);
  if (type === TYPE_IPV4) {
    if (line === 'map-e') {
      audit.outsideTunnel++;
      note(audit, `IPv4 outside of the tunnel from ${addressAt(packet, 12)}`);
    }
    auditIpv4(packet, line, audit);
  } else if (type === TYPE_IPV6 && packet.length >= 60 && packet[6] === NEXT_HEADER_IPV4) {
    const source = ipv6At(packet, 8);
    const destination = ipv6At(packet, 24);
    const honest =
      line === 'map-e' &&
      source === expand(MAP_E.ceAddress) &&
      destination === expand(MAP_E.brAddress);
    if (!honest) {
      audit.outsideTunnel++;
      note(audit, `a tunnel from ${source} to ${destination}`);
    }
    auditIpv4(packet.subarray(40), line, audit);
  }
}

function auditIpv4(packet: Buffer, line: LineType, audit: Audit): void {
  audit.packets++;
  const source = addressAt(packet, 12);
  if (source !== externalAddress(line)) {
    if (isPrivate(packet[12], packet[13])) audit.privateSources++;
    else audit.otherSources++;
    note(audit, `source ${source} to ${addressAt(packet, 16)}, protocol ${packet[9]}`);
    return;
  }
  // Later fragments carry no port.
  if ((packet.readUInt16BE(6) & 0x1fff) !== 0) return;
  const header = (packet[0] & 15) * 4;
  const protocol = packet[9];
  if (packet.length < header + 8) return;
  if (protocol === TCP || protocol === UDP) {
    const port = packet.readUInt16BE(header);
    audit.ports.set(port, (audit.ports.get(port) ?? 0) + 1);
    if (protocol === TCP && ((packet[header + TCP_FLAGS] ?? 0) & TCP_RESET) !== 0) audit.resets++;
    if (!inPortSet(line, port)) {
      audit.portsOutside++;
      note(audit, `source port ${port}, protocol ${protocol}`);
    }
  } else if (protocol === ICMP) auditIcmp(packet, header, line, audit);
}

function auditIcmp(packet: Buffer, header: number, line: LineType, audit: Audit): void {
  const type = packet[header];
  if (type === 8 || type === 0) {
    // An answer carries the identifier of whoever asked, which the asker outside has chosen within
    // our set.
    const id = packet.readUInt16BE(header + 4);
    audit.ports.set(id, (audit.ports.get(id) ?? 0) + 1);
    if (!inPortSet(line, id)) {
      audit.echoIdsOutside++;
      note(audit, `echo identifier ${id}`);
    }
    return;
  }
  if (type !== 3 && type !== 11 && type !== 12) return;
  // An error quotes a packet that came to us: our port is its destination.
  const quoted = header + 8;
  if (packet.length < quoted + 28) return;
  const quotedProtocol = packet[quoted + 9];
  const quotedHeader = quoted + (packet[quoted] & 15) * 4;
  if ((quotedProtocol !== TCP && quotedProtocol !== UDP) || packet.length < quotedHeader + 4)
    return;
  const port = packet.readUInt16BE(quotedHeader + 2);
  if (!inPortSet(line, port)) {
    audit.errorsOutside++;
    note(audit, `an ICMP error that quotes port ${port}`);
  }
}

/** True for 10/8, 172.16/12, 192.168/16 and 100.64/10. */
function isPrivate(a: number, b: number): boolean {
  return (
    a === 10 ||
    (a === 172 && (b & 0xf0) === 16) ||
    (a === 192 && b === 168) ||
    (a === 100 && (b & 0xc0) === 64)
  );
}

const EXAMPLES_MAX = 10;

function note(audit: Audit, text: string): void {
  if (audit.examples.length < EXAMPLES_MAX) audit.examples.push(text);
}

function addressAt(packet: Buffer, at: number): string {
  return `${packet[at]}.${packet[at + 1]}.${packet[at + 2]}.${packet[at + 3]}`;
}

function ipv6At(packet: Buffer, at: number): string {
  const words: string[] = [];
  for (let i = 0; i < 16; i += 2) words.push(packet.readUInt16BE(at + i).toString(16));
  return words.join(':');
}

/** All eight words of an IPv6 address, without the abbreviation. */
function expand(address: string): string {
  const [head, tail] = address.split('::').map((half) => (half === '' ? [] : half.split(':')));
  if (tail === undefined) return head.join(':');
  return [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail].join(':');
}

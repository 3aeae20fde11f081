/**
 * Ports of the host itself, where it shares its address with the gateway: which ones its programs
 * listen on, and which ones the kernel must not choose for connections of its own.
 *
 *   ip_local_port_range       32768 ──────────────────────────── 60999
 *   ip_local_reserved_ports           [ others' ]  [ ours ]             left out when choosing
 *
 * The list of reserved ports is one value that several may add to. Undoing takes out what we added
 * and leaves what others put there, before or since.
 */
import { readFileSync } from 'node:fs';
import { HostError, misfit } from './errors.ts';
import { readSetting } from './sysctl.ts';
import type { AddressLineHost } from './types.ts';

export const RESERVED_PORTS = 'net/ipv4/ip_local_reserved_ports';
const PORT_RANGE = 'net/ipv4/ip_local_port_range';
/** Below this the host would soon have no port for its own connections to a busy server. */
const OWN_PORTS_MIN = 1024;

const TCP_LISTEN = '0A';
const UDP_UNCONNECTED = '07';
const FILES: ['TCP' | 'UDP', string, string][] = [
  ['TCP', '/proc/net/tcp', TCP_LISTEN],
  ['TCP', '/proc/net/tcp6', TCP_LISTEN],
  ['UDP', '/proc/net/udp', UDP_UNCONNECTED],
  ['UDP', '/proc/net/udp6', UDP_UNCONNECTED],
];

export interface OpenPort {
  protocol: 'TCP' | 'UDP';
  port: number;
}

/** Throws unless the line's ports can be taken from the host. */
export function checkSharedPorts(line: AddressLineHost): void {
  const taken = openPorts(line.externalAddress).find(({ port }) =>
    line.ports.some(([first, last]) => first <= port && port <= last),
  );
  if (taken !== undefined) throw portTaken(line, taken);

  const [first, last] = (readSetting(PORT_RANGE) ?? '').split(/\s+/).map(Number);
  const reserved = union(parsePorts(readSetting(RESERVED_PORTS) ?? ''), line.ports);
  const left = countOutside(first, last, reserved);
  if (left >= OWN_PORTS_MIN) return;
  throw misfit(
    'HOST_PORTS_NEEDED',
    `Line ${line.name}: the host uses ${line.externalAddress} too and would keep ${left} of its ports ` +
      `${first}-${last} for its own connections; leave it at least ${OWN_PORTS_MIN} of them in ` +
      '`ports`, or move its range (sysctl net.ipv4.ip_local_port_range).',
  );
}

function portTaken(line: AddressLineHost, { protocol, port }: OpenPort): HostError {
  const flags = protocol === 'TCP' ? '-ltnp' : '-lunp';
  const text =
    `Line ${line.name}: the host itself has ${protocol} port ${port} of ${line.externalAddress} open, and ` +
    `\`ports\` holds it too; leave that port out, or stop the program (ss ${flags} 'sport = ${port}').`;
  // A listening server stays; an open UDP port may be a question that waits for its answer.
  return new HostError('HOST_PORT_TAKEN', text, protocol === 'TCP' ? 78 : 1);
}

/** Ports on which the host waits for anybody, at the address or at all of its addresses. */
export function openPorts(address: string): OpenPort[] {
  return FILES.flatMap(([protocol, file, state]) =>
    parseSockets(readText(file), address, state).map((port) => ({ protocol, port })),
  );
}

/** Local ports in the text of /proc/net/{tcp,udp}[6] that are in that state, at the address or any. */
export function parseSockets(text: string, address: string, state: string): number[] {
  const here = hexOf(address);
  const wanted = [
    '0'.repeat(8),
    '0'.repeat(32),
    here,
    `${'0'.repeat(16)}${hexOf('0.0.255.255')}${here}`,
  ];
  return text.split('\n').flatMap((line) => {
    const [, local = '', , found] = line.trim().split(/\s+/);
    const [where, port] = local.split(':');
    return found === state && wanted.includes(where) ? [Number.parseInt(port, 16)] : [];
  });
}

/** An address as the kernel prints it there: a word in the byte order of the machine. */
function hexOf(address: string): string {
  const [word] = new Uint32Array(Uint8Array.from(address.split('.'), Number).buffer);
  return word.toString(16).toUpperCase().padStart(8, '0');
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // A kernel without IPv6 has no files for it.
    return '';
  }
}

// The list of reserved ports: text as the kernel has it, and ranges.

/** The text with ranges added to it. */
export const withPorts = (text: string, ranges: [number, number][]): string =>
  formatPorts(union(parsePorts(text), ranges));

/** The text without what we added: `added`, less what stood there before us. */
export function withoutPorts(text: string, added: string, before: string): string {
  const ports = parsePorts(text);
  const kept = parsePorts(before);
  parsePorts(added).forEach((isAdded, port) => {
    if (isAdded && !kept[port]) ports[port] = 0;
  });
  return formatPorts(ports);
}

/** One byte a port. */
function parsePorts(text: string): Uint8Array {
  const ranges = text.split(',').filter((part) => part.trim() !== '');
  return union(
    new Uint8Array(65536),
    ranges.map((part) => {
      const [first, last = first] = part.split('-').map(Number);
      return [first, last];
    }),
  );
}

function union(ports: Uint8Array, ranges: [number, number][]): Uint8Array {
  for (const [first, last] of ranges) ports.fill(1, first, last + 1);
  return ports;
}

function formatPorts(ports: Uint8Array): string {
  const parts: string[] = [];
  for (let port = 0; port < 65536; port++) {
    if (!ports[port]) continue;
    const first = port;
    while (ports[port + 1]) port++;
    parts.push(first === port ? `${first}` : `${first}-${port}`);
  }
  return parts.join(',');
}

function countOutside(first: number, last: number, ports: Uint8Array): number {
  let count = 0;
  for (let port = first; port <= last; port++) if (!ports[port]) count++;
  return count;
}

/**
 * The two lines of the lab, and what is known of them beforehand.
 *
 * MAP-E: the example of v6 Plus with the prefix 240b:10:1234:5600::/56. Address, ports and CE
 * address stand here as they were computed by other implementations (OpenWrt's mapcalc, fleth, the
 * fc2 calculator), so that the lab has an opinion of its own about what the gateway must use; a
 * test compares it with `gateway/config`.
 *
 *   PSID 86, offset 4, length 8:   port = i << 12 | 86 << 4 | j,  i = 1 … 15, j = 0 … 15
 *
 * Address: one IPv4 address that the provider routes to the gateway, with a range of ports.
 */
export type Preset = 'home' | 'event' | 'rfc' | 'game';
export type LineType = 'map-e' | 'address';

export const MAP_E = {
  service: 'v6plus',
  prefix: '240b:10:1234:5600::/56',
  externalAddress: '106.72.18.52',
  ceAddress: '240b:10:1234:5600:6a:4812:3400:5600',
  brAddress: '2404:9200:225:100::64',
  psid: 86,
  ipv4Mtu: 1460,
} as const;

export const ADDRESS = {
  externalAddress: '198.51.100.1',
  firstPort: 4096,
  lastPort: 65534,
  ipv4Mtu: 1500,
} as const;

/** The ports of that line where the gateway's host uses its address too. */
export const SHARED_PORTS = { first: 40000, last: 59999 } as const;

/** Inclusive port ranges of the line, ascending. */
export function portRanges(line: LineType): [number, number][] {
  if (line === 'address') return [[ADDRESS.firstPort, ADDRESS.lastPort]];
  const ranges: [number, number][] = [];
  for (let i = 1; i <= 15; i++) {
    const first = (i << 12) | (MAP_E.psid << 4);
    ranges.push([first, first + 15]);
  }
  return ranges;
}

export function inPortSet(line: LineType, port: number): boolean {
  return portRanges(line).some(([first, last]) => port >= first && port <= last);
}

export function externalAddress(line: LineType): string {
  return line === 'map-e' ? MAP_E.externalAddress : ADDRESS.externalAddress;
}

/** The configuration file of a gateway on this line. */
export function configuration(
  line: LineType,
  options: {
    runtimeDirectory: string;
    preset?: Preset;
    /** More lines of [policy]. */
    policy?: readonly string[];
    capacity?: number;
    tun?: string;
    realtime?: boolean;
    /** Address line: the host uses the address too. */
    shared?: boolean;
  },
): string {
  const { first, last } = options.shared
    ? SHARED_PORTS
    : { first: ADDRESS.firstPort, last: ADDRESS.lastPort };
  const wan =
    line === 'map-e'
      ? ['type = "map-e"', `service = "${MAP_E.service}"`, `prefix = "${MAP_E.prefix}"`]
      : [
          'type = "address"',
          `address = "${ADDRESS.externalAddress}"`,
          `ports = "${first}-${last}"`,
        ];
  return [
    '[[lan]]',
    'name = "home"',
    'interfaces = ["lan0"]',
    '',
    '[[wan]]',
    `name = "${line === 'map-e' ? 'v6plus' : 'isp'}"`,
    'interface = "wan0"',
    ...wan,
    '',
    '[policy]',
    `preset = "${options.preset ?? 'home'}"`,
    ...(options.policy ?? []),
    '',
    '[gateway]',
    `runtime-directory = "${options.runtimeDirectory}"`,
    ...(options.capacity ? [`capacity = ${options.capacity}`] : []),
    ...(options.tun ? [`tun = "${options.tun}"`] : []),
    ...(options.realtime === undefined ? [] : [`realtime = ${options.realtime}`]),
    '',
  ].join('\n');
}

/**
 * What the internet of the lab offers, and how a LAN host uses it.
 *
 *   server                       client
 *   startNameServer (dnsmasq)    resolve (dig)
 *   startWebServer (nginx)       download, upload (curl, with checksums)
 *   startIperf (iperf3)          iperf
 *   startStun (coturn)           natDiscovery (turnutils_natdiscovery)
 *                                ping, traceroute, tracepath
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Background, type Namespace, run, until } from './netns.ts';
import { NAME_SERVER, SERVER, SERVER_SECOND } from './topology.ts';

export const WEB_NAME = 'www.example.test';
export const WEB_GREETING = 'It came through.';

export async function startNameServer(internet: Namespace): Promise<Background> {
  const server = internet.start('dnsmasq', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--user=root',
    '--pid-file=',
    '--log-facility=-',
    `--address=/${WEB_NAME}/${SERVER}`,
  ]);
  await server.line(/started, version/);
  return server;
}

/** The first address of a name, or undefined when nothing answered. */
export async function resolve(host: Namespace, name = WEB_NAME): Promise<string | undefined> {
  const result = await host.run(
    'dig',
    [`@${NAME_SERVER}`, '+short', '+tries=2', '+time=2', name, 'A'],
    { check: false },
  );
  return result.stdout.match(/^\d+\.\d+\.\d+\.\d+$/m)?.[0];
}

/**
 * nginx on SERVER or another address: `/` greets, `/file` is `fileBytes` of random bytes, and PUT
 * /up/NAME keeps what it is given. Returns the checksum of the file. Everything lies in `folder`.
 */
export async function startWebServer(
  internet: Namespace,
  folder: string,
  fileBytes: number,
  address = SERVER,
): Promise<{ server: Background; sha256: string }> {
  const root = join(folder, 'www');
  mkdirSync(join(root, 'up'), { recursive: true });
  writeFileSync(join(root, 'index.html'), WEB_GREETING + '\n');
  const sha256 = writeRandomFile(join(root, 'file'), fileBytes);
  const configFile = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/nginx-${kind};`)
    .join('\n  ');
  writeFileSync(
    configFile,
    `user root;
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary}
  sendfile on;
  server {
    listen ${address}:80;
    root ${root};
    client_max_body_size 0;
    location /up/ { dav_methods PUT; }
  }
}
`,
  );
  const server = internet.start('nginx', ['-p', folder, '-e', 'stderr', '-c', configFile]);
  await until('nginx to listen', async () => {
    if (server.over) throw new Error(server.stderr);
    return (await internet.run('ss', ['-Hltn', 'sport', '=', ':80'])).stdout.includes(':80');
  });
  return { server, sha256 };
}

/**
 * A file of random bytes; returns its SHA-256. One random megabyte is repeated, with the count in
 * front of each.
 */
export function writeRandomFile(path: string, bytes: number): string {
  const block = Buffer.from(crypto.getRandomValues(new Uint8Array(65536)).buffer as ArrayBuffer);
  const megabyte = Buffer.concat(Array(16).fill(block));
  const hash = createHash('sha256');
  const file = openSync(path, 'w');
  for (let done = 0; done < bytes; done += megabyte.length) {
    megabyte.writeUInt32BE(done >>> 16, 0);
    const piece = megabyte.subarray(0, Math.min(megabyte.length, bytes - done));
    hash.update(piece);
    writeSync(file, piece);
  }
  closeSync(file);
  return hash.digest('hex');
}

export const page = (host: Namespace): Promise<string> => pageAt(host, SERVER);

export async function pageAt(host: Namespace, address: string): Promise<string> {
  const result = await host.run('curl', ['-s', '-S', '-m', '10', `http://${address}/`], {
    check: false,
  });
  return result.stdout.trim() || result.stderr.trim();
}

export interface Transfer {
  sha256: string;
  seconds: number;
}

/** Fetches /file. */
export async function download(
  host: Namespace,
  options: { limitRate?: string } = {},
): Promise<Transfer> {
  const started = performance.now();
  const limit = options.limitRate === undefined ? '' : `--limit-rate ${options.limitRate}`;
  const result = await host.run('sh', [
    '-c',
    `curl -s -S -f -m 120 ${limit} http://${SERVER}/file | sha256sum`,
  ]);
  return {
    sha256: result.stdout.split(' ')[0],
    seconds: (performance.now() - started) / 1000,
  };
}

/** Puts a file to /up/NAME and returns the checksum of what arrived. */
export async function upload(host: Namespace, folder: string, name: string): Promise<Transfer> {
  const started = performance.now();
  await host.run('curl', [
    '-s',
    '-S',
    '-f',
    '-m',
    '120',
    '-H',
    'Expect:',
    '-T',
    join(folder, 'www', 'file'),
    `http://${SERVER}/up/${name}`,
  ]);
  const seconds = (performance.now() - started) / 1000;
  const sum = await run('sha256sum', [join(folder, 'www', 'up', name)]);
  return { sha256: sum.stdout.split(' ')[0], seconds };
}

export interface Ping {
  sent: number;
  received: number;
  averageMs: number;
}

export async function ping(
  host: Namespace,
  target = SERVER,
  options: { count?: number; bytes?: number; dontFragment?: boolean } = {},
): Promise<Ping & { output: string }> {
  const count = options.count ?? 3;
  const args = ['-n', '-c', String(count), '-i', '0.05', '-W', '2'];
  if (options.bytes !== undefined) args.push('-s', String(options.bytes));
  if (options.dontFragment !== undefined) args.push('-M', options.dontFragment ? 'do' : 'dont');
  const result = await host.run('ping', [...args, target], { check: false });
  const output = result.stdout + result.stderr;
  return {
    sent: Number(output.match(/(\d+) packets transmitted/)?.[1] ?? 0),
    received: Number(output.match(/(\d+) received/)?.[1] ?? 0),
    averageMs: Number(output.match(/= [\d.]+\/([\d.]+)\//)?.[1] ?? Number.NaN),
    output,
  };
}

/** The addresses on the way, "*" where nobody answered. */
export async function traceroute(
  host: Namespace,
  target = SERVER,
  kind: 'udp' | 'icmp' | 'tcp' = 'udp',
): Promise<string[]> {
  const flag = { udp: [], icmp: ['-I'], tcp: ['-T', '-p', '80'] }[kind];
  const result = await host.run(
    'traceroute',
    ['-n', '-q', '1', '-w', '2', '-m', '8', '-N', '1', ...flag, target],
    { check: false },
  );
  return [...result.stdout.matchAll(/^\s*\d+\s+(\S+)/gm)].map((match) => match[1]);
}

export async function tracepath(
  host: Namespace,
  target = SERVER,
): Promise<{ pmtu: number; reached: boolean; output: string }> {
  const result = await host.run('tracepath', ['-n', '-m', '8', target], { check: false });
  const resume = result.stdout.match(/Resume: pmtu (\d+)/);
  return {
    pmtu: Number(resume?.[1] ?? Number.NaN),
    reached: result.stdout.includes('reached'),
    output: result.stdout + result.stderr,
  };
}

export async function startIperf(internet: Namespace, port = 5201): Promise<Background> {
  // Bound, since an unbound server answers UDP from whichever address is nearest, and a NAT rightly
  // drops that.
  const words = ['-s', '-B', SERVER, '-p', String(port), '--forceflush'];
  const server = internet.start('iperf3', words);
  await server.line(/Server listening/);
  return server;
}

/** Beyond the transfer itself: connecting, and what a slow way has still to deliver. */
const IPERF_PATIENCE_MS = 20_000;

export interface IperfResult {
  bitsPerSecond: number;
  /** UDP only. */
  lostPercent: number;
  retransmits: number;
}

export async function iperf(
  host: Namespace,
  options: {
    seconds: number;
    reverse?: boolean;
    udpBitsPerSecond?: number;
    bytes?: number;
    target?: string;
    streams?: number;
  },
): Promise<IperfResult> {
  const args = ['-J', '-c', options.target ?? SERVER, '-t', String(options.seconds)];
  if (options.reverse) args.push('-R');
  if (options.streams) args.push('-P', String(options.streams));
  if (options.udpBitsPerSecond) args.push('-u', '-b', String(options.udpBitsPerSecond));
  if (options.bytes) args.push('-l', String(options.bytes));
  const timeoutMs = options.seconds * 1000 + IPERF_PATIENCE_MS;
  // The server takes one test at a time, and needs a moment after the last one.
  const answer = await until('the iperf3 server to be free', async () => {
    const result = await host.run('iperf3', args, { check: false, timeoutMs });
    const said = JSON.parse(result.stdout || '{"error":"iperf3 said nothing"}');
    return /server is busy/.test(said.error ?? '') ? undefined : said;
  });
  if (answer.error) throw new Error(`iperf3: ${answer.error}`);
  const sum = answer.end.sum_received ?? answer.end.sum;
  return {
    bitsPerSecond: sum.bits_per_second,
    lostPercent: (options.udpBitsPerSecond ? answer.end.sum.lost_percent : 0) ?? 0,
    retransmits: answer.end.sum_sent?.retransmits ?? 0,
  };
}

/** coturn as a STUN server with the two addresses and two ports of RFC 5780. */
export async function startStun(internet: Namespace, folder: string): Promise<Background> {
  const server = internet.start(
    'turnserver',
    [
      '-n',
      '--log-file',
      'stdout',
      '-L',
      SERVER,
      '-L',
      SERVER_SECOND,
      '-p',
      '3478',
      '--alt-listening-port',
      '3479',
      '--no-auth',
      '--no-tls',
      '--no-dtls',
      '--no-cli',
      '--relay-threads',
      '1',
      '--pidfile',
      join(folder, 'turnserver.pid'),
      '--userdb',
      join(folder, 'turnserver.db'),
    ],
    { cwd: folder },
  );
  await until('coturn to listen', async () => {
    if (server.over) throw new Error(server.stdout + server.stderr);
    const sockets = await internet.run('ss', ['-Hlun']);
    return [
      `${SERVER}:3478`,
      `${SERVER}:3479`,
      `${SERVER_SECOND}:3478`,
      `${SERVER_SECOND}:3479`,
    ].every((address) => sockets.stdout.includes(address));
  });
  return server;
}

export interface NatDiscovery {
  /** What turnutils_natdiscovery concluded about the mapping, in its words. */
  mapping: string;
  endpointIndependent: boolean;
  /** External endpoint that it was told, address:port. */
  reflexive: string;
  output: string;
}

/** RFC 5780 mapping behaviour, from one local port. */
export async function natDiscovery(
  host: Namespace,
  localAddress: string,
  localPort: number,
): Promise<NatDiscovery> {
  const result = await host.run(
    'turnutils_natdiscovery',
    ['-m', '-L', localAddress, '-l', String(localPort), SERVER],
    { check: false, timeoutMs: 40_000 },
  );
  const output = result.stdout + result.stderr;
  return {
    mapping: output.match(/^.*Mapping!.*$/m)?.[0].trim() ?? '',
    endpointIndependent: /NAT with Endpoint Independent Mapping!/.test(output),
    reflexive: output.match(/reflexive addr(?:ess)?:?\s*(\S+)/i)?.[1] ?? '',
    output,
  };
}

/**
 * The programs that the lab leans on: which exist, in which Debian package the others are, and
 * where our own lie.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Program → Debian package. scripts/debian-packages.sh installs the same packages; a test holds the
 * two together.
 */
export const DEBIAN_PACKAGES: Record<string, string> = {
  ip: 'iproute2',
  nft: 'nftables',
  sysctl: 'procps',
  ping: 'iputils-ping',
  tracepath: 'iputils-tracepath',
  traceroute: 'traceroute',
  tcpdump: 'tcpdump',
  ethtool: 'ethtool',
  socat: 'socat',
  iperf3: 'iperf3',
  curl: 'curl',
  nginx: 'nginx-light',
  dnsmasq: 'dnsmasq-base',
  dig: 'bind9-dnsutils',
  turnserver: 'coturn',
  stun: 'stun-client',
  chromium: 'chromium',
  caddy: 'caddy',
  conntrack: 'conntrack',
  setpriv: 'util-linux',
  taskset: 'util-linux',
  slirp4netns: 'slirp4netns',
  pasta: 'passt',
  tayga: 'tayga',
};

/** Without these there is no lab at all. */
export const LAB_PROGRAMS = ['ip', 'nft', 'sysctl'] as const;

/** Where programs may lie besides PATH: an ordinary user's PATH has no sbin. */
const FOLDERS = [
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin',
  '/sbin',
  '/usr/local/sbin',
];

export function programPath(name: string): string | undefined {
  for (const folder of FOLDERS) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

export function missingPrograms(names: readonly string[]): string[] {
  return names.filter((name) => programPath(name) === undefined);
}

/** One sentence about programs that are not there, and what to do. */
export function missingSentence(programs: readonly string[]): string {
  const packages = [...new Set(programs.map((name) => DEBIAN_PACKAGES[name] ?? name))];
  return (
    `${programs.join(', ')} ${programs.length === 1 ? 'is' : 'are'} not installed; ` +
    `run \`scripts/debian-packages.sh\` as root, or \`apt-get install ${packages.join(' ')}\``
  );
}

/** The folder that holds package.json, from the source tree and from dist/ alike. */
export function projectFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('no package.json above the lab');
    folder = parent;
  }
  return folder;
}

export class LabError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, exitCode: number, message: string) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** A program of ours that `npm ci` builds. */
export function builtProgram(name: 'flows' | 'null-forwarder'): string {
  const path = join(projectFolder(), 'build', 'Release', name);
  if (existsSync(path)) return path;
  throw new LabError('LAB_NOT_BUILT', 1, `${path} is not there; \`npm ci\` builds it`);
}

/** Throws unless namespaces can be made here. */
export function requireLab(): void {
  if (process.getuid?.() !== 0)
    throw new LabError(
      'LAB_NOT_ROOT',
      4,
      'the lab makes network namespaces, and only root may; run it again with sudo',
    );
  const missing = missingPrograms(LAB_PROGRAMS);
  if (missing.length > 0) throw new LabError('LAB_PROGRAMS_MISSING', 1, missingSentence(missing));
  if (!existsSync('/dev/net/tun'))
    throw new LabError(
      'LAB_NO_TUN',
      1,
      '/dev/net/tun is not there; `modprobe tun`, or give the container that device',
    );
}

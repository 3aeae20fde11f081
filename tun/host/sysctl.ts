/**
 * Kernel settings as files below /proc/sys. A path is written as there:
 * "net/ipv4/conf/eth0/rp_filter" (the dotted form is ambiguous: interface names may hold dots).
 *
 * /proc/sys/net shows the network namespace of the process that reads.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { forbidden, HostError, messageOf } from './errors.ts';

const ROOT = '/proc/sys/';

export interface HostSetting {
  path: string;
  value: string;
  /** The value is a list of ports, and these are what we put into it. */
  adds?: string;
}

/** Families of settings of which a snapshot holds everything: a forwarding switch changes many. */
const SNAPSHOT_DIRECTORIES = ['net/ipv4/conf', 'net/ipv6/conf'];
const SNAPSHOT_SINGLES = ['net/ipv4/ip_forward'];

/** The value, or undefined if there is no such setting or it cannot be read. */
export function readSetting(path: string): string | undefined {
  try {
    return readFileSync(ROOT + path, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

export const hasSetting = (path: string): boolean => existsSync(ROOT + path);

/** Writes a value. Throws a HostError that names setting, value and reason. */
export function writeSetting(path: string, value: string): void {
  try {
    // The end of the line makes an empty value one that is written.
    writeFileSync(ROOT + path, `${value}\n`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const text = `${path} could not be set to ${value}: ${messageOf(error)}`;
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      throw forbidden(
        'HOST_NOT_PERMITTED',
        `The kernel setting ${text}; run as root, and in a container with a writable /proc/sys.`,
      );
    throw new HostError(
      'HOST_SETTING_FAILED',
      `The kernel setting ${text}; check that this kernel has it (sysctl ${path}).`,
    );
  }
}

/** Reads all that a snapshot holds, and the settings named in addition. */
export function readAllSettings(alsoPaths: Iterable<string>): Record<string, string> {
  const values: Record<string, string> = {};
  const take = (path: string): void => {
    const value = readSetting(path);
    if (value !== undefined) values[path] = value;
  };

  for (const directory of SNAPSHOT_DIRECTORIES)
    for (const name of list(directory))
      for (const key of list(`${directory}/${name}`)) take(`${directory}/${name}/${key}`);
  for (const path of SNAPSHOT_SINGLES) take(path);
  for (const path of alsoPaths) take(path);
  return values;
}

/**
 * Order of writing back: switches of forwarding first, since they change other values; then what
 * holds for all interfaces, which may be copied to each; then the interfaces.
 */
export function restoreRank(path: string): number {
  const scope = /\/(all|default)\/[^/]+$/.test(path) ? 0 : 1;
  if (path === 'net/ipv4/ip_forward') return 0;
  if (/\/(force_)?forwarding$/.test(path)) return 1 + scope;
  return 3 + scope;
}

function list(directory: string): string[] {
  try {
    return readdirSync(ROOT + directory);
  } catch {
    return [];
  }
}

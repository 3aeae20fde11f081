/**
 * The snapshot: what the host was before Portfold, and what Portfold made, in one file of the
 * runtime directory. It is written before the first change, so that a process that is killed at any
 * moment leaves enough behind for the next one to adopt or to undo.
 *
 *   before    every value of net.ipv4.conf and net.ipv6.conf, and what else is written
 *   changed   path → value that Portfold left there; null while that is not known (applying)
 *   items     what was made, or may have been made, in the order of making
 *
 * It speaks of one boot and one network namespace; after a reboot nothing that it names exists any
 * more.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { HostError, messageOf } from './errors.ts';
import type { HostItem } from './plan.ts';
import type { HostSetting } from './sysctl.ts';

export const SNAPSHOT_FILE = 'host-snapshot.json';
const SCHEMA = 'portfold/host-snapshot/v1';

export interface HostSnapshot {
  schema: typeof SCHEMA;
  bootId: string;
  /** For instance "net:[4026531840]". */
  networkNamespace: string;
  createdAt: string;
  tun: string;
  before: Record<string, string>;
  tunnelSourceBefore: string;
  changed: Record<string, string> | null;
  items: HostItem[];
  settings: HostSetting[];
  /**
   * Only where a predecessor's things were found without its snapshot: settings whose value of
   * `before` may be that predecessor's, so that the undo leaves them.
   */
  unknownBefore?: string[];
}

export const newSnapshot = (
  tun: string,
  before: Record<string, string>,
  tunnelSourceBefore: string,
): HostSnapshot => ({
  schema: SCHEMA,
  bootId: readBootId(),
  networkNamespace: readNamespace(),
  createdAt: new Date().toISOString(),
  tun,
  before,
  tunnelSourceBefore,
  changed: null,
  items: [],
  settings: [],
});

/** The snapshot of this boot, or undefined if there is none. Throws if it cannot be relied on. */
export function readSnapshot(runtimeDirectory: string): HostSnapshot | undefined {
  const file = join(runtimeDirectory, SNAPSHOT_FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new HostError(
      'HOST_SNAPSHOT_UNREADABLE',
      `The snapshot ${file} cannot be read (${messageOf(error)}); run as the user of the gateway.`,
    );
  }

  const snapshot = parse(file, text);
  if (snapshot.bootId !== readBootId()) return undefined;
  if (snapshot.networkNamespace !== readNamespace())
    throw new HostError(
      'HOST_SNAPSHOT_NAMESPACE',
      `The snapshot ${file} belongs to another network namespace (${snapshot.networkNamespace}, here ` +
        `${readNamespace()}); run \`portfold doctor --clean\` there, or remove the file if that ` +
        'namespace is gone.',
    );
  return snapshot;
}

/** Writes the whole file or none of it, and only returns when it is on the disk. */
export function writeSnapshot(runtimeDirectory: string, snapshot: HostSnapshot): void {
  const file = join(runtimeDirectory, SNAPSHOT_FILE);
  const temporary = `${file}.new`;
  try {
    mkdirSync(runtimeDirectory, { recursive: true, mode: 0o755 });
    const descriptor = openSync(temporary, 'w', 0o600);
    try {
      const bytes = Buffer.from(`${JSON.stringify(snapshot, null, 1)}\n`);
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
    syncDirectory(runtimeDirectory);
  } catch (error) {
    removeHalfWritten(temporary);
    throw new HostError(
      'HOST_SNAPSHOT_UNWRITABLE',
      `The snapshot ${file} cannot be written (${messageOf(error)}), and without it nothing could ` +
        'be undone; make the runtime directory writable or configure another one.',
    );
  }
}

export function removeSnapshot(runtimeDirectory: string): void {
  rmSync(join(runtimeDirectory, SNAPSHOT_FILE), { force: true });
}

export const readBootId = (): string =>
  readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

export const readNamespace = (): string => readlinkSync('/proc/self/ns/net');

function removeHalfWritten(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // The error that is told is the one of writing.
  }
}

function parse(file: string, text: string): HostSnapshot {
  try {
    const value = JSON.parse(text) as HostSnapshot;
    if (isSnapshot(value)) return value;
  } catch {
    // Falls through to the one error for all that is no snapshot of ours.
  }
  throw new HostError(
    'HOST_SNAPSHOT_INVALID',
    `The file ${file} is torn, or no snapshot that this version understands: what the host was before ` +
      `cannot be read from it. Put it aside (mv ${file} ${file}.bad); then \`portfold run\` starts anew and ` +
      '`portfold doctor --clean` removes what is left. Kernel settings of before are not known then, ' +
      'and stay as they are.',
  );
}

function isSnapshot(value: HostSnapshot | null): boolean {
  if (value?.schema !== SCHEMA) return false;
  const { bootId, networkNamespace, tun, tunnelSourceBefore, before, changed } = value;
  const texts = [bootId, networkNamespace, tun, tunnelSourceBefore];
  return (
    texts.every((text) => typeof text === 'string') &&
    isRecord(before) &&
    (changed === null || isRecord(changed)) &&
    hasAll(value.items, ({ id, remove }) => isText(id) && Array.isArray(remove?.args)) &&
    hasAll(value.settings, ({ path, value: set }) => isText(path) && isText(set))
  );
}

const isText = (value: unknown): boolean => typeof value === 'string';

const isRecord = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every(isText);

const hasAll = <T>(list: T[], test: (entry: T) => boolean): boolean =>
  Array.isArray(list) && list.every((entry) => typeof entry === 'object' && !!entry && test(entry));

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

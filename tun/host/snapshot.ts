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
    if (value.schema === SCHEMA) return value;
  } catch {
    // Falls through to the one error for all that is no snapshot of ours.
  }
  throw new HostError(
    'HOST_SNAPSHOT_INVALID',
    `The file ${file} is not a snapshot that this version understands; if the host was restarted ` +
      'since, remove it, else undo with the version of Portfold that wrote it.',
  );
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

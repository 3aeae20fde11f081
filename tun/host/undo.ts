/**
 * Takes back everything that the snapshot names. Needs nothing but the runtime directory, so that a
 * fresh process can do it after the gateway was killed.
 *
 *   kernel settings of forwarding   no packet is forwarded past what is removed next
 *   items, from the last to the first; what is gone already is fine
 *   TUN
 *   all kernel settings             again, until nothing moves: a forwarding switch resets others
 *   nftables table                  the belt, last
 *   snapshot                        only if nothing failed, so that the undo can be tried again
 *
 * A value that somebody else changed while the gateway ran is theirs and stays. So does one that a
 * predecessor without a snapshot may have set; the report names it.
 */
import { HostError, messageOf } from './errors.ts';
import { FIREWALL_ID } from './nft.ts';
import type { HostItem } from './plan.ts';
import { withoutPorts } from './ports.ts';
import { type HostCommand, ip, isAlreadyGone, isAlreadyThere, run, runUnless } from './run.ts';
import { type HostSnapshot, readSnapshot, removeSnapshot } from './snapshot.ts';
import { hasSetting, readAllSettings, readSetting, restoreRank, writeSetting } from './sysctl.ts';

export interface UndoReport {
  /** False if there was nothing to undo. */
  found: boolean;
  /** Ids of what was removed. */
  removed: string[];
  /** Paths of the kernel settings that were put back. */
  restored: string[];
  /** Sentences about what could not be taken back; the snapshot is then kept. */
  problems: string[];
  /**
   * There where a start without a snapshot had found a predecessor's things: settings that stay,
   * since nobody knows what they were before that one.
   */
  unknown?: string[];
}

/** Writing one value can move others; two rounds were enough in every trial. */
const RESTORE_ROUNDS_MAX = 4;

export async function undoHost(runtimeDirectory: string): Promise<UndoReport> {
  const report: UndoReport = { found: false, removed: [], restored: [], problems: [] };
  const snapshot = readSnapshot(runtimeDirectory);
  if (snapshot === undefined) {
    // Of an earlier boot: what it names went with that boot.
    removeSnapshot(runtimeDirectory);
    return report;
  }
  report.found = true;
  if (snapshot.unknownBefore !== undefined)
    report.unknown = snapshot.unknownBefore.filter(hasSetting);

  const wanted = wantedSettings(snapshot);
  const isSwitch = (path: string): boolean => restoreRank(path) < 3;
  restore(filterKeys(wanted, isSwitch), report);

  const items = snapshot.items.filter((item) => item.id !== FIREWALL_ID);
  const firewall = snapshot.items.find((item) => item.id === FIREWALL_ID);
  for (const item of items.toReversed()) await takeItem(item, report);
  await take(`TUN ${snapshot.tun}`, ip('link', 'del', 'dev', snapshot.tun), report);
  restore(wanted, report);
  if (firewall !== undefined) await takeItem(firewall, report);

  if (report.problems.length === 0) removeSnapshot(runtimeDirectory);
  return report;
}

/** The same for who cannot go on after a failure: throws where undoHost reports. */
export async function undoHostOrThrow(runtimeDirectory: string): Promise<UndoReport> {
  const report = await undoHost(runtimeDirectory);
  if (report.problems.length > 0)
    throw new HostError(
      'HOST_UNDO_INCOMPLETE',
      `Not everything could be taken back: ${report.problems.join('; ')}. ` +
        'Put that right by hand and run `portfold doctor --clean`.',
    );
  return report;
}

/** What each setting of the snapshot should be in the end. */
function wantedSettings(snapshot: HostSnapshot): Map<string, string> {
  const current = readAllSettings(Object.keys(snapshot.before));
  const wanted = new Map<string, string>();
  for (const [path, before] of Object.entries(snapshot.before)) {
    const now = current[path];
    if (now === undefined) continue;
    // Null: applying never came to its end, and whatever moved since is taken to be its work.
    const ours = snapshot.changed === null || snapshot.changed[path] === now;
    wanted.set(path, ours ? before : now);
  }
  for (const { path, adds } of snapshot.settings) {
    const now = current[path];
    if (adds && now !== undefined) wanted.set(path, withoutPorts(now, adds, snapshot.before[path]));
  }
  return wanted;
}

function restore(wanted: Map<string, string>, report: UndoReport): void {
  const paths = [...wanted.keys()].sort((a, b) => restoreRank(a) - restoreRank(b));
  const restored = new Set(report.restored);
  let failed: string[] = [];

  for (let round = 0; round < RESTORE_ROUNDS_MAX; round++) {
    failed = [];
    let moved = 0;
    for (const path of paths) {
      const value = wanted.get(path)!;
      if (readSetting(path) === value || !hasSetting(path)) continue;
      moved++;
      try {
        writeSetting(path, value);
        restored.add(path);
      } catch (error) {
        failed.push(messageOf(error));
      }
    }
    if (moved === 0) break;
  }
  report.restored = [...restored];
  report.problems.push(...failed.filter((text) => !report.problems.includes(text)));
}

async function takeItem(item: HostItem, report: UndoReport): Promise<void> {
  try {
    await restoreReplaced(item);
  } catch (error) {
    // What it took the place of is not back, so it must stay.
    report.problems.push(messageOf(error));
    return;
  }
  await take(item.id, item.remove, report);
}

/** Takes back one thing; what is gone already is fine. */
export async function removeItem(item: HostItem): Promise<void> {
  await restoreReplaced(item);
  await runUnless(item.remove, isAlreadyGone);
}

async function restoreReplaced(item: HostItem): Promise<void> {
  if (item.replaces !== undefined) await runUnless(item.replaces.restore, isAlreadyThere);
}

async function take(id: string, command: HostCommand, report: UndoReport): Promise<void> {
  try {
    await run(command);
    report.removed.push(id);
  } catch (error) {
    if (!isAlreadyGone(error)) report.problems.push(messageOf(error));
  }
}

const filterKeys = (
  map: Map<string, string>,
  test: (path: string) => boolean,
): Map<string, string> => new Map([...map].filter(([path]) => test(path)));

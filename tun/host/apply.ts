/**
 * Makes the host's network settings fit the request, or adopts what a predecessor left.
 *
 *   fresh    snapshot to disk → belt → TUN → addresses, routes, rules → kernel settings → what
 *            changed, to disk
 *   adopt    the same, but the snapshot stays the first one; what the old plan had and the new one
 *            does not goes after the new one stands, so that no packet finds a gap
 *   strays   fresh, but a predecessor's things are there and its snapshot is not: they are removed,
 *            and the settings that are as we would set them are noted as not known
 *   failure  fresh: everything is undone; adopting: the predecessor's settings are put back
 */
import { HostError, messageOf, misfit } from './errors.ts';
import type { HostFacts, HostLink } from './facts.ts';
import { readOpenedDoors } from './forwarding.ts';
import { type HostInspection, inspectHost, readTunnelSource } from './inspect.ts';
import { TUN_ALIAS, TUN_MTU, TUN_QUEUE_LENGTH } from './numbers.ts';
import {
  type HostItem,
  type HostPlan,
  makePlan,
  otherDefaultRoutes,
  type PlanContext,
} from './plan.ts';
import { RESERVED_PORTS, withoutPorts } from './ports.ts';
import { ip, ipJson, isAlreadyGone, isAlreadyThere, run, runUnless } from './run.ts';
import { sharedLine } from './shared-address.ts';
import { type HostSnapshot, newSnapshot, readSnapshot, writeSnapshot } from './snapshot.ts';
import { hasStrays, removeStrays } from './strays.ts';
import { hasSetting, readAllSettings, readSetting, writeSetting } from './sysctl.ts';
import type { HostRequest, HostResult } from './types.ts';
import { removeItem, undoHost } from './undo.ts';

/** Hops that the kernel takes twice; measured, see docs/host-settings.md. */
const RESTORE_HOPS: Record<HostResult['encapsulation'], [outbound: number, inbound: number]> = {
  none: [1, 1],
  seg6: [0, 1],
  ip6tnl: [1, 1],
  own: [0, 1],
};

export async function applyHost(request: HostRequest): Promise<HostResult> {
  const inspection = await inspectHost(request);
  const old = readSnapshot(request.runtimeDirectory);
  const isWithoutSnapshot = old === undefined && hasStrays(inspection.facts);
  if (isWithoutSnapshot) await removeStrays(inspection.facts, request.tun);

  const tunnelSourceBefore = old?.tunnelSourceBefore ?? (await readTunnelSource());
  const context = await readContext(request, inspection, old, tunnelSourceBefore);
  const plan = makePlan(request, inspection.facts, context);

  const start = readAllSettings(plan.settings.map((setting) => setting.path));
  const snapshot = old ?? newSnapshot(request.tun, start, tunnelSourceBefore);
  if (isWithoutSnapshot) {
    const isAsOurs = plan.settings.filter(
      ({ path, value }) => start[path] === value && !path.includes(`/${request.tun}/`),
    );
    snapshot.unknownBefore = isAsOurs.map(({ path }) => path);
    plan.warnings.push(unknownWarning(snapshot.unknownBefore, request.runtimeDirectory));
  }
  try {
    await adoptOrMake(request, plan, snapshot, old, start, inspection.facts);
  } catch (error) {
    throw await rolledBack(request, error, old, plan);
  }
  return {
    ...(await describe(request, inspection, plan)),
    adopted: old !== undefined || isWithoutSnapshot,
  };
}

const unknownWarning = (paths: string[], runtimeDirectory: string): string =>
  `A gateway was here before, and ${runtimeDirectory} holds no snapshot of what the host was before ` +
  'that one: kernel settings that it changed stay at the end as they are now' +
  (paths.length > 0
    ? `, perhaps ${paths.join(', ')}; set back by hand what you want otherwise.`
    : '.');

async function adoptOrMake(
  request: HostRequest,
  plan: HostPlan,
  snapshot: HostSnapshot,
  old: HostSnapshot | undefined,
  start: Record<string, string>,
  facts: HostFacts,
): Promise<void> {
  const wanted = [plan.firewall, ...plan.items];
  const wantedIds = new Set(wanted.map((item) => item.id));
  const stale = (old?.items ?? []).filter((item) => !wantedIds.has(item.id));
  const written = new Set(plan.settings.map((setting) => setting.path));
  const staleSettings = (old?.settings ?? []).filter((setting) => !written.has(setting.path));

  // From here on a process that is killed leaves a snapshot that names all it may have made.
  const during: HostSnapshot = {
    ...snapshot,
    before: { ...start, ...snapshot.before },
    changed: old?.changed ? { ...old.changed, ...Object.fromEntries(pairs(plan)) } : null,
    items: [...stale, ...wanted],
    settings: [...staleSettings, ...plan.settings],
  };
  writeSnapshot(request.runtimeDirectory, during);

  // The new firewall no longer knows the interfaces that leave: their forwarding goes before.
  for (const { path } of staleSettings) {
    const value = snapshot.before[path];
    if (path.endsWith('forwarding') && value !== undefined && hasSetting(path))
      writeSetting(path, value);
  }
  await add(plan.firewall);
  await makeTun(request.tun, facts);
  for (const item of stale.filter((entry) => entry.exclusive)) await removeItem(item);
  for (const item of plan.items) await add(item);
  for (const { path, value } of plan.settings) writeSetting(path, value);

  for (const item of stale.filter((entry) => !entry.exclusive).reverse()) await removeItem(item);
  for (const { path, adds } of staleSettings.toReversed()) {
    const value = snapshot.before[path];
    if (value === undefined || !hasSetting(path)) continue;
    writeSetting(path, adds ? withoutPorts(readSetting(path) ?? '', adds, value) : value);
  }
  if (old !== undefined && old.tun !== request.tun) await removeLink(old.tun);

  writeSnapshot(request.runtimeDirectory, {
    ...during,
    tun: request.tun,
    changed: changesOf(during, start, written, old),
    items: wanted,
    settings: plan.settings,
  });
}

/**
 * Values that differ from before because of us: what we wrote, what moved while we wrote, and what
 * a predecessor changed. What somebody else changed in between is theirs and stays at the undo.
 */
function changesOf(
  during: HostSnapshot,
  start: Record<string, string>,
  written: Set<string>,
  old: HostSnapshot | undefined,
): Record<string, string> {
  const now = readAllSettings(Object.keys(during.before));
  const changed: Record<string, string> = {};
  for (const [path, value] of Object.entries(now)) {
    const ours = written.has(path) || value !== start[path] || old?.changed?.[path] === value;
    if (ours && during.before[path] !== undefined && value !== during.before[path])
      changed[path] = value;
  }
  return changed;
}

const pairs = (plan: HostPlan): [string, string][] =>
  plan.settings.map(({ path, value }) => [path, value]);

/** Puts back what was there before the attempt, and returns the error to throw. */
async function rolledBack(
  request: HostRequest,
  error: unknown,
  old: HostSnapshot | undefined,
  plan: HostPlan,
): Promise<unknown> {
  const failures: string[] = [];
  const attempt = async (step: () => unknown): Promise<void> => {
    try {
      await step();
    } catch (failure) {
      failures.push(messageOf(failure));
    }
  };

  if (old === undefined) {
    await attempt(async () => {
      failures.push(...(await undoHost(request.runtimeDirectory)).problems);
    });
  } else {
    const kept = new Set(old.items.map((item) => item.id));
    const extra = plan.items.filter((item) => !kept.has(item.id)).reverse();
    for (const item of extra) await attempt(() => removeItem(item));
    for (const item of old.items) await attempt(() => add(item));
    for (const { path, value } of old.settings) await attempt(() => writeSetting(path, value));
    await attempt(() => writeSnapshot(request.runtimeDirectory, old));
  }

  if (failures.length === 0) return error;
  const exitCode = error instanceof HostError ? error.exitCode : 1;
  return new HostError(
    'HOST_ROLLBACK_INCOMPLETE',
    `${messageOf(error)} Not all changes could be taken back: ${failures.join('; ')}. ` +
      'Run `portfold doctor --clean`.',
    exitCode,
  );
}

async function add(item: HostItem): Promise<void> {
  for (const command of item.add) await runUnless(command, isAlreadyThere);
  if (item.replaces !== undefined) await runUnless(item.replaces.remove, isAlreadyGone);
}

async function removeLink(name: string): Promise<void> {
  await runUnless(ip('link', 'del', 'dev', name), isAlreadyGone);
}

/** A persistent TUN: it outlives the process, and with it the routes that lead nowhere else. */
async function makeTun(name: string, facts: HostFacts): Promise<void> {
  const link = facts.links.find((entry) => entry.ifname === name);
  if (link !== undefined && !isUsableTun(link)) {
    if (link.ifalias !== TUN_ALIAS)
      throw misfit(
        'HOST_TUN_TAKEN',
        `The interface "${name}" is no TUN that Portfold can use; choose another name.`,
      );
    await removeLink(name);
  }
  // A TUN that a process has open answers EBUSY to being made again.
  if (link === undefined || !isUsableTun(link))
    await run(ip('tuntap', 'add', 'dev', name, 'mode', 'tun', 'vnet_hdr'));

  const set = ['link', 'set', 'dev', name];
  await run(ip(...set, 'alias', TUN_ALIAS, 'mtu', TUN_MTU, 'txqueuelen', TUN_QUEUE_LENGTH));
  if (hasSetting('net/ipv6/conf')) await run(ip(...set, 'addrgenmode', 'none'));
  await run(ip(...set, 'up'));
}

const isUsableTun = (link: HostLink): boolean =>
  link.linkinfo?.info_kind === 'tun' &&
  link.linkinfo.info_data?.type === 'tun' &&
  link.linkinfo.info_data.multi_queue !== true;

/** What the plan must know beyond the facts; `old` is the snapshot, if there is one. */
export async function readContext(
  request: HostRequest,
  inspection: HostInspection,
  old: HostSnapshot | undefined,
  tunnelSourceBefore: string,
): Promise<PlanContext> {
  const { facts, encapsulation } = inspection;
  const wan = request.line.interface;
  const before = (path: string): string | undefined => old?.before[path] ?? readSetting(path);

  const names = facts.routes6
    .filter((route) => route.dst === 'default' && route.protocol === '9')
    .map((route) => route.dev ?? '');
  const advertised = [...new Set(names)].map((name) => ({
    interface: name,
    acceptRa: before(`net/ipv6/conf/${name}/accept_ra`) ?? '1',
  }));

  return {
    encapsulation,
    tunnelSourceBefore,
    hasForceForwarding: hasSetting(`net/ipv6/conf/${wan}/force_forwarding`),
    advertised,
    acceptRa: before(`net/ipv6/conf/${wan}/accept_ra`) ?? '0',
    reservedPorts: reservedByOthers(old),
    opened: readOpenedDoors(request, before, old?.before['net/ipv4/ip_forward']),
    wayOutWithoutDefault: await hasWayOut(request, facts),
  };
}

function reservedByOthers(old: HostSnapshot | undefined): string {
  const now = readSetting(RESERVED_PORTS) ?? '';
  const ours = old?.settings.find((setting) => setting.path === RESERVED_PORTS)?.adds;
  return ours === undefined ? now : withoutPorts(now, ours, old?.before[RESERVED_PORTS] ?? '');
}

/**
 * Policy routing by source may lead our address out although the main table has no default route.
 */
async function hasWayOut(request: HostRequest, facts: HostFacts): Promise<boolean> {
  if (request.line.type !== 'address' || otherDefaultRoutes(facts.routes4).length > 0) return false;
  const rules = facts.rules4.filter((rule) => rule.src === request.line.externalAddress);
  for (const rule of rules) {
    const table = rule.table ?? '';
    if (facts.routes4.some((route) => route.dst === 'default' && route.table === table))
      return true;
  }
  return false;
}

async function describe(
  request: HostRequest,
  inspection: HostInspection,
  plan: HostPlan,
): Promise<HostResult> {
  const wan = request.line.interface;
  const [outbound, inbound] = RESTORE_HOPS[inspection.encapsulation];
  const links = await ipJson<HostLink>('link', 'show', 'dev', wan);
  return {
    encapsulation: inspection.encapsulation,
    interfaceMtu: links[0].mtu,
    lanNetworks: plan.lanNetworks,
    restoreHopsOutbound: outbound,
    restoreHopsInbound: inbound,
    sharedWithHost: sharedLine(request, inspection.facts) !== undefined,
    warnings: plan.warnings,
  };
}

/**
 * Compares the host with what was set on it. Interfaces go and come back, and the kernel then forgets
 * silently what led over them:
 *
 *   link down          routes over it, in our tables too; proxies of neighbours; IPv6 addresses
 *   link deleted       the same, and its kernel settings
 *   address removed    routes that name it as their source
 *
 * Only looks, so that it causes no event that would lead to another look. It tells three things apart:
 * what is missing (applyHost makes it anew), what stands in the way of that (`blocked`), and what keeps
 * packets from passing although all is set (`degraded`).
 *
 * An entry of the kernel is ours if the words by which the kernel tells entries apart are the same
 * (destination, device, table, metric; priority and interface); the rest is fixed by our protocol number.
 */
import { readContext } from './apply.ts';
import { messageOf } from './errors.ts';
import { type HostFacts, type HostLink, type HostRoute, isMainTable, readFacts } from './facts.ts';
import { readTunnelSource, wayToRelay } from './inspect.ts';
import { NFT_TABLE } from './nft.ts';
import {
  PRIORITY_LOCAL_KERNEL,
  PROTOCOL,
  PROTOCOL_KERNEL,
  TABLE_LOCAL,
  TUN_MTU,
} from './numbers.ts';
import { canonicalIpv6, type HostItem, type HostPlan, makePlan } from './plan.ts';
import { withPorts } from './ports.ts';
import { ipJson, run } from './run.ts';
import { sharedLine } from './shared-address.ts';
import { readSnapshot } from './snapshot.ts';
import { type HostSetting, readSetting } from './sysctl.ts';
import type { HostRequest, HostResult } from './types.ts';

export interface HostReview {
  /** Ids of what is to be made, or to be removed, so that the host is as the request wants it. */
  missing: string[];
  /** Why it cannot be made now. */
  blocked?: string;
  /** Why no packet passes although everything is set. */
  degraded?: string;
  /** Absent if the interface of the line is gone. */
  interfaceMtu?: number;
}

type Applied = Pick<HostResult, 'encapsulation' | 'warnings'> & { sharedWithHost?: boolean };

interface ProxyEntry {
  dst: string;
  dev: string;
}

/** What the kernel holds beyond the facts that a plan is made from. */
interface Held {
  facts: HostFacts;
  proxies: ProxyEntry[];
  tunnelSource: string;
  hasTable: boolean;
}

/**
 * @param applied what applyHost told last for this request; who was not there leaves out what is only known since then, whether
 * the address was shared with the host and which warnings are old
 */
export async function verifyHost(request: HostRequest, applied: Applied): Promise<HostReview> {
  const held = await readHeld();
  const { facts } = held;
  const line = facts.links.find((link) => link.ifname === request.line.interface);
  const obstacle = await obstacleOf(request, applied, facts);
  const review = {
    missing: [] as string[],
    degraded: silenceOf(request, facts),
    interfaceMtu: line?.mtu,
  };
  if (obstacle !== undefined) return { ...review, blocked: obstacle };

  const old = readSnapshot(request.runtimeDirectory);
  const { encapsulation } = applied;
  const tunnelSource = old?.tunnelSourceBefore ?? held.tunnelSource;
  try {
    const context = await readContext(request, { facts, encapsulation }, old, tunnelSource);
    const plan = makePlan(request, facts, context);
    review.degraded ??= plan.warnings.find((text) => !applied.warnings?.includes(text));
    return { ...review, missing: differences(plan, held, old?.items ?? [], request) };
  } catch (error) {
    return { ...review, blocked: messageOf(error) };
  }
}

async function readHeld(): Promise<Held> {
  const proxiesOf = (flag: string): Promise<ProxyEntry[]> =>
    ipJson<ProxyEntry>(flag, 'neigh', 'show', 'proxy').catch(() => []);
  const [facts, proxies4, proxies6, tunnelSource, hasTable] = await Promise.all([
    readFacts(),
    proxiesOf('-4'),
    proxiesOf('-6'),
    readTunnelSource(),
    run({ program: 'nft', args: ['list', 'table', 'inet', NFT_TABLE] }).then(
      () => true,
      () => false,
    ),
  ]);
  return { facts, proxies: [...proxies4, ...proxies6], tunnelSource, hasTable };
}

/** Why nothing can be set now; what applyHost would refuse, or what would make another line of this one. */
async function obstacleOf(
  request: HostRequest,
  applied: Applied,
  facts: HostFacts,
): Promise<string | undefined> {
  const { line, lans } = request;
  const names = [line.interface, ...lans.flatMap((lan) => lan.interfaces)];
  const gone = names.find((name) => !facts.links.some((link) => link.ifname === name));
  if (gone !== undefined) return `the interface ${gone} is gone`;

  const isShared = sharedLine(request, facts) !== undefined;
  if (applied.sharedWithHost === true && !isShared)
    return `the host no longer has the address ${line.externalAddress}`;
  if (applied.sharedWithHost === false && isShared)
    return `the host itself has ${line.externalAddress} now; remove it from the host, or restart the gateway`;

  if (line.type !== 'map-e') return undefined;
  const relay = canonicalIpv6(line.brAddress);
  const way = await wayToRelay(relay);
  if (way === line.interface) return undefined;
  return `no IPv6 over ${line.interface} to the relay ${relay}`;
}

/** An interface that is there and carries nothing. */
function silenceOf(request: HostRequest, facts: HostFacts): string | undefined {
  const linkOf = (name: string): HostLink | undefined =>
    facts.links.find((link) => link.ifname === name);
  const isDown = (name: string): boolean => linkOf(name)?.flags.includes('UP') === false;

  const { interface: wan } = request.line;
  if (isDown(wan)) return `the interface ${wan} is down`;
  if (linkOf(wan)?.flags.includes('NO-CARRIER')) return `the interface ${wan} has no carrier`;
  const inside = request.lans.flatMap((lan) => lan.interfaces);
  return inside.every(isDown) ? `every LAN interface is down (${inside.join(', ')})` : undefined;
}

function differences(plan: HostPlan, held: Held, made: HostItem[], request: HostRequest): string[] {
  const wanted = [plan.firewall, ...plan.items];
  const wantedIds = new Set(wanted.map((item) => item.id));
  const scriptOf = (item?: HostItem): string | undefined => item?.add[0].input;
  const oldFirewall = made.find((item) => item.id === plan.firewall.id);
  const firewallFits =
    held.hasTable &&
    (oldFirewall === undefined || scriptOf(oldFirewall) === scriptOf(plan.firewall));

  return [
    ...(isTunReady(held.facts, request.tun) ? [] : [`TUN ${request.tun}`]),
    ...(firewallFits ? [] : [plan.firewall.id]),
    ...plan.items.filter((item) => !stands(item, held)).map((item) => item.id),
    ...made
      .filter((item) => !wantedIds.has(item.id))
      .map((item) => `${item.id} (no longer wanted)`),
    ...missingSettings(plan.settings, request),
  ];
}

const isTunReady = (facts: HostFacts, tun: string): boolean =>
  facts.links.some(
    (link) => link.ifname === tun && link.flags.includes('UP') && String(link.mtu) === TUN_MTU,
  );

/** Read from the words of the command that makes it, so that what is made is what is looked for. */
function stands(item: HostItem, held: Held): boolean {
  const words = item.add[0].args;
  const after = (key: string): string | undefined => {
    const at = words.indexOf(key);
    return at < 0 ? undefined : words[at + 1];
  };
  const { facts } = held;
  const object = words[0].startsWith('-') ? words[1] : words[0];
  const is6 = words[0] === '-6';

  switch (object) {
    case 'route':
      return (is6 ? facts.routes6 : facts.routes4).some(
        (route) =>
          route.protocol === PROTOCOL &&
          route.dst === withoutHostLength(words[4]) &&
          isTable(route, after('table')) &&
          (after('dev') === undefined || route.dev === after('dev')) &&
          (after('metric') === undefined || String(route.metric) === after('metric')),
      );
    case 'rule': {
      const rules = is6 ? facts.rules6 : facts.rules4;
      const isThere = rules.some(
        (rule) =>
          (rule.protocol === PROTOCOL || after('protocol') === PROTOCOL_KERNEL) &&
          String(rule.priority) === after('pref') &&
          rule.iif === after('iif') &&
          (after('table') === 'main' || rule.table === after('table')),
      );
      return isThere && !(item.replaces !== undefined && rules.some(isFirstLocal));
    }
    case 'neigh':
      return held.proxies.some(
        (proxy) => proxy.dst === after('proxy') && proxy.dev === after('dev'),
      );
    case 'address':
      return facts.addresses.some(
        (address) =>
          address.local === withoutHostLength(words[3]) && address.ifname === after('dev'),
      );
    case 'link':
      return facts.links.some((link) => link.ifname === after('name') && link.flags.includes('UP'));
    case 'sr':
      return held.tunnelSource === words[3];
    default:
      throw new Error(`nobody can tell whether "${item.id}" stands`);
  }
}

/** The rule that ours took the place of. */
const isFirstLocal = (rule: { priority: number; table?: string }): boolean =>
  String(rule.priority) === PRIORITY_LOCAL_KERNEL && rule.table === TABLE_LOCAL;

const isTable = (route: HostRoute, table: string | undefined): boolean =>
  table === undefined ? isMainTable(route) : route.table === table;

/** The kernel's tools leave out the length of a network that is one address. */
const withoutHostLength = (text: string): string =>
  text.replace(text.includes(':') ? /\/128$/ : /\/32$/, '');

/**
 * The last value counts where a plan writes several. `accept_ra` of other interfaces than the line's is only
 * held for a moment, and afterwards is whatever others make of it.
 */
function missingSettings(settings: HostSetting[], request: HostRequest): string[] {
  const last = new Map(settings.map((setting) => [setting.path, setting]));
  const wan = request.line.interface;
  return [...last.values()]
    .filter(({ path }) => !path.endsWith('/accept_ra') || path.includes(`/${wan}/`))
    .filter(({ path, value, adds }) => {
      const now = readSetting(path);
      if (adds === undefined || now === undefined || request.line.type !== 'address')
        return now !== value;
      return withPorts(now, request.line.ports) !== withPorts(now, []);
    })
    .map(({ path, value, adds }) => `${path} = ${adds ?? value}`);
}

/**
 * Looks at a host as `portfold doctor` reports it: findings in words, nothing changed, nothing
 * thrown.
 *
 *   ok        as it should be, or a fact worth knowing
 *   warning   works, but perhaps not as the operator thinks
 *   problem   a gateway cannot run, or something is left behind; `advice` says what to do
 */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { firstChoice, probeEncapsulation } from './encapsulation.ts';
import { HostError, messageOf } from './errors.ts';
import { readFacts } from './facts.ts';
import { hasNetAdmin } from './inspect.ts';
import { type NftRule, readRuleset, translatingRules } from './ruleset.ts';
import { ip, run } from './run.ts';
import { readSnapshot, SNAPSHOT_FILE } from './snapshot.ts';
import { hasStrays, ourLinks } from './strays.ts';
import { hasSetting, readSetting } from './sysctl.ts';

export interface Finding {
  /** Short name, for instance "rp-filter". */
  check: string;
  level: 'ok' | 'warning' | 'problem';
  text: string;
  advice?: string;
}

export interface ExamineOptions {
  runtimeDirectory: string;
  /**
   * True while a gateway holds the lock of the runtime directory: what it made is then no leftover.
   */
  gatewayLives: boolean;
}

const TUN_DEVICE = '/dev/net/tun';
const TMPFS_MAGIC = 0x01021994;
/** The first version with `encap.red`. */
const IPROUTE_VERSION_MIN = 6;
/** A part of the conntrack table; above it, new flows of the host are soon refused. */
const CONNTRACK_FILL_MAX = 0.8;

export async function examineHost(options: ExamineOptions): Promise<Finding[]> {
  const findings = [examineTunDevice(), examineRights()];
  const rest = await Promise.all([
    examineCommand('ip', ip('-V')),
    examineCommand('nft', { program: 'nft', args: ['--version'] }),
    examineEncapsulation(),
    examineFirewalls(),
    examineLeftovers(options),
  ]);
  const [ipCommand, nftCommand, encapsulation, firewalls, leftovers] = rest;
  return [
    ...findings,
    ipCommand,
    nftCommand,
    ...encapsulation,
    examineForwarding(),
    examineReversePath(),
    examineConntrack(),
    ...firewalls,
    examineRuntimeDirectory(options.runtimeDirectory),
    leftovers,
  ];
}

const ok = (check: string, text: string): Finding => ({ check, level: 'ok', text });
const warning = (check: string, text: string, advice: string): Finding => ({
  check,
  level: 'warning',
  text,
  advice,
});
const problem = (check: string, text: string, advice: string): Finding => ({
  check,
  level: 'problem',
  text,
  advice,
});

function examineTunDevice(): Finding {
  if (!existsSync(TUN_DEVICE))
    return problem(
      'tun-device',
      `${TUN_DEVICE} does not exist`,
      'load the module (modprobe tun), or pass the device into the container',
    );
  try {
    accessSync(TUN_DEVICE, constants.R_OK | constants.W_OK);
    return ok('tun-device', `${TUN_DEVICE} is there and may be opened`);
  } catch (error) {
    return problem('tun-device', messageOf(error), 'run as root, or allow the device');
  }
}

function examineRights(): Finding {
  return hasNetAdmin()
    ? ok('rights', 'CAP_NET_ADMIN is there')
    : problem(
        'rights',
        'CAP_NET_ADMIN is missing, so that network settings cannot be changed',
        'run as root, or with AmbientCapabilities=CAP_NET_ADMIN',
      );
}

async function examineCommand(
  name: 'ip' | 'nft',
  command: Parameters<typeof run>[0],
): Promise<Finding> {
  try {
    const text = (await run(command)).trim();
    const major = Number(/iproute2-(\d+)/.exec(text)?.[1] ?? IPROUTE_VERSION_MIN);
    if (name === 'ip' && major < IPROUTE_VERSION_MIN)
      return warning(
        name,
        `${text} cannot set up reduced SRv6 encapsulation, the fast way for MAP-E`,
        `install iproute2 ${IPROUTE_VERSION_MIN}.0 or later; address lines do not need it`,
      );
    return ok(name, text);
  } catch (error) {
    return problem(name, messageOf(error), `install ${name === 'ip' ? 'iproute2' : 'nftables'}`);
  }
}

async function examineEncapsulation(): Promise<Finding[]> {
  if (!hasNetAdmin())
    return [
      warning(
        'encapsulation',
        'the kernel could not be tried for MAP-E without CAP_NET_ADMIN',
        'run as root',
      ),
    ];

  const support = await probeEncapsulation();
  const { seg6, ip6tnl, reasons } = support;
  const told = (name: string, works: boolean, reason?: string): Finding =>
    ok(name, works ? `the kernel has ${name}` : `the kernel does not have ${name}: ${reason}`);
  const chosen = firstChoice(support);
  return [
    told('seg6', seg6, reasons.seg6),
    support.ip6tnlUntried
      ? ok('ip6tnl', 'whether the kernel has ip6tnl was not tried: that needs CAP_SYS_ADMIN')
      : told('ip6tnl', ip6tnl, reasons.ip6tnl),
    chosen === 'own'
      ? warning(
          'encapsulation',
          'the kernel cannot encapsulate for MAP-E, so that Portfold would do it itself (own): slower',
          'for speed, use a kernel with CONFIG_IPV6_SEG6_LWTUNNEL or the module ip6_tunnel',
        )
      : ok('encapsulation', `MAP-E would run over ${chosen}`),
  ];
}

function examineForwarding(): Finding {
  const ipv4 = readSetting('net/ipv4/ip_forward') === '1' ? 'on' : 'off';
  const ipv6 = readSetting('net/ipv6/conf/all/forwarding') === '1' ? 'on' : 'off';
  const own = hasSetting('net/ipv6/conf/all/force_forwarding')
    ? 'Portfold switches it on by interface while it runs'
    : 'Portfold switches it on while it runs, IPv6 for all interfaces (kernel before 6.17)';
  return ok('forwarding', `host-wide: IPv4 ${ipv4}, IPv6 ${ipv6}; ${own}`);
}

function examineReversePath(): Finding {
  const value = readSetting('net/ipv4/conf/all/rp_filter') ?? '0';
  const meaning = ['off', 'strict', 'loose'][Number(value)] ?? value;
  return ok('rp-filter', `rp_filter is ${meaning} for all interfaces; the TUN is made loose`);
}

function examineConntrack(): Finding {
  const count = Number(readSetting('net/netfilter/nf_conntrack_count') ?? NaN);
  const max = Number(readSetting('net/netfilter/nf_conntrack_max') ?? NaN);
  if (Number.isNaN(count) || Number.isNaN(max))
    return ok('conntrack', 'connection tracking is not loaded');
  if (count > max * CONNTRACK_FILL_MAX)
    return warning(
      'conntrack',
      `connection tracking holds ${count} of ${max} entries`,
      'raise net.netfilter.nf_conntrack_max; Portfold keeps its own flows out of it',
    );
  return ok(
    'conntrack',
    `connection tracking holds ${count} of ${max} entries; ours stay out of it`,
  );
}

async function examineFirewalls(): Promise<Finding[]> {
  const ruleset = await readRuleset().catch(() => undefined);
  if (ruleset === undefined) return [];
  const place = (rule: NftRule): string =>
    `table ${rule.family} ${rule.table}, chain ${rule.chain}`;

  const translating = translatingRules(ruleset).map((rule) =>
    warning(
      'translation',
      `${place(rule)} translates addresses as well (${rule.kind})`,
      'remove it for the line that Portfold serves: what passes the TUN is kept away from it, but ' +
        'the host itself would use ports of the line that Portfold does not know of',
    ),
  );
  const closed = ruleset.forwardDropChains.map((rule) =>
    warning(
      'firewall',
      `${place(rule)} drops forwarded packets that it does not accept`,
      'accept what enters from or goes to the TUN (iifname and oifname portfold0)',
    ),
  );
  if (translating.length + closed.length === 0)
    return [ok('firewall', 'no nftables rule of others translates or closes forwarding')];
  return [...translating, ...closed];
}

function examineRuntimeDirectory(directory: string): Finding {
  let existing = directory;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  try {
    if (statfsSync(existing).type === TMPFS_MAGIC)
      return ok('runtime-directory', `${directory} lies on tmpfs`);
  } catch (error) {
    return problem('runtime-directory', messageOf(error), 'choose another runtime-directory');
  }
  return warning(
    'runtime-directory',
    `${directory} does not lie on tmpfs, where sessions would be written to a disk`,
    'set runtime-directory to a place on tmpfs, for instance /dev/shm/portfold',
  );
}

async function examineLeftovers(options: ExamineOptions): Promise<Finding> {
  const { runtimeDirectory, gatewayLives } = options;
  const clean = 'run `portfold doctor --clean`, or start the gateway: it adopts them';
  try {
    const snapshot = readSnapshot(runtimeDirectory);
    if (gatewayLives) return ok('leftovers', 'a gateway or relay runs');
    if (snapshot !== undefined)
      return problem(
        'leftovers',
        `a gateway that died left its settings (${snapshot.items.length} in ` +
          `${runtimeDirectory}/${SNAPSHOT_FILE}, since ${snapshot.createdAt})`,
        clean,
      );

    const facts = await readFacts();
    if (!hasStrays(facts)) return ok('leftovers', 'none');
    const names = ourLinks(facts).map((link) => link.ifname);
    return problem(
      'leftovers',
      `interfaces, routes or rules of a gateway are there (${names.join(', ') || 'no TUN'}), but no ` +
        `snapshot in ${runtimeDirectory}`,
      `if no gateway with another runtime directory runs, ${clean}`,
    );
  } catch (error) {
    // A snapshot that cannot be relied on: to clean or to start is refused in the same words.
    const isToldHow = error instanceof HostError && error.code.startsWith('HOST_SNAPSHOT');
    return problem('leftovers', messageOf(error), isToldHow ? 'do what the message says' : clean);
  }
}

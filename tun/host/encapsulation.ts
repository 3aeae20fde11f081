/**
 * Which way of IPv4 in IPv6 this kernel has, tried out and not guessed from names of modules.
 *
 *   seg6     reduced SRv6 encapsulation with one segment: plain IPv4-in-IPv6, keeps superpackets
 *   ip6tnl   the tunnel device, second choice
 *   own      the engine encapsulates and the addon segments: needs nothing of the kernel, but is slower
 *
 * In a mesh the tunnel device is no choice: it has one far end, and owns the CE address.
 *
 * The trial runs in a network namespace of its own that ends with the trial: the host's own
 * settings stay untouched, and modules are loaded as they would be in earnest.
 *
 * Such a namespace needs CAP_SYS_ADMIN. Without it seg6 is tried on the host itself, by two routes
 * in a table that no rule leads to, removed at once; ip6tnl would need a device there, so that it
 * stays untried, and "auto" means seg6 or own.
 */
import { CommandError, forbidden, messageOf, misfit } from './errors.ts';
import { PROTOCOL, TABLE_TRIAL } from './numbers.ts';
import { type HostCommand, ip, isAlreadyGone, isAlreadyThere, run, runUnless } from './run.ts';

export interface EncapsulationSupport {
  seg6: boolean;
  ip6tnl: boolean;
  /** What the kernel or `ip` said against each that is missing. */
  reasons: { seg6?: string; ip6tnl?: string };
  /** True if ip6tnl could not be tried for want of CAP_SYS_ADMIN: then nothing is known of it. */
  ip6tnlUntried?: boolean;
}

const SEG6_TRIAL = [
  'ip link set lo up',
  'ip -4 route add 198.51.100.0/24 encap seg6 mode encap.red segs 2001:db8::1 dev lo',
  'ip -6 route add 2001:db8::2/128 encap seg6local action End.DX4 nh4 192.0.2.1 dev lo',
  'ip sr tunsrc set 2001:db8::2',
];

const IP6TNL_TRIAL = [
  'ip link set lo up',
  'ip link add trial type ip6tnl mode ipip6 local ::1 remote 2001:db8::2 encaplimit none dev lo',
];

/** On the host itself: harmless, since no rule leads to the table. */
const SEG6_HOST_ROUTES = [
  ['-4', '198.51.100.0/24', 'encap', 'seg6', 'mode', 'encap.red', 'segs', '2001:db8::1'],
  ['-6', '2001:db8::2/128', 'encap', 'seg6local', 'action', 'End.DX4', 'nh4', '192.0.2.1'],
];

export async function probeEncapsulation(): Promise<EncapsulationSupport> {
  if (!(await mayMakeNamespace())) {
    const seg6 = await whyNotOnHost();
    const reasons = { seg6, ip6tnl: 'not tried without CAP_SYS_ADMIN' };
    return { seg6: seg6 === undefined, ip6tnl: false, reasons, ip6tnlUntried: true };
  }
  const [seg6, ip6tnl] = await Promise.all([whyNot(SEG6_TRIAL), whyNot(IP6TNL_TRIAL)]);
  return {
    seg6: seg6 === undefined,
    ip6tnl: ip6tnl === undefined,
    reasons: { seg6, ip6tnl },
  };
}

/** Asked and not read from the capabilities: containers forbid it by other means as well. */
async function mayMakeNamespace(): Promise<boolean> {
  try {
    await run({ program: 'unshare', args: ['--net', 'true'] });
    return true;
  } catch {
    return false;
  }
}

async function whyNotOnHost(): Promise<string | undefined> {
  const tail = ['dev', 'lo', 'table', TABLE_TRIAL, 'proto', PROTOCOL];
  const made: HostCommand[] = [];
  try {
    for (const [family, destination, ...encapsulation] of SEG6_HOST_ROUTES) {
      const route = [destination, ...encapsulation, ...tail];
      // What a trial left that was killed in the middle is proof enough.
      await runUnless(ip(family, 'route', 'add', ...route), isAlreadyThere);
      made.push(ip(family, 'route', 'del', destination, ...tail));
    }
    return undefined;
  } catch (error) {
    return firstLine(error);
  } finally {
    for (const command of made) await runUnless(command, isAlreadyGone);
  }
}

/** The encapsulation that will run, or an error that says what the kernel lacks for the one wanted. */
export async function chooseEncapsulation(
  wanted: 'auto' | 'seg6' | 'ip6tnl' | 'own',
  mesh = false,
): Promise<'seg6' | 'ip6tnl' | 'own'> {
  if (wanted === 'own') return 'own';
  const support = await probeEncapsulation();
  if (wanted === 'auto') return firstChoice(support, mesh);
  if (support[wanted]) return wanted;
  if (wanted === 'ip6tnl' && support.ip6tnlUntried)
    throw forbidden(
      'HOST_NO_SYS_ADMIN',
      'Whether the kernel has ip6tnl can be tried with CAP_SYS_ADMIN only; run as root, give the ' +
        'service that right as well, or choose encapsulation = "auto", "seg6" or "own".',
    );

  throw misfit(
    'HOST_NO_ENCAPSULATION',
    `This kernel cannot encapsulate IPv4 in IPv6 by ${wanted} (${support.reasons[wanted]}); it needs ` +
      'CONFIG_IPV6_SEG6_LWTUNNEL or the module ip6_tunnel, and an iproute2 of 6.0 or later. With ' +
      'encapsulation = "auto" another way is taken, and "own" needs nothing of the kernel.',
  );
}

/** What "auto" means on a kernel with this support. */
export function firstChoice(
  support: EncapsulationSupport,
  mesh = false,
): 'seg6' | 'ip6tnl' | 'own' {
  if (support.seg6) return 'seg6';
  return support.ip6tnl && !mesh ? 'ip6tnl' : 'own';
}

async function whyNot(lines: string[]): Promise<string | undefined> {
  const trial: HostCommand = {
    program: 'unshare',
    args: ['--net', 'sh', '-c', `set -e; ${lines.join('; ')}`],
  };
  try {
    await run(trial);
    return undefined;
  } catch (error) {
    return firstLine(error);
  }
}

/** What the kernel or the command said. */
function firstLine(error: unknown): string {
  const said = error instanceof CommandError ? error.stderr : '';
  return (said || messageOf(error)).split('\n')[0];
}

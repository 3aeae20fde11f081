/**
 * Which way of IPv4 in IPv6 this kernel has, tried out and not guessed from names of modules.
 *
 *   seg6     reduced SRv6 encapsulation with one segment: plain IPv4-in-IPv6, keeps superpackets
 *   ip6tnl   the tunnel device, second choice
 *
 * The trial runs in a network namespace of its own that ends with the trial: the host's own
 * settings stay untouched, and modules are loaded as they would be in earnest.
 */
import { CommandError, messageOf, misfit } from './errors.ts';
import { type HostCommand, run } from './run.ts';

export interface EncapsulationSupport {
  seg6: boolean;
  ip6tnl: boolean;
  /** What the kernel or `ip` said against each that is missing. */
  reasons: { seg6?: string; ip6tnl?: string };
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

export async function probeEncapsulation(): Promise<EncapsulationSupport> {
  const [seg6, ip6tnl] = await Promise.all([whyNot(SEG6_TRIAL), whyNot(IP6TNL_TRIAL)]);
  return {
    seg6: seg6 === undefined,
    ip6tnl: ip6tnl === undefined,
    reasons: { seg6, ip6tnl },
  };
}

/** The encapsulation that will run, or an error that says what each of them lacks. */
export async function chooseEncapsulation(
  wanted: 'auto' | 'seg6' | 'ip6tnl',
): Promise<'seg6' | 'ip6tnl'> {
  const support = await probeEncapsulation();
  const order = wanted === 'auto' ? (['seg6', 'ip6tnl'] as const) : ([wanted] as const);
  const first = order.find((kind) => support[kind]);
  if (first !== undefined) return first;

  const said = order.map((kind) => `${kind}: ${support.reasons[kind]}`).join('; ');
  throw misfit(
    'HOST_NO_ENCAPSULATION',
    `This kernel cannot encapsulate IPv4 in IPv6 (${said}); it needs CONFIG_IPV6_SEG6_LWTUNNEL ` +
      'or the module ip6_tunnel, and an iproute2 of 6.0 or later.' +
      (wanted === 'auto' ? '' : ' With encapsulation = "auto" the other way is tried too.'),
  );
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
    const said = error instanceof CommandError ? error.stderr : '';
    return (said || messageOf(error)).split('\n')[0];
  }
}

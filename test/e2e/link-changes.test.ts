/**
 * Interfaces that go and come back: the kernel forgets what led over them, and the gateway makes it
 * anew by itself. At the end the host is as it was before, all the same.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type HostState, hostState, stateDifferences } from '../../lab/host-state.ts';
import { ADDRESS, configuration } from '../../lab/lines.ts';
import { type Namespace, until } from '../../lab/netns.ts';
import { ping } from '../../lab/services.ts';
import { GATEWAY_LAN_ADDRESS, LOAD_ADDRESS, PROVIDER_SHARED, SERVER } from '../../lab/topology.ts';
import { type Bed, type BedOptions, withBed } from './support.ts';

/** "Within a few seconds", on a machine that other tests load as well. */
const RECOVERY_MILLISECONDS = 10_000;
const WAN_MAC = '02:00:00:00:77:01';

interface LogLine {
  message: string;
  level: number;
  /** Of a repair. */
  missing?: string[];
}

const WARNING = 40;

const logOf = (bed: Bed): LogLine[] =>
  bed.gateway.process.stderr
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LogLine);

async function passes(bed: Bed): Promise<boolean> {
  return (await ping(bed.lab.hosts[0], SERVER, { count: 1 })).received === 1;
}

/** Once the world outside is as before, forwarding comes back by itself, and the status says so. */
async function recovers(bed: Bed, restoring: () => Promise<unknown>): Promise<void> {
  await restoring();
  await until('a ping to pass again', () => passes(bed), RECOVERY_MILLISECONDS);
  await until(
    'the status to say so',
    async () => (await bed.gateway.control.status()).degraded === undefined,
    RECOVERY_MILLISECONDS,
  );
  assert.equal((await bed.gateway.portfold('status')).code, 0);
}

const degradedBy = (bed: Bed, pattern: RegExp): Promise<string> =>
  until(
    `the status to name ${pattern}`,
    async () => {
      const { degraded } = await bed.gateway.control.status();
      return degraded !== undefined && pattern.test(degraded) ? degraded : undefined;
    },
    RECOVERY_MILLISECONDS,
  );

/** Numbers of interfaces are not the gateway's to keep. */
async function stateOf(namespace: Namespace): Promise<HostState> {
  const state = await hostState(namespace);
  return Object.fromEntries(
    Object.entries(state).map(([key, text]) => [key, text.replace(/@if\d+/g, '@if')]),
  );
}

async function assertUndone(bed: Bed, before: HostState): Promise<void> {
  const end = await bed.gateway.stop();
  assert.equal(end.code, 0, end.stderr);
  assert.deepEqual(stateDifferences(before, await stateOf(bed.lab.gateway)), []);
}

describe('links that change under a MAP-E line', () => {
  const bed = withBed({ line: 'map-e', start: false });
  let untouched: HostState;

  before(async () => {
    untouched = await stateOf(bed.lab.gateway);
    await bed.gateway.start();
    assert.ok(await passes(bed));
  });

  it('the line goes down: status says why and exits with 1; up again, it goes on', async () => {
    await bed.lab.gateway.ip(['link set wan0 down']);
    await degradedBy(bed, /wan0/);
    const status = await bed.gateway.portfold('status');
    assert.equal(status.code, 1);
    assert.match(status.stdout, /! packets do not pass: .*wan0/);
    assert.equal(await passes(bed), false);

    await recovers(bed, () =>
      bed.lab.gateway.ip([
        'link set wan0 up',
        'address add fe80::2/64 dev wan0 nodad',
        'address add 2001:db8:feed::2/64 dev wan0 nodad',
        'route add default via fe80::1 dev wan0',
      ]),
    );
    const warnings = logOf(bed).filter(({ level }) => level >= WARNING);
    assert.equal(warnings.length, 1, JSON.stringify(warnings));
    assert.ok(logOf(bed).some(({ message }) => message === 'forwarding again'));
  });

  it('the TUN goes down and up', async () => {
    await recovers(bed, () =>
      bed.lab.gateway.ip(['link set portfold0 down', 'link set portfold0 up']),
    );
  });

  it('the TUN goes down and nobody takes it up', async () => {
    await recovers(bed, () => bed.lab.gateway.ip(['link set portfold0 down']));
  });

  it('the LAN is deleted and made again', async () => {
    await recovers(bed, () =>
      bed.lab.gateway.ip([
        'link del lan0',
        'link add lan0 type bridge',
        ...['h1', 'h2', 'load'].map((port) => `link set ${port} master lan0`),
        'link set lan0 up',
        `address add ${GATEWAY_LAN_ADDRESS}/24 dev lan0`,
        `route add 10.64.0.0/16 via ${LOAD_ADDRESS}`,
      ]),
    );
  });

  it('a network of the LAN that comes later is served, and the MTU follows the line', async () => {
    await bed.lab.gateway.ip(['address add 192.168.8.1/24 dev lan0', 'link set wan0 mtu 1400']);
    await until(
      'the status to have both',
      async () => {
        const { lans, lines } = await bed.gateway.control.status();
        return lines[0].mtu === 1360 && lans[0].networks.includes('192.168.8.0/24');
      },
      RECOVERY_MILLISECONDS,
    );
    await bed.lab.hosts[0].ip(['address add 192.168.8.11/24 dev eth0']);
    const from = await bed.lab.hosts[0].run('ping', ['-c1', '-W2', '-I', '192.168.8.11', SERVER], {
      check: false,
    });
    assert.equal(from.code, 0, from.stdout);
    const tooBig = await ping(bed.lab.hosts[0], SERVER, {
      count: 1,
      bytes: 1361 - 28,
      dontFragment: true,
    });
    assert.match(tooBig.output, /mtu = 1360/);
    await bed.lab.gateway.ip(['address del 192.168.8.1/24 dev lan0', 'link set wan0 mtu 1500']);
    await until(
      'the status to have neither',
      async () => {
        const { lans, lines } = await bed.gateway.control.status();
        return lines[0].mtu === 1460 && !lans[0].networks.includes('192.168.8.0/24');
      },
      RECOVERY_MILLISECONDS,
    );
  });

  it('our nftables table is deleted: doctor sees it, the next look brings it back', async () => {
    const { gateway } = bed.lab;
    const doctor = () => bed.gateway.portfold('doctor', '-c', bed.gateway.configFile);
    const whole = await doctor();
    assert.match(whole.stdout, /everything that the gateway set is there/);

    // Stopped, so that it cannot be quicker than doctor.
    bed.gateway.process.kill('SIGSTOP');
    try {
      await gateway.run('nft', ['delete', 'table', 'inet', 'portfold']);
      const broken = await doctor();
      assert.match(broken.stdout, /problem +host settings: missing: nftables table/);
      assert.equal(broken.code, 1);
    } finally {
      bed.gateway.process.kill('SIGCONT');
    }
    await gateway.ip(['link add pfl-other type bridge', 'link del pfl-other']);
    await until(
      'the table to be back',
      async () => {
        const list = await gateway.run('nft', ['list', 'tables']);
        return list.stdout.includes('inet portfold');
      },
      RECOVERY_MILLISECONDS,
    );
  });

  it('SIGTERM leaves everything as it was', () => assertUndone(bed, untouched));

  it('no child outlives a gateway that is killed', async () => {
    await bed.gateway.start();
    const inside = async (): Promise<string[]> =>
      (await bed.lab.gateway.run('ip', ['netns', 'pids', bed.lab.gateway.name])).stdout
        .split('\n')
        .filter((pid) => pid !== '' && isMonitor(pid));
    await until('the child to run', async () => (await inside()).length === 1);
    await bed.gateway.stop('SIGKILL');
    await until('the child to end', async () => (await inside()).length === 0);
    // What was left is taken back, so that the lab ends as every other.
    await bed.gateway.start();
    await assertUndone(bed, untouched);
  });
});

function isMonitor(pid: string): boolean {
  try {
    return /^ip\0monitor/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
}

describe('links that change under an address line', () => {
  const bed = withBed({ line: 'address', start: false });
  let untouched: HostState;

  before(async () => {
    // The address of the link is what the host's own IPv6 address there is made from.
    await bed.lab.gateway.ip([
      'link set wan0 down',
      `link set wan0 address ${WAN_MAC}`,
      'link set wan0 up',
      'route add default via 192.0.2.1',
    ]);
    untouched = await stateOf(bed.lab.gateway);
    await bed.gateway.start();
    assert.ok(await passes(bed));
  });

  it('the line is deleted and made again, as PPP does', async () => {
    const { gateway, provider } = bed.lab;
    await gateway.ip(['link del wan0']);
    await degradedBy(bed, /wan0 is gone/);
    await recovers(bed, async () => {
      await gateway.ip([
        `link add wan0 address ${WAN_MAC} type veth peer name gw0 netns ${provider.name}`,
        'link set wan0 up',
        'address add 192.0.2.2/30 dev wan0',
      ]);
      await provider.ip([
        'link set gw0 up',
        'address add 192.0.2.1/30 dev gw0',
        `route add ${ADDRESS.externalAddress}/32 via 192.0.2.2`,
      ]);
      await gateway.ip(['route add default via 192.0.2.1']);
    });
  });

  it('no default route: status says so', async () => {
    const { gateway } = bed.lab;
    await gateway.ip(['route del default via 192.0.2.1']);
    await degradedBy(bed, /default route/);
    await recovers(bed, () => gateway.ip(['route add default via 192.0.2.1']));
  });

  it('the LAN loses its address and gets it back', async () => {
    const { gateway } = bed.lab;
    await gateway.ip([`address del ${GATEWAY_LAN_ADDRESS}/24 dev lan0`]);
    await degradedBy(bed, /lan0 has no IPv4 address/);
    await recovers(bed, () =>
      gateway.ip([
        `address add ${GATEWAY_LAN_ADDRESS}/24 dev lan0`,
        `route add 10.64.0.0/16 via ${LOAD_ADDRESS}`,
      ]),
    );
  });

  it('our rules and routes are flushed by somebody', async () => {
    await recovers(bed, () =>
      bed.lab.gateway.ip([
        'rule flush',
        'rule add pref 32766 table main',
        'route flush table 7600',
      ]),
    );
  });

  it('SIGTERM leaves everything as it was', async () => {
    // The flush took the kernel's own rule for the default table, which is not the gateway's to bring back.
    await bed.lab.gateway.ip(['rule add pref 32767 table default']);
    await assertUndone(bed, untouched);
  });
});

const ownConfig = configuration('map-e', { runtimeDirectory: 'DIR' }).replace(
  'type = "map-e"',
  'type = "map-e"\nencapsulation = "own"',
);

const KINDS: [string, BedOptions][] = [
  ['a MAP-E line', { line: 'map-e' }],
  ['a MAP-E line with own encapsulation', { line: 'map-e', gateway: { config: ownConfig } }],
  ['an address line', { line: 'address' }],
  ["the host's own address", { line: 'address', shared: true }],
];

for (const [name, options] of KINDS)
  describe(`looking at the host, on ${name}`, () => {
    const bed = withBed(options);

    it('finds what is missing, once, and nothing else', async () => {
      // This look comes after the one at the start, which therefore must have found nothing.
      await bed.lab.gateway.ip(['link set portfold0 down']);
      await until('a ping to pass again', () => passes(bed), RECOVERY_MILLISECONDS);
      // And after this one nothing more than a route that is ours to make.
      await bed.lab.gateway.ip(['route flush table 7600']);
      await until('a ping to pass again', () => passes(bed), RECOVERY_MILLISECONDS);
      const repairs = await until(
        'both repairs to be told',
        () => {
          const told = logOf(bed).filter(({ missing }) => missing !== undefined);
          return told.length >= 2 ? told : undefined;
        },
        RECOVERY_MILLISECONDS,
      );
      const [first, second] = repairs.map(({ missing }) => missing!);
      assert.equal(repairs.length, 2, JSON.stringify(repairs));
      assert.ok(first.includes('TUN portfold0'));
      assert.ok(
        first.every((id) => id.includes('portfold0')),
        `${first}`,
      );
      assert.ok(
        second.every((id) => / table 7600 /.test(id)),
        `${second}`,
      );
    });
  });

describe("the host's own address, shared with the gateway", () => {
  const bed = withBed({ line: 'address', shared: true });

  it('is taken from the host and given back', async () => {
    const { gateway } = bed.lab;
    await gateway.ip([`address del ${ADDRESS.externalAddress}/24 dev wan0`]);
    await degradedBy(bed, /no longer has the address/);
    await recovers(bed, () =>
      gateway.ip([
        `address add ${ADDRESS.externalAddress}/24 dev wan0`,
        `route add default via ${PROVIDER_SHARED}`,
      ]),
    );
  });
});

/**
 * What the gateway cannot do it says in one sentence with what to do, ends with the right code, and
 * leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Gateway } from '../../lab/gateway.ts';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import { configuration } from '../../lab/lines.ts';
import { withBed } from './support.ts';

const GOOD = configuration('map-e', { runtimeDirectory: 'DIR' });

interface Refusal {
  name: string;
  config: string;
  /** Words in front of the gateway's command. */
  prefix?: string[];
  code: number;
  /** Each must be in what it says. */
  says: RegExp[];
}

/** Nothing must stay in a runtime directory that is too small. */
const noRoom = (size: string, says: RegExp): Refusal => ({
  name: `${size} of room in the runtime directory`,
  config: GOOD.replace('DIR', '/mnt/state/deep'),
  prefix: [
    ...['sh', '-c'],
    `mount -t tmpfs -o size=${size} none /mnt; "$@"; code=$?; ls -AR /mnt | sed 's/^/left: /' >&2; exit $code`,
    'sh',
  ],
  code: 1,
  says: [says, /\/mnt\/state\/deep/, /^left: \/mnt:\n$/m],
});

const REFUSALS: Refusal[] = [
  {
    name: 'a LAN interface that is not there',
    config: GOOD.replace('lan0', 'lan9'),
    code: 78,
    says: [/lan9/, /lan0/],
  },
  {
    name: 'a WAN interface that is not there',
    config: GOOD.replace('wan0', 'wan9'),
    code: 78,
    says: [/wan9/, /wan0/],
  },
  {
    name: 'a WAN interface that is not there, with prefix = "auto"',
    config: GOOD.replace('wan0', 'wan9').replace(/^prefix = .*$/m, 'prefix = "auto"'),
    code: 78,
    says: [/no interface "wan9"; it has: .*wan0/, /prefix = "auto"/],
  },
  {
    name: 'no prefix yet with prefix = "auto"',
    config: GOOD.replace('wan0', 'lan0')
      .replace('"lan0"]', '"other0"]')
      .replace(/^prefix = .*$/m, 'prefix = "auto"'),
    code: 1,
    says: [/prefix = "auto": lan0 has no global IPv6 prefix yet.*wait for/],
  },
  {
    name: 'a read-only runtime directory',
    config: GOOD.replace('DIR', '/mnt/state'),
    prefix: ['sh', '-c', 'mount -t tmpfs -o ro none /mnt && exec "$@"', 'sh'],
    code: 4,
    says: [/\/mnt\/state cannot be made \(.*read-only/, /runtime-directory/],
  },
  noRoom('64k', /host-snapshot\.json cannot be written \(ENOSPC/),
  noRoom('4m', /arena needs \d+ bytes.*ENOSPC/),
  {
    name: 'a prefix outside of the rules of the service',
    config: GOOD.replace('240b:10:1234:5600::/56', '2001:db8:1234:5600::/56'),
    code: 78,
    says: [/2001:db8:1234:5600::\/56/, /240b:10::\/30/],
  },
  {
    name: 'a port set with nothing in it',
    config: configuration('address', { runtimeDirectory: 'DIR' }).replace(
      /^ports = .*$/m,
      'ports = []',
    ),
    code: 78,
    says: [/ports/, /empty/],
  },
  {
    name: 'a key that does not exist',
    config: GOOD.replace('service =', 'servcie ='),
    code: 78,
    says: [/portfold\.toml:\d+:\d+/, /servcie/, /service/],
  },
  {
    name: 'no /dev/net/tun',
    config: GOOD,
    prefix: ['sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'],
    code: 1,
    says: [/\/dev\/net\/tun/],
  },
  {
    name: 'no rights',
    config: GOOD,
    prefix: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
    code: 4,
    says: [/root|CAP_NET_ADMIN/],
  },
];

describe('refusals at the start', () => {
  const bed = withBed({ line: 'map-e', start: false });

  for (const refusal of REFUSALS)
    it(`${refusal.name}: exit code ${refusal.code}`, async () => {
      const before = await hostState(bed.lab.gateway);
      const gateway = new Gateway(bed.lab, { config: refusal.config });
      const result = await gateway.spawn(refusal.prefix).ended;
      assert.equal(result.code, refusal.code, result.stderr);
      assert.match(result.stderr, /^portfold: /m);
      for (const pattern of refusal.says) assert.match(result.stderr, pattern);
      assert.doesNotMatch(result.stderr, /^\s+at /m, 'a stack trace is no sentence');
      assert.equal(result.stdout, '');
      assert.deepEqual(stateDifferences(before, await hostState(bed.lab.gateway)), []);
      assert.equal(existsSync(gateway.socket), false);
      assert.equal(existsSync(join(gateway.folder, 'state')), false);
    });

  it('a second gateway on the same socket: exit code 1, and the first one goes on', async () => {
    const status = await bed.gateway.start();
    const before = await hostState(bed.lab.gateway);
    const second = new Gateway(bed.lab);
    second.socket = bed.gateway.socket;
    const result = await second.spawn().ended;
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, /^portfold: /m);
    assert.match(result.stderr, new RegExp(bed.gateway.socket.replaceAll('.', '\\.')));
    assert.doesNotMatch(result.stderr, /^\s+at /m);
    assert.deepEqual(stateDifferences(before, await hostState(bed.lab.gateway)), []);
    assert.equal((await bed.gateway.control.status()).pid, status.pid);
    assert.equal(existsSync(join(second.folder, 'state')), false);

    const third = new Gateway(bed.lab);
    const elsewhere = await third.spawn().ended;
    assert.equal(elsewhere.code, 1, elsewhere.stderr);
    assert.match(elsewhere.stderr, /another portfold gateway runs in this network namespace/i);
    assert.equal(existsSync(join(third.folder, 'state')), false);
    assert.equal(existsSync(third.socket), false);
    assert.equal((await bed.gateway.control.status()).pid, status.pid);
  });
});

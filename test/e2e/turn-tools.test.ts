/**
 * Filtering (RFC 4787 REQ-8) and hairpin (REQ-9), seen by clients that nobody here wrote: coturn's
 * turnutils_natdiscovery with -f and -H, and stun of the package stun-client (RFC 3489).
 *
 * What -H says is weak: that a request came, from whomever, and silence with exit code 0 when none
 * did. So stun is asked as well, and two hosts exchange datagrams by their external endpoints and
 * look at who sent them. The control is the kernel's masquerade, which filters by address and port
 * and has no hairpin: the tools must say so.
 */
import assert from 'node:assert/strict';
import { externalAddress, type LineType } from '../../lab/lines.ts';
import { type Namespace, until } from '../../lab/netns.ts';
import { natDiscovery, startStun } from '../../lab/services.ts';
import { buildLab, type Lab, SERVER } from '../../lab/topology.ts';
import { requirePrograms, withBed } from './support.ts';

const PROGRAMS = ['turnserver', 'stun', 'socat'];
const FIRST = '192.168.7.11';
const SECOND = '192.168.7.12';
const TIMEOUT_MS = 40_000;

/** What turnutils_natdiscovery concludes about filtering, in its words. */
async function filtering(host: Namespace, port: number): Promise<string> {
  const said = await discover(host, '-f', port);
  return said.match(/^.*Filtering!.*$/m)?.[0].trim() ?? said;
}

async function discover(host: Namespace, flag: '-f' | '-H', port: number): Promise<string> {
  const words = [flag, '-L', FIRST, '-l', String(port), SERVER];
  const result = await host.run('turnutils_natdiscovery', words, { timeoutMs: TIMEOUT_MS });
  return result.stdout + result.stderr;
}

/** The line in which stun sums up what it found. Its exit code is that sum as bits. */
async function stunSummary(host: Namespace, port: number): Promise<string> {
  const words = [SERVER, '-p', String(port)];
  const result = await host.run('stun', words, { check: false, timeoutMs: TIMEOUT_MS });
  return result.stdout.match(/^Primary: (.*)$/m)?.[1].trim() ?? result.stdout;
}

/** Takes one datagram at a local port; resolves with who sent it. */
async function receive(host: Namespace, port: number): Promise<() => Promise<string>> {
  const words = ['-u', `UDP4-RECVFROM:${port}`, 'SYSTEM:echo from $SOCAT_PEERADDR $SOCAT_PEERPORT'];
  const child = host.start('socat', words);
  await until('socat to listen', async () =>
    (await host.run('ss', ['-Hlun', 'sport', '=', `:${port}`])).stdout.includes(`:${port}`),
  );
  return async () => (await child.line(/from (\S+) (\d+)/)).slice(1).join(':');
}

async function send(host: Namespace, port: number, to: string): Promise<void> {
  await host.run('socat', ['-u', '-', `UDP4-SENDTO:${to},bind=:${port}`], { input: 'hello\n' });
}

async function bothWaysByTheExternalAddress(lab: Lab): Promise<void> {
  const [one, other] = lab.hosts;
  // STUN makes each the owner of its port, which is what a peer does before it talks to another.
  const first = await natDiscovery(one, FIRST, 5200);
  const second = await natDiscovery(other, SECOND, 5200);
  const address = externalAddress(lab.line);
  assert.ok(first.reflexive.startsWith(`${address}:`), first.output);
  assert.ok(second.reflexive.startsWith(`${address}:`), second.output);

  const atFirst = await receive(one, 5200);
  await send(other, 5200, first.reflexive);
  assert.equal(await atFirst(), second.reflexive);
  const atSecond = await receive(other, 5200);
  await send(one, 5200, second.reflexive);
  assert.equal(await atSecond(), first.reflexive);
}

// Each line and each preset once; with PORTFOLD_TEST_FULL=1 every pair of them.
const PAIRS: [LineType, 'home' | 'rfc'][] = [
  ['map-e', 'home'],
  ['address', 'rfc'],
];
if (process.env.PORTFOLD_TEST_FULL === '1') PAIRS.push(['map-e', 'rfc'], ['address', 'home']);

for (const [line, preset] of PAIRS) {
  describe(`filtering and hairpin, ${preset} on ${line}`, () => {
    const bed = withBed({ line, programs: PROGRAMS, gateway: { preset } });

    it('filters by address and leads back to the LAN', async () => {
      const [host] = bed.lab.hosts;
      await startStun(bed.lab.internet, bed.lab.folder);
      const [filter, hairpin, summary] = await Promise.all([
        filtering(host, 5000),
        discover(host, '-H', 5010),
        stunSummary(host, 5020),
      ]);
      assert.equal(filter, 'NAT with Address Dependent Filtering!');
      assert.match(hairpin, /successful hairpinning/);
      assert.match(summary, /^Independent Mapping, Address Dependent Filter, .*will hairpin/);
      await bothWaysByTheExternalAddress(bed.lab);
    });
  });
}

describe('filtering and hairpin of the kernel’s masquerade', () => {
  let lab: Lab;
  before(async function () {
    requirePrograms(this, PROGRAMS);
    lab = await buildLab({ line: 'address', hosts: 1 });
    await lab.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    await lab.gateway.run('nft', ['-f', '-'], {
      input:
        'table ip nat { chain out { type nat hook postrouting priority 100; ' +
        'oifname "wan0" masquerade; }; }\n',
    });
  });
  after(() => lab?.remove());

  it('is told apart from ours by each of the tools', async () => {
    const [host] = lab.hosts;
    await startStun(lab.internet, lab.folder);
    const [filter, hairpin, summary] = await Promise.all([
      filtering(host, 5000),
      discover(host, '-H', 5010),
      stunSummary(host, 5020),
    ]);
    assert.equal(filter, 'NAT with Address and Port Dependent Filtering!');
    assert.doesNotMatch(hairpin, /successful hairpinning/);
    assert.match(summary, /Port Dependent Filter, .*no hairpin/);
  });
});

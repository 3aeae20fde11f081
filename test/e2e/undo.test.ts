/**
 * The host's settings are as before once the gateway has ended, however it was set up, and even if
 * it was killed.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from '../../lab/audit.ts';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import { configuration } from '../../lab/lines.ts';
import type { Namespace } from '../../lab/netns.ts';
import { ping } from '../../lab/services.ts';
import { assertClean, type BedOptions, withBed } from './support.ts';

/** A host that had a life before: rules, routes, strict source checks, forwarding on. */
async function settle(gateway: Namespace): Promise<void> {
  await gateway.run('nft', ['-f', '-'], {
    input: `
table inet mine {
  chain input { type filter hook input priority 0; policy accept; tcp dport 9 drop; }
}
table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "other0" masquerade; }
}
`,
  });
  await gateway.ip([
    'rule add pref 32000 fwmark 0x77 lookup 77',
    'route add 192.0.2.128/25 via 192.168.7.20 table 77',
    'route add blackhole 192.0.2.64/27',
  ]);
  await gateway.sysctl({
    'net.ipv4.ip_forward': 1,
    'net.ipv4.ip_local_reserved_ports': '8080,59999-60001',
    'net.ipv4.conf.all.rp_filter': 1,
    'net.ipv4.conf.lan0.rp_filter': 1,
    'net.ipv4.conf.wan0.log_martians': 1,
    'net.ipv6.conf.wan0.mldv1_unsolicited_report_interval': 9999,
  });
}

const OWN = configuration('map-e', { runtimeDirectory: 'DIR' }).replace(
  'type = "map-e"',
  'type = "map-e"\nencapsulation = "own"',
);

const LINES: [string, BedOptions][] = [
  ['a map-e line', { line: 'map-e' }],
  ['a map-e line with own encapsulation', { line: 'map-e', gateway: { config: OWN } }],
  ['an address line', { line: 'address' }],
  ["the host's own address", { line: 'address', shared: true }],
];

for (const [name, options] of LINES)
  for (const kind of ['untouched', 'settled'] as const)
    describe(`undo on ${name}, ${kind} host`, () => {
      const bed = withBed({ ...options, start: false });

      it('SIGTERM leaves everything as it was', async () => {
        if (kind === 'settled') await settle(bed.lab.gateway);
        const before = await hostState(bed.lab.gateway);
        await bed.gateway.start();
        const during = await hostState(bed.lab.gateway);
        assert.ok(stateDifferences(before, during).length > 5, 'the comparison sees nothing');
        const result = await ping(bed.lab.hosts[0]);
        assert.equal(result.received, result.sent, result.output);
        const end = await bed.gateway.stop();
        assert.equal(end.code, 0, end.stderr);
        assert.deepEqual(stateDifferences(before, await hostState(bed.lab.gateway)), []);
        assert.equal(existsSync(bed.gateway.socket), false);
      });
    });

for (const [name, options] of LINES)
  describe(`a gateway on ${name} that was killed`, () => {
    const bed = withBed({ ...options, start: false, programs: ['tcpdump'] });

    it('leaks nothing; the next one adopts it and then leaves everything as it was', async () => {
      const before = await hostState(bed.lab.gateway);
      const capture = await Capture.start(bed.lab);
      await bed.gateway.start();
      assert.equal((await ping(bed.lab.hosts[0])).received, 3);
      await bed.gateway.stop('SIGKILL');
      const orphaned = await ping(bed.lab.hosts[0]);
      assert.equal(orphaned.received, 0);
      assert.doesNotMatch(orphaned.output, /Unreachable/i);

      await bed.gateway.start();
      assert.equal((await ping(bed.lab.hosts[0])).received, 3);
      const end = await bed.gateway.stop();
      assert.equal(end.code, 0, end.stderr);
      assert.deepEqual(stateDifferences(before, await hostState(bed.lab.gateway)), []);
      const audit = await capture.stop();
      assertClean(audit, 6);
      assert.equal(audit.resets, 0);
    });

    it('is cleaned away by `portfold doctor --clean`', async () => {
      const before = await hostState(bed.lab.gateway);
      await bed.gateway.start();
      await bed.gateway.stop('SIGKILL');
      const result = await bed.gateway.portfold('doctor', '--clean', '-c', bed.gateway.configFile);
      assert.deepEqual(
        stateDifferences(before, await hostState(bed.lab.gateway)),
        [],
        result.stdout,
      );
      // Nor does it leave the sessions or the socket of the dead gateway.
      const arena = join(bed.gateway.folder, 'state', 'arena');
      assert.ok(result.stdout.includes(`clean: removed ${bed.gateway.socket}\n`), result.stdout);
      assert.match(result.stdout, /clean: removed \/\S*(?:arena|portfold-[0-9a-f]{12})\n/);
      assert.equal(existsSync(arena), false);
      assert.equal(existsSync(bed.gateway.socket), false);
      const again = await bed.gateway.portfold('doctor', '--clean', '-c', bed.gateway.configFile);
      assert.match(again.stdout, /clean: nothing was left/);
    });
  });

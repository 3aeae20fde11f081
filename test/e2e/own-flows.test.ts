/**
 * The gateway's own flows on a MAP-E line pass through its TUN as well. Behind a firewall of the host
 * that knows connections they work exactly if what comes from the TUN for the host is tracked; what only
 * goes through must not be.
 */
import assert from 'node:assert/strict';
import { page, startWebServer, WEB_GREETING } from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { withBed } from './support.ts';

describe("the gateway's own flows through its TUN", () => {
  const bed = withBed({ line: 'map-e', programs: ['nft', 'conntrack', 'curl', 'ping', 'nginx'] });

  it('are tracked by the host, and those of the LAN are not', async () => {
    const { gateway, internet, hosts, folder } = bed.lab;
    await startWebServer(internet, folder, 1000);
    await gateway.run('nft', ['-f', '-'], {
      input: `table inet host_firewall {
        chain input {
          type filter hook input priority 0; policy drop;
          ct state established accept
          iifname { "lo", "lan0" } accept
          meta l4proto ipv6-icmp accept
        }
      }`,
    });
    assert.equal(await page(gateway), WEB_GREETING);
    assert.equal(await page(hosts[0]), WEB_GREETING);
    await gateway.run('ping', ['-n', '-c', '1', '-W', '2', SERVER]);

    const { stdout } = await gateway.run('conntrack', ['-L']);
    assert.match(stdout, /^tcp .*src=192\.168\.7\.1 dst=203\.0\.113\.10 /m);
    assert.doesNotMatch(stdout, /192\.168\.7\.11/);
  });
});

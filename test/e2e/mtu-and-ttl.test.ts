/**
 * Packets that are too big or too old are answered by whoever must, from an address that the LAN
 * host can see.
 */
import assert from 'node:assert/strict';
import { ADDRESS, MAP_E } from '../../lab/lines.ts';
import { download, ping, startWebServer, tracepath } from '../../lab/services.ts';
import { GATEWAY_LAN_ADDRESS, SERVER } from '../../lab/topology.ts';
import { type Bed, withBed } from './support.ts';

const PROGRAMS = ['ping', 'tracepath', 'curl', 'nginx'];
const ICMP_AND_IPV4_BYTES = 28;

/** `ping -t`: who says that the time is over? */
async function expiredAt(bed: Bed, ttl: number): Promise<string | undefined> {
  const words = ['-n', '-c', '1', '-W', '2', '-t', String(ttl), SERVER];
  const result = await bed.lab.hosts[0].run('ping', words, { check: false });
  return result.stdout.match(/From (\S+) icmp_seq=1 Time to live exceeded/)?.[1];
}

describe('MTU and TTL on a MAP-E line', () => {
  const bed = withBed({ line: 'map-e', programs: PROGRAMS });

  it('a packet too big for the tunnel is answered from the LAN address, with the MTU', async () => {
    const result = await ping(bed.lab.hosts[0], SERVER, {
      bytes: 1500 - ICMP_AND_IPV4_BYTES,
      count: 1,
      dontFragment: true,
    });
    assert.match(
      result.output,
      new RegExp(`From ${GATEWAY_LAN_ADDRESS} icmp_seq=1 Frag needed and DF set \\(mtu = 1460\\)`),
    );
  });

  it('a packet that just fits passes', async () => {
    const bytes = MAP_E.ipv4Mtu - ICMP_AND_IPV4_BYTES;
    const result = await ping(bed.lab.hosts[1], SERVER, { bytes, dontFragment: true });
    assert.equal(result.received, result.sent, result.output);
  });

  it('tracepath finds 1460', async () => {
    const result = await tracepath(bed.lab.hosts[1]);
    assert.ok(result.reached, result.output);
    assert.equal(result.pmtu, MAP_E.ipv4Mtu);
  });

  it('the last hop of a packet is answered by the gateway, the next by the relay', async () => {
    assert.equal(await expiredAt(bed, 1), GATEWAY_LAN_ADDRESS);
    assert.equal(await expiredAt(bed, 2), '192.0.2.9');
  });
});

describe('errors from inside the tunnel', () => {
  const bed = withBed({ line: 'map-e', programs: PROGRAMS });
  const OUTER_MTU = 1380;

  it('Packet Too Big of a narrow IPv6 link is told to the host as 3/4 with the MTU less 40', async () => {
    await bed.lab.provider.ip([`link set up0 mtu ${OUTER_MTU}`]);
    const result = await ping(bed.lab.hosts[0], SERVER, {
      bytes: 1400,
      count: 1,
      dontFragment: true,
    });
    assert.match(
      result.output,
      new RegExp(`From ${GATEWAY_LAN_ADDRESS} .*mtu = ${OUTER_MTU - 40}`),
    );
    await bed.lab.provider.ip(['link set up0 mtu 1500']);
  });

  it('a relay that cannot be reached is told as host unreachable', async () => {
    await bed.lab.provider.ip([`route replace unreachable ${MAP_E.brAddress}/128`]);
    const result = await ping(bed.lab.hosts[1], SERVER, { count: 1 });
    assert.match(
      result.output,
      new RegExp(`From ${GATEWAY_LAN_ADDRESS} .*Destination Host Unreachable`),
    );
  });
});

describe('MTU and TTL on an address line with a narrow router behind it', () => {
  const bed = withBed({ line: 'address', farMtu: 1400, programs: PROGRAMS });

  it('tracepath finds 1400', async () => {
    const result = await tracepath(bed.lab.hosts[0]);
    assert.ok(result.reached, result.output);
    assert.equal(result.pmtu, 1400);
  });

  it('the error of the narrow router reaches the host that caused it', async () => {
    const result = await ping(bed.lab.hosts[1], SERVER, {
      bytes: ADDRESS.ipv4Mtu - ICMP_AND_IPV4_BYTES,
      count: 1,
      dontFragment: true,
    });
    assert.match(
      result.output,
      /From 192\.0\.2\.6 icmp_seq=1 Frag needed and DF set \(mtu = 1400\)/,
    );
  });

  it('a file comes through all the same', async () => {
    const { sha256 } = await startWebServer(bed.lab.internet, bed.lab.folder, 20_000_000);
    assert.equal((await download(bed.lab.hosts[0])).sha256, sha256);
  });

  it('the last hop of a packet is answered by the gateway, the next by the provider', async () => {
    assert.equal(await expiredAt(bed, 1), GATEWAY_LAN_ADDRESS);
    assert.equal(await expiredAt(bed, 2), '192.0.2.1');
  });
});

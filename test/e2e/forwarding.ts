/** What must come through any line, as tests to be defined inside a `describe` that has a bed. */
import assert from 'node:assert/strict';
import { Capture } from '../../lab/audit.ts';
import { inPortSet, type LineType } from '../../lab/lines.ts';
import {
  download,
  iperf,
  page,
  ping,
  resolve,
  startIperf,
  startNameServer,
  startWebServer,
  traceroute,
  upload,
  WEB_GREETING,
} from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { assertClean, type Bed, FILE_BYTES } from './support.ts';

export const FORWARDING_PROGRAMS = [
  'tcpdump',
  'ping',
  'traceroute',
  'nginx',
  'curl',
  'dnsmasq',
  'dig',
  'iperf3',
];

const UDP_BITS_PER_SECOND = 5e6;
const UDP_BYTES = 1400;
const UDP_LOST_PERCENT_MAX = 2;
/**
 * A busy machine may starve sender or receiver once, whatever lies between them. A gateway that
 * loses packets loses them every time.
 */
const UDP_ATTEMPTS_MAX = 3;

export function defineForwarding(bed: Bed, line: LineType, hops: string[]): void {
  let capture: Capture;
  let sha256: string;

  before(async () => {
    capture = await Capture.start(bed.lab);
    await startNameServer(bed.lab.internet);
    await startIperf(bed.lab.internet);
    sha256 = (await startWebServer(bed.lab.internet, bed.lab.folder, FILE_BYTES)).sha256;
  });

  it('ping, from two hosts at once', async () => {
    const results = await Promise.all(
      bed.lab.hosts.map((host) => ping(host, SERVER, { count: 5 })),
    );
    for (const result of results) assert.equal(result.received, 5, result.output);
  });

  for (const kind of ['udp', 'icmp', 'tcp'] as const)
    it(`traceroute by ${kind}, with the gateway once`, async () => {
      assert.deepEqual(await traceroute(bed.lab.hosts[0], SERVER, kind), hops);
    });

  it('names', async () => {
    assert.equal(await resolve(bed.lab.hosts[0]), SERVER);
  });

  it('a web page, to two hosts at once', async () => {
    assert.deepEqual(await Promise.all(bed.lab.hosts.map(page)), [WEB_GREETING, WEB_GREETING]);
  });

  it(`${FILE_BYTES / 1e6} MB inbound, whole`, async () => {
    assert.equal((await download(bed.lab.hosts[0])).sha256, sha256);
  });

  it(`${FILE_BYTES / 1e6} MB outbound, whole`, async () => {
    assert.equal((await upload(bed.lab.hosts[0], bed.lab.folder, 'copy')).sha256, sha256);
  });

  for (const reverse of [false, true]) {
    const direction = reverse ? 'inbound' : 'outbound';

    it(`iperf3 TCP ${direction}`, async () => {
      const result = await iperf(bed.lab.hosts[1], { seconds: 2, reverse });
      assert.ok(result.bitsPerSecond > 100e6, `${result.bitsPerSecond / 1e6} Mbit/s`);
    });

    it(`iperf3 UDP ${direction}`, async () => {
      const said: string[] = [];
      for (let attempt = 0; attempt < UDP_ATTEMPTS_MAX; attempt++) {
        const { lostPercent, bitsPerSecond } = await iperf(bed.lab.hosts[1], {
          seconds: 2,
          reverse,
          udpBitsPerSecond: UDP_BITS_PER_SECOND,
          bytes: UDP_BYTES,
        });
        said.push(`${lostPercent} % lost at ${(bitsPerSecond / 1e6).toFixed(2)} Mbit/s`);
        if (lostPercent < UDP_LOST_PERCENT_MAX && bitsPerSecond > UDP_BITS_PER_SECOND * 0.9) return;
      }
      assert.fail(`not one attempt was clean: ${said.join('; ')}`);
    });
  }

  it('the provider saw our address and our ports, and nothing else', async () => {
    const audit = await capture.stop();
    assertClean(audit, 1000);
    assert.ok(audit.ports.size >= 5, 'one port for everything would be no choice');
    assert.ok([...audit.ports.keys()].every((port) => inPortSet(line, port)));
  });

  it('the control API counts what passed, and holds sessions of both hosts', async () => {
    const status = await bed.gateway.control.status();
    assert.ok(status.counters.bytesInbound > FILE_BYTES, `${status.counters.bytesInbound} bytes`);
    assert.ok(status.counters.bytesOutbound > FILE_BYTES);
    const hosts = await bed.gateway.control.list('hosts');
    assert.deepEqual(hosts.items.map((host) => host.address).sort(), [
      '192.168.7.11',
      '192.168.7.12',
    ]);
  });
}

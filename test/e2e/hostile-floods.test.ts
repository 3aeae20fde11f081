/**
 * 100,000 packets a second that nobody asked for, from spoofed sources towards our ports and as ICMP;
 * and a LAN host that opens nothing but new flows. A neighbour's first packet is hardly later than
 * without, whoever had a session keeps it, and a flood from outside makes none.
 */
import assert from 'node:assert/strict';
import { icmp, udp } from '../../bench/fuzz/build.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import type { SessionItem } from '../../gateway/control/api.ts';
import { startEcho, startSink, udpFlows } from '../../lab/flows.ts';
import { ADDRESS, externalAddress, type LineType, portRanges } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { firstPackets, RawFlood, rawSend } from '../../lab/raw.ts';
import { LOAD_NETWORK_FIRST, SERVER } from '../../lab/topology.ts';
import {
  assertUndisturbed,
  bareUdp,
  type Delays,
  dropsOf,
  dropsSince,
  IS_FULL,
  SPOOFED_FIRST,
  swallowSpoofed,
  TURN_MICROS,
  withPrecedence,
} from './hostile.ts';
import { type Bed, withBed } from './support.ts';

const SOURCES = IS_FULL ? 100_000 : 20_000;
const RATE_PER_SECOND = 100_000;
/**
 * Each of these is a session and is forwarded, since no limit holds for a sender of many addresses:
 * with sender, kernel and server beside the gateway two processors are busy with them.
 */
const NEW_FLOWS_PER_SECOND = 20_000;
/** A second and a half of new flows, in the short run two thirds of one. */
const FIRST_FLOWS = IS_FULL ? 1500 : 600;
const FIRST_RATE_PER_SECOND = IS_FULL ? 1000 : 900;
/** Sessions that stand all the while. */
const ESTABLISHED = { flows: 2000, addresses: 20, remotes: 100 };
/** First address of those that measure: behind those of the established sessions. */
const MEASURING_FIRST = '10.64.16.0';
/** First address of the LAN host that floods. */
const FLOODING_FIRST = '10.64.128.0';
const FLOODING_ADDRESSES = 32_768;
const SINK_PORT = 7001;
const STUN_REQUEST = Uint8Array.from([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...Array(12).fill(7)]);
/** Of an address line with tens of thousands of ports: as many as MAP-E has. */
const PORTS_AIMED_AT = 240;

const LINES: LineType[] = ['map-e', 'address'];

for (const line of LINES)
  describe(`floods on a line of type ${line}`, () => {
    withPrecedence();
    const bed = withBed({
      line,
      // As a user starts it: only its datapath goes before others.
      gateway: { capacity: 1 << 20, prefix: ['chrt', '-o', '0'] },
      programs: ['taskset', 'chrt'],
    });
    let ownedPort: number;
    let quotable: { port: number; remote: string };
    let sourcePort = 21_000;
    /** New flows that had no answer; the packet may not have come as far as the gateway. */
    let unanswered = 0;

    /** New flows from `load`, each from an endpoint that was not used before. */
    const measure = async (): Promise<Delays> => {
      const result = await firstPackets(bed.lab.load, {
        flows: FIRST_FLOWS,
        from: MEASURING_FIRST,
        to: '198.18.0.1',
        remotes: 1000,
        sourcePort: sourcePort++,
        ratePerSecond: FIRST_RATE_PER_SECOND,
      });
      const lost = FIRST_FLOWS - result.answered;
      unanswered += lost;
      return { ...result, lost };
    };

    const sessionsOfFirstHost = async (): Promise<SessionItem[]> =>
      (await bed.gateway.control.list('sessions', { filter: ['host=192.168.7.11', 'proto=udp'] }))
        .items;

    before(async () => {
      await swallowSpoofed(bed.lab);
      await startEcho(bed.lab.internet);
      await startSink(bed.lab.internet, { port: SINK_PORT, idleMs: 60_000 });
      const { hosts, load } = bed.lab;
      const established = await udpFlows(load, {
        ...ESTABLISHED,
        from: LOAD_NETWORK_FIRST,
        rounds: 1,
      });
      assert.equal(established.answeredEveryRound, ESTABLISHED.flows);
      await rawSend(hosts[1], [bareUdp(['192.168.7.12', 5000], [SERVER, 3478], STUN_REQUEST)]);
      ownedPort = await until('an owned port', async () => {
        const filter = ['role=owned'];
        return (await bed.gateway.control.list('ports', { filter })).items[0]?.port;
      });
      await rawSend(hosts[0], [bareUdp(['192.168.7.11', 5001], [SERVER, 7000], new Uint8Array(8))]);
      const session = await until('a session', async () => (await sessionsOfFirstHost())[0]);
      quotable = { port: Number(session.external.split(':')[1]), remote: SERVER };
      await measure();
    });

    /** Compares, and checks that the flood made no session and reached the gateway. */
    async function withstand(
      what: string,
      packets: Uint8Array[],
      sources: number,
      reasons: string[],
    ): Promise<void> {
      const before = await bed.gateway.control.status();
      const dropsBefore = await dropsOf(bed.gateway);
      const sourcePortBefore = sourcePort;
      const unansweredBefore = unanswered;
      let sent = 0;
      const sender = line === 'map-e' ? bed.lab.internet : bed.lab.provider;
      await assertUndisturbed(`first packets beside ${what}`, measure, async () => {
        const flood = await RawFlood.start(sender, packets, {
          ...(sources > 0 ? { from: SPOOFED_FIRST, sources } : {}),
          ratePerSecond: RATE_PER_SECOND,
        });
        const delays = await measure();
        const result = await flood.stop();
        sent += result.sent;
        console.log(`        ${result.perSecond} packets a second`);
        return delays;
      });
      const after = await bed.gateway.control.status();
      const made = after.counters.sessionsCreated - before.counters.sessionsCreated;
      const begun = (sourcePort - sourcePortBefore) * FIRST_FLOWS;
      const without = unanswered - unansweredBefore;
      assert.ok(made <= begun && made >= begun - without, `${made} of ${begun}, ${without} lost`);
      const drops = dropsSince(dropsBefore, await dropsOf(bed.gateway));
      for (const reason of reasons) assert.ok(drops[reason] > 0, JSON.stringify(drops));
      await assertEstablished(bed);
      assert.ok(sent > 0);
    }

    it('spoofed sources towards every port of the set and an owned one', async () => {
      const to = externalAddress(line);
      const packets = portsOf(line).flatMap((port) => [
        bareUdp([SPOOFED_FIRST, 9], [to, port], new Uint8Array(20)),
        bareUdp([SPOOFED_FIRST, 9], [to, ownedPort], new Uint8Array(20)),
      ]);
      const reasons = ['NoSession', 'FilteredByOwner'];
      await withstand(`${SOURCES} spoofed sources`, packets, SOURCES, reasons);
    });

    it('spoofed echo requests and errors about sessions of ours', async () => {
      const head = { from: parseIpv4(SPOOFED_FIRST), to: parseIpv4(externalAddress(line)) };
      const quote = (port: number, remote: string): Uint8Array =>
        udp(
          { from: head.to, fromPort: port, to: parseIpv4(remote), toPort: 7000 },
          new Uint8Array(8),
        );
      const [first] = portsOf(line);
      await withstand(
        'echo requests and errors',
        [
          icmp(head, 8, 0, (first << 16) | 1, new Uint8Array(20)),
          icmp(head, 3, 3, 0, quote(first, '20.1.2.3')),
          icmp(head, 3, 1, 0, quote(quotable.port, quotable.remote)),
        ],
        SOURCES,
        ['IcmpErrorWithoutSession'],
      );
      // RFC 5508 REQ-8: an error ends no session.
      assert.equal((await sessionsOfFirstHost()).length, 1);
    });

    it('a LAN host that opens new flows only, from ever other addresses', async () => {
      const packet = bareUdp([FLOODING_FIRST, 1024], ['198.19.0.1', SINK_PORT], new Uint8Array(20));
      let turn = 0;
      const beside = async (): Promise<Delays> => {
        const flood = await RawFlood.start(
          bed.lab.hosts[0],
          [bareUdp([FLOODING_FIRST, 1024 + turn++], ['198.19.0.1', SINK_PORT], packet.slice(28))],
          {
            from: FLOODING_FIRST,
            sources: FLOODING_ADDRESSES,
            destinations: 500,
            sourcePorts: 100,
            ratePerSecond: NEW_FLOWS_PER_SECOND,
            isOrdinary: true,
            processor: -1,
          },
        );
        const delays = await measure();
        const result = await flood.stop();
        console.log(`        ${result.perSecond} packets a second`);
        return delays;
      };
      const what = 'first packets beside new flows';
      await assertUndisturbed(what, measure, beside, TURN_MICROS);
      await assertEstablished(bed);
    });
  });

function portsOf(line: LineType): number[] {
  if (line === 'address')
    return Array.from({ length: PORTS_AIMED_AT }, (_, i) => ADDRESS.firstPort + i);
  return portRanges(line).flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  );
}

/** Each session that stood before is answered by the same session, hence at the same port. */
async function assertEstablished(bed: Bed): Promise<void> {
  const before = await bed.gateway.control.status();
  const result = await udpFlows(bed.lab.load, {
    ...ESTABLISHED,
    from: LOAD_NETWORK_FIRST,
    rounds: 1,
  });
  assert.equal(result.answeredEveryRound, ESTABLISHED.flows, JSON.stringify(result));
  const after = await bed.gateway.control.status();
  assert.equal(after.counters.sessionsCreated, before.counters.sessionsCreated);
}

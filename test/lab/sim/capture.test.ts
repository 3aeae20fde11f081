import assert from 'node:assert/strict';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../../core/wire/tcp.ts';
import { type Capture, captureOf, replay } from '../../../lab/sim/capture.ts';
import { parseRecording } from '../../../lab/sim/pcap.ts';
import type { Tally } from '../../../lab/sim/tally.ts';
import { type Packet, pcap } from './recordings.ts';
import { FakeRouter, runAll, scenarioOf, worldOf } from './support.ts';

type End = [address: string, port: number];

const HOST: End = ['192.168.7.20', 40_000];
const WEB: End = ['93.184.216.34', 443];
const MODELS = ['portfold', 'linux-masquerade', 'yamaha-type-2'];

const captured = (...packets: Packet[]): Capture =>
  captureOf(parseRecording(pcap(packets, true, false), 'x'));

/** What becomes of a recording behind each of the models. */
function played(capture: Capture): Tally[] {
  const models = MODELS.map((router) => `[[model]]\nrouter = "${router}"\n`).join('');
  const scenario = scenarioOf(
    `duration = "1m"\nports = "v6plus"\n${models}[[users]]\nkind = "mouse"\n`,
  );
  const runs = runAll({ ...scenario, capture, durationMs: capture.durationMs });
  return MODELS.map((name) => runs[name].tally);
}

/** What becomes of it behind a router that refuses the packet of one moment. */
function refusedAt(
  ms: number,
  capture: Capture,
): { refusals: number; missing: Record<string, number> } {
  const router = new FakeRouter();
  router.refuses = (line) => (line.startsWith(`${ms} `) ? 'silent' : undefined);
  const world = worldOf(router, capture.durationMs);
  replay(world, capture);
  world.run(() => {});
  const { refusals } = world.tally;
  return { refusals, missing: world.tally.kinds()[0].missing };
}

const segment = (ms: number, from: End, to: End, flags: number): Packet => ({
  ms,
  from,
  to,
  flags,
  protocol: 'tcp',
});

/** A connection that is opened, and asks and answers once. */
const opened = (ms: number): Packet[] => [
  segment(ms, HOST, WEB, TCP_SYN),
  segment(ms + 20, WEB, HOST, TCP_SYN | TCP_ACK),
  segment(ms + 21, HOST, WEB, TCP_ACK),
  segment(ms + 40, WEB, HOST, TCP_ACK),
];

describe('flows of a recording', () => {
  it('that stood before it are opened at their first packet, for every router alike', () => {
    for (const first of [segment(0, HOST, WEB, TCP_ACK), segment(0, WEB, HOST, TCP_ACK)]) {
      const capture = captured(first, segment(1000, HOST, WEB, TCP_ACK));
      assert.deepEqual(
        capture.flows.map(({ stoodBefore, internalPort }) => [stoodBefore, internalPort]),
        [[true, HOST[1]]],
      );
      for (const tally of played(capture)) {
        assert.equal(tally.failures, 0);
        assert.equal(tally.refusals, 0);
        assert.equal(tally.actions, 1);
        // Three of them open it.
        assert.equal(tally.packets, 5);
      }
    }
  });

  it('of which the SYN was recorded begin with it', () => {
    const [flow] = captured(...opened(0)).flows;
    assert.equal(flow.stoodBefore, false);
  });

  it('that begin with a SYN and ACK between two public ends have the one inside that is answered', () => {
    const public_: End = ['203.0.113.9', 5000];
    const { flows } = captured(segment(0, WEB, public_, TCP_SYN | TCP_ACK));
    assert.equal(flows[0].internalPort, public_[1]);
  });

  it('are left out where only their end was recorded, until they begin again', () => {
    const { flows, packets, leftOut } = captured(
      segment(0, WEB, HOST, TCP_FIN | TCP_ACK),
      segment(10, HOST, WEB, TCP_ACK),
      segment(20, HOST, WEB, TCP_FIN | TCP_ACK),
      ...opened(5000),
    );
    assert.deepEqual(leftOut, { ended: 1, fromOutside: 0 });
    assert.equal(flows.length, 1);
    assert.equal(packets.length, 4);
  });

  it('are left out where somebody outside began them', () => {
    const server: End = ['192.168.7.30', 22];
    const { flows, leftOut } = captured(
      segment(0, WEB, server, TCP_SYN),
      segment(10, server, WEB, TCP_SYN | TCP_ACK),
      segment(20, WEB, server, TCP_ACK),
      // The SYN of this one is missing.
      segment(30, ['192.168.7.31', 22], WEB, TCP_SYN | TCP_ACK),
    );
    assert.deepEqual(leftOut, { ended: 0, fromOutside: 2 });
    assert.equal(flows.length, 0);
  });

  it('do not fail by what comes behind a FIN or a RST, until they are opened anew', () => {
    for (const end of [TCP_FIN | TCP_ACK, TCP_RST | TCP_ACK]) {
      const ended = [...opened(0), segment(1000, WEB, HOST, end)];
      const late = (ms: number): Packet => segment(ms, HOST, WEB, TCP_ACK);
      assert.deepEqual(refusedAt(2000, captured(...ended, late(2000))), {
        refusals: 1,
        missing: {},
      });
      const again = captured(...ended, late(2000), ...opened(3000), late(4000));
      assert.deepEqual(refusedAt(2000, again), { refusals: 1, missing: {} });
      const missing = { 'flow broke': 1 };
      assert.deepEqual(refusedAt(4000, again), { refusals: 1, missing });
    }
  });

  it('do not fail where Portfold has forgotten a connection that the server ended long ago', () => {
    const [portfold] = played(
      captured(
        ...opened(0),
        segment(5000, WEB, HOST, TCP_FIN | TCP_ACK),
        segment(5010, HOST, WEB, TCP_ACK),
        segment(305_000, HOST, WEB, TCP_FIN | TCP_ACK),
      ),
    );
    assert.deepEqual(portfold.reasons(), { TcpWithoutSession: 1 });
    assert.equal(portfold.failures, 0);
  });

  it('have room for the headers of a large datagram on a line of 1,500 bytes', () => {
    const capture = captured(
      { ms: 0, from: HOST, to: WEB, payloadBytes: 1480 },
      { ms: 1, from: ['192.168.7.20', 40_001], to: WEB, payloadBytes: 4000 },
    );
    assert.deepEqual(
      capture.flows.map(({ first }) => first.length),
      [1472, 1472],
    );
    for (const tally of played(capture)) assert.equal(tally.refusals, 0);
  });
});

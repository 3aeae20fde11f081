import assert from 'node:assert/strict';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import type { FlowPlan } from '../../../lab/sim/flows.ts';
import { Payload } from '../../../lab/sim/payloads.ts';
import { FakeRouter, worldOf } from './support.ts';

const TCP = { protocol: PROTOCOL_TCP, remotePort: 443, rounds: 1, rttMs: 10, gapMs: 20 };
const UDP = {
  protocol: PROTOCOL_UDP,
  remotePort: 53,
  rounds: 0,
  rttMs: 10,
  gapMs: 20,
  first: Payload.DnsQuery,
  answer: Payload.DnsAnswer,
};

/** What a flow says and hears, and what its owner is told. */
function play(
  plan: Omit<FlowPlan, 'host' | 'remoteAddress'>,
  refuses: FakeRouter['refuses'] = () => undefined,
): { lines: string[]; heard: string[]; router: FakeRouter } {
  const router = new FakeRouter();
  router.refuses = refuses;
  const world = worldOf(router, 60_000);
  const heard: string[] = [];
  world.flows.begin({
    ...plan,
    host: world.addHost(),
    remoteAddress: 1,
    tag: 7,
    owner: {
      opened: (tag) => heard.push(`opened ${tag}`),
      failed: (_, told) => heard.push(told ? 'told' : 'silence'),
      ended: (_, broken) => heard.push(broken ? 'broke' : 'ended'),
    },
  });
  world.run(() => {});
  assert.equal(world.flows.count, 0);
  return { lines: router.lines, heard, router };
}

describe('flows of the simulator', () => {
  it('open, use and close a TCP connection', () => {
    const { lines, heard } = play({ ...TCP, idleMs: 100 });
    assert.deepEqual(lines, [
      '0 > 443 2 0',
      '10 < 443 18 0',
      '10 > 443 16 0',
      '30 < 443 16 0',
      '30 > 443 16 0',
      '130 > 443 17 0',
      '140 < 443 17 0',
      '140 > 443 16 0',
    ]);
    assert.deepEqual(heard, ['opened 7', 'ended']);
  });

  it('let the remote close first', () => {
    const { lines } = play({ ...TCP, idleMs: 100, remoteCloses: true });
    assert.deepEqual(lines.slice(5), ['130 < 443 17 0', '130 > 443 17 0', '140 < 443 16 0']);
  });

  it('ask by UDP, and go on as long as they are to', () => {
    assert.deepEqual(play(UDP).lines, ['0 > 53 0 1', '10 < 53 0 2']);
    const { lines } = play({ ...UDP, rounds: 2, later: Payload.Rtp });
    assert.deepEqual(lines.slice(2), [
      '10 > 53 0 11',
      '30 < 53 0 11',
      '30 > 53 0 11',
      '50 < 53 0 11',
    ]);
  });

  it('say a lost first packet again, each time after twice the time', () => {
    const { lines, heard } = play({ ...TCP, retries: 3 }, () => 'silent');
    assert.deepEqual(
      lines.map((line) => Number(line.split(' ')[0])),
      [0, 1000, 3000, 7000],
    );
    assert.deepEqual(heard, ['silence']);
  });

  it('hear of a refusal at once', () => {
    const { lines, heard } = play({ ...TCP, retries: 3 }, () => 'told');
    assert.equal(lines.length, 1);
    assert.deepEqual(heard, ['told']);
  });

  it('break when a packet in the middle is refused', () => {
    const { heard } = play({ ...TCP, rounds: 5 }, (line) =>
      line.startsWith('30 >') ? 'silent' : undefined,
    );
    assert.deepEqual(heard, ['opened 7', 'broke']);
  });

  it('live through a few lost answers, and break when none comes', () => {
    const lossy = play({ ...UDP, rounds: 2, later: Payload.Rtp }, (line) =>
      line.startsWith('30 <') ? 'silent' : undefined,
    );
    assert.deepEqual(lossy.heard, ['opened 7', 'ended']);
    const dead = play({ ...UDP, rounds: 9, later: Payload.Rtp }, (line) =>
      line.includes('<') && !line.startsWith('10 ') ? 'silent' : undefined,
    );
    assert.deepEqual(dead.heard, ['opened 7', 'broke']);
  });

  it('send to nobody once, or as often as they are to', () => {
    assert.deepEqual(play({ ...UDP, isDead: true }).heard, ['silence']);
    assert.equal(play({ ...UDP, isDead: true, retries: 2 }).lines.length, 3);
  });

  it('are counted when their first packet passed, and as long ones from eight packets on', () => {
    const router = new FakeRouter();
    const world = worldOf(router, 10_000);
    const host = world.addHost();
    for (const rounds of [0, 1]) world.flows.begin({ ...TCP, rounds, host, remoteAddress: 1 });
    router.refuses = (line) => (line === '500 > 443 2 0' ? 'told' : undefined);
    world.flows.begin({ ...TCP, host, remoteAddress: 1 }, 500);
    world.run(() => {});
    assert.equal(world.tally.sessions, 2);
    assert.equal(world.tally.longSessions, 1);
    assert.equal(world.tally.refusals, 1);
    assert.equal(world.tally.refusalsTold, 1);
    assert.deepEqual(world.tally.reasons(), { NoPortLeft: 1 });
  });
});

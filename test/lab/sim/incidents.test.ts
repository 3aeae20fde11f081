/** The outages that the simulator is there for, at a tenth of their size. */
import assert from 'node:assert/strict';
import { runsAsJson } from '../../../lab/sim/report.ts';
import { runAll, scenarioOf } from './support.ts';

/** A tenth of the venue's table, and of its visitors. */
const conference = (visitors: number, minutes: number, models: string): string => `
  duration = "${minutes}m"
  ${models}
  [[users]]
  kind = "pages"
  count = ${visitors}
  pages-per-hour = 40
`;
const RTX1200 = '[[model]]\nrouter = "rtx1200"\nentries = 2000\n';
const PORTFOLD = '[[model]]\nrouter = "portfold"\npreset = "event"\nentries = 4096\n';
const BELOW = `${PORTFOLD}below = "rtx1200"\nbelow-entries = 2000\n`;

describe('simulated conference', () => {
  it('fills a table of 2,000 entries after some hundred page views, 900 s being too long for QUIC', () => {
    const runs = runAll(scenarioOf(conference(15, 12, RTX1200 + PORTFOLD)));
    const { samples, peakSessions } = runs.rtx1200.tally;
    const before = samples.find(({ failures }) => failures > 0)?.actions ?? Number.NaN;
    assert.ok(before > 70 && before < 130, `the first page failed after ${before} page views`);
    assert.equal(peakSessions, 2000);
    assert.equal(Object.keys(runs.rtx1200.tally.reasons())[0], 'SessionTableFull');
    assert.equal(runs['portfold event'].tally.failures, 0);
    assert.equal(runs['portfold event'].tally.actions, runs.rtx1200.tally.actions);
  });

  it('goes on below that router with its guard, and not without', () => {
    const runs = runAll(scenarioOf(conference(30, 10, `${BELOW}${BELOW}guard = false\n`)));
    const guarded = runs['portfold event below rtx1200'].tally;
    assert.equal(guarded.failures, 0);
    assert.ok(guarded.peakAbove < 1900, `${guarded.peakAbove} entries above`);
    assert.deepEqual(Object.keys(guarded.reasons()), ['QuicRejected']);
    assert.ok(guarded.quicRefused > 0 && guarded.quicRefused < guarded.quicAttempts);
    const open = runs['portfold event below rtx1200, no guard'].tally;
    assert.equal(open.peakAbove, 2000);
    assert.ok(open.failures > open.actions / 2, `${open.failures} of ${open.actions}`);
  });

  it('keeps the table above below 95 % even of a crowd that is too big for it', () => {
    const [run] = Object.values(
      runAll(scenarioOf(conference(60, 5, BELOW.replace('2000', '1000')))),
    );
    assert.ok(run.tally.peakAbove < 950, `${run.tally.peakAbove} entries above`);
    assert.ok(Object.hasOwn(run.tally.reasons(), 'UpstreamFull'));
    assert.ok(run.tally.quicRefused / run.tally.quicAttempts > 0.5);
  });
});

describe('simulated scanner below the venue’s router', () => {
  it('gets half of the table there and no more, so that the visitors beside it keep their pages', () => {
    const scan = `[[users]]\nkind = "scan"\nper-second = 20\nafter = "1m"\nlasts = "9m"\n`;
    const runs = runAll(scenarioOf(conference(8, 10, `${BELOW}${BELOW}guard = false\n`) + scan));
    const guarded = runs['portfold event below rtx1200'].tally;
    assert.equal(guarded.failures, 0, JSON.stringify(guarded.kinds()));
    assert.ok(Object.hasOwn(guarded.reasons(), 'UpstreamFull'));
    const open = runs['portfold event below rtx1200, no guard'].tally;
    assert.ok(open.failures > open.actions / 2, `${open.failures} of ${open.actions}`);
  });
});

const flow = (users: string): string => `
  duration = "10m"
  samples = 600
  ports = "v6plus"
  [[model]]
  router = "portfold"
  entries = 4096
  [[model]]
  router = "yamaha-type-2"
  [[model]]
  router = "yamaha-type-3"
  [[users]]
  kind = "mouse"
  ${users}
`;

describe('simulated mouse driver', () => {
  it('takes all 240 ports of a Yamaha of type 2 within three to six minutes', () => {
    const runs = runAll(scenarioOf(flow('')));
    const { samples } = runs['yamaha-type-2'].tally;
    const full = samples.find(({ ports }) => ports === 240)?.seconds ?? Number.NaN;
    assert.ok(full >= 180 && full <= 360, `full after ${full} s`);
    assert.ok((samples.find(({ refusals }) => refusals > 0)?.seconds ?? 0) >= full);
    // Two destination ports, each once a port of the line: type 3 holds out twice as long or so.
    const third = runs['yamaha-type-3'].tally.samples.find(({ refusals }) => refusals > 0);
    assert.ok(third === undefined || third.seconds > 360, `${third?.seconds} s`);
  });

  it('takes no port of Portfold while it sends to a private address', () => {
    const { tally } = runAll(scenarioOf(flow(''))).portfold;
    assert.equal(tally.peakPorts, 0);
    assert.deepEqual(Object.keys(tally.reasons()), ['PrivateDestination']);
    assert.equal(tally.refusals, tally.refusalsTold);
    assert.ok(tally.refusals > 500 && tally.refusals < 700, `${tally.refusals} packets`);
  });

  it('takes a handful of ports when the address is public and dead', () => {
    const { tally } = runAll(scenarioOf(flow('to = "192.0.2.211"'))).portfold;
    assert.equal(tally.refusals, 0);
    assert.ok(tally.peakPorts <= 20, `${tally.peakPorts} ports`);
  });
});

describe('simulated users', () => {
  const home = `
    duration = "3m"
    ports = "v6plus"
    [[model]]
    router = "portfold"
    entries = 4096
    [[model]]
    router = "yamaha-type-3"
    [[users]]
    kind = "calls"
    count = 3
    calls-per-hour = 60
    peers = 2
    [[users]]
    kind = "vpn"
    count = 2
    [[users]]
    kind = "agents"
    count = 1
    [[users]]
    kind = "scan"
    per-second = 100
    after = "1m"
    lasts = "1m"
    [[users]]
    kind = "reload"
    times = 1
    [[users]]
    kind = "flows"
    count = 200
  `;

  it('get the same from a seed each time, and something else from another', () => {
    const whole = scenarioOf(home);
    const scenario = { ...whole, models: whole.models.slice(0, 1) };
    const json = (seed: number): string =>
      runsAsJson(scenario, seed, Object.values(runAll(scenario, seed)));
    assert.equal(json(1), json(1));
    assert.notEqual(json(1), json(2));
  });

  it('all come through Portfold, whoever else is there', () => {
    const { tally } = runAll(scenarioOf(home)).portfold;
    assert.equal(tally.failures, 0, JSON.stringify(tally.kinds()));
    const kinds = tally.kinds().map(({ kind }) => kind);
    assert.deepEqual(kinds.sort(), ['agent request', 'call', 'flow', 'reload', 'vpn']);
  });

  it('ask every router the same, and call nobody where peers see another port than the server', () => {
    const runs = runAll(scenarioOf(home));
    const calls = runs['yamaha-type-3'].tally.kinds().find(({ kind }) => kind === 'call');
    assert.ok((calls?.missing['peer not reached'] ?? 0) > 0, JSON.stringify(calls));
    const actions = Object.values(runs).map(({ tally }) => tally.actions);
    assert.equal(new Set(actions).size, 1, actions.join(' '));
  });
});

/** Which ratio counts, what it is held against, and how the command line's words are read. */
import assert from 'node:assert/strict';
import { CASES, type Case, selectCases } from '../../../bench/datapath/cases.ts';
import { commandOf, readLine, readPairs, readSessions } from '../../../bench/datapath/options.ts';
import { judge, type Result, rowsOf, type Sample } from '../../../bench/datapath/results.ts';
import { endpointsOf } from '../../../bench/datapath/scene.ts';
import { ratioTarget, targetsOf } from '../../../bench/datapath/targets.ts';
import { isMet, reportAsText } from '../../../bench/verbs/report.ts';

const named = (name: string): Case => CASES.find((one) => one.name === name) as Case;

/** A sample of 4 s that gave `value`; the thread was `busy`, a tenth of it in user space. */
function sample(value: number, busy: number, lost = 0): Sample {
  const ran = busy * 4;
  return {
    amount: { value, bytes: value * 5e8, packets: value * 4e3 },
    busy,
    spent: {
      seconds: 4,
      busy,
      waited: 0,
      thread: { userSeconds: ran * 0.1, systemSeconds: ran * 0.9 },
      machineSeconds: 6,
      losses: { tun: lost, link: 0, backlog: 0, socket: 0 },
    },
  };
}

function result(name: string, sessions: number, rival: Sample[], ours: Sample[]): Result {
  const samples = new Map([
    ['null forwarder', rival],
    ['portfold', ours],
  ]);
  return { one: named(name), sessions, samples };
}

describe('results of the datapath', () => {
  it('count by throughput while both threads are at least 90 % busy', () => {
    const rival = [sample(10, 0.95), sample(12, 0.97), sample(8, 0.9)];
    const judged = judge(named('tcp-out'), rival, [sample(9, 0.99)]);
    assert.equal(judged.by, 'throughput');
    assert.equal(judged.ratio, 0.9);
  });

  it('count by processor time where a thread had nothing to do', () => {
    const judged = judge(named('tcp-out'), [sample(10, 0.5)], [sample(10, 0.95)]);
    assert.equal(judged.by, 'processor time');
    assert.ok(Math.abs(judged.ratio - 0.5 / 0.95) < 1e-9, String(judged.ratio));
    assert.match(judged.words, /0\.53 by processor time per GB, a thread only 50 % busy/);
  });

  it('count by throughput beside a rival without a thread', () => {
    const kernel = sample(10, Number.NaN);
    assert.equal(judge(named('udp64-out'), [kernel], [sample(5, 0.2)]).by, 'throughput');
  });

  it('turn a latency round, so that more is better', () => {
    assert.equal(judge(named('rtt'), [sample(100, 0)], [sample(125, 0)]).ratio, 0.8);
  });

  it('name a ring only where something was lost', () => {
    const quiet = rowsOf(result('udp64-in', 0, [sample(5, 1)], [sample(5, 1)]));
    const lossy = rowsOf(result('udp64-in', 0, [sample(5, 1)], [sample(5, 1, 17)]));
    assert.deepEqual(
      lossy.map((row) => row.name).filter((name) => !quiet.some((row) => row.name === name)),
      ['  lost at tun'],
    );
    assert.deepEqual(lossy.at(-1)?.samples, { 'null forwarder': [0], portfold: [17] });
  });

  it('give processor time for each GB and for each packet', () => {
    const find = (name: string, title: string): number | undefined =>
      rowsOf(result(name, 0, [], [sample(10, 1)])).find((row) => row.name === title)?.samples
        .portfold[0];
    assert.equal(find('tcp-in', '  system'), 720);
    assert.equal(find('udp64-in', '  user'), 10);
  });
});

describe('targets of the datapath', () => {
  const results = [
    result('tcp-out', 0, [sample(10, 1)], [sample(9.6, 1)]),
    result('tcp-in', 0, [sample(10, 1)], [sample(9, 1)]),
    result('tcp-out', 250_000, [sample(10, 1)], [sample(9.4, 1)]),
    result('udp64-out', 250_000, [sample(80, 1)], [sample(73, 1)]),
    result('rtt', 0, [sample(100, 0)], [sample(119, 0)]),
  ];

  it('are met or not by the numbers of the run', () => {
    const found = targetsOf('address', results).map((target) => [target.name, isMet(target)]);
    assert.deepEqual(found, [
      ['TCP out, against the null forwarder', true],
      ['TCP in, against the null forwarder', false],
      ['UDP out, 64 bytes, 250000 sessions, against the null forwarder', true],
      ['TCP out, 250000 sessions against an empty table', true],
      ['TCP out, user time of the datapath thread', true],
      ['TCP in, user time of the datapath thread', true],
      ['round trip, idle, p50 against the null forwarder', true],
    ]);
  });

  it('are others on the lines with encapsulation', () => {
    assert.deepEqual(
      targetsOf('map-e', results).map((target) => target.wanted),
      [0.8, 0.8],
    );
    assert.deepEqual(
      targetsOf('own', results).map((target) => target.wanted),
      [0.9, 2],
    );
  });

  it('are left out where nothing was measured', () => {
    assert.deepEqual(targetsOf('address', []), []);
    assert.equal(ratioTarget(results[0], 1.5, 'slirp4netns'), undefined);
  });

  it('stand below tables of rows that share their rivals', () => {
    const text = reportAsText({
      suite: 'peers',
      command: 'portfold bench peers',
      smoke: false,
      notes: {},
      rows: [
        ...rowsOf(results[0]),
        { name: 'held', unit: 'flows', samples: { numgen: [240], portfold: [2400] } },
      ],
      targets: targetsOf('own', results),
    });
    const heads = text.split('\n').filter((line) => /portfold \/ /.test(line));
    assert.equal(heads.length, 2, text);
    assert.match(text, /NOT MET/);
  });
});

describe('words of the bench', () => {
  it('choose cases by name and by beginning', () => {
    const names = (words: string): string[] => selectCases(words).map((one) => one.name);
    assert.deepEqual(names('tcp8,rtt'), ['tcp8-out', 'tcp8-in', 'rtt']);
    assert.deepEqual(names('udp64'), ['udp64-out', 'udp64-in']);
    assert.throws(() => selectCases('tcq'), /no case "tcq"; use tcp-out, /);
  });

  it('are refused with what would be right', () => {
    const smoke = false;
    assert.equal(readPairs({ smoke }, 5), 5);
    assert.equal(readPairs({ smoke, pairs: '3' }, 5), 3);
    assert.throws(() => readPairs({ smoke, pairs: '0' }, 5), /--pairs is "0"; use a whole number/);
    assert.throws(() => readLine({ smoke, line: 'ppp' }), /use address, map-e, own/);
    assert.deepEqual(readSessions({ smoke, sessions: '0, 250000' }), [0, 250_000]);
    assert.throws(() => readSessions({ smoke, sessions: '2000000' }), /from 0 to 1000000/);
  });

  it('come back as the command that makes the figures again', () => {
    assert.equal(
      commandOf('datapath', { smoke: false, line: 'own', pairs: '5' }),
      'portfold bench datapath --line own --pairs 5',
    );
  });

  it('spread sessions so that every remote has room for them', () => {
    for (const sessions of [1, 1000, 250_000, 1_000_000]) {
      const { flows, addresses, remotes } = endpointsOf(sessions);
      assert.equal(flows, sessions);
      assert.ok(addresses <= 65_536, `${addresses} addresses`);
      assert.ok(sessions / remotes <= 240, `${sessions / remotes} to a remote`);
    }
  });
});

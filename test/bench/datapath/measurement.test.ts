/** What the kernel's counters say about a measurement, from texts as the kernel writes them. */
import assert from 'node:assert/strict';
import {
  backlogDrops,
  countOf,
  difference,
  linkDrops,
  machineSeconds,
  type Reading,
  ranBetween,
  socketDrops,
  watchThreads,
} from '../../../bench/datapath/measurement.ts';

const stat = (name: string, user: number, system: number): string =>
  `4711 (${name}) S 1 4711 4711 0 -1 4194304 100 0 0 0 ${user} ${system} 0 0 20 0 11 0 900 1 2`;

describe('measurement of the datapath', () => {
  it('reads a thread whose name holds blanks and brackets', () => {
    const count = countOf(stat('a) b (c', 120, 880), '12000000000 3000000000 77\n');
    assert.deepEqual(count, { seconds: 12, waitedSeconds: 3, userTicks: 120, systemTicks: 880 });
  });

  it('takes the ticks where the kernel counts no nanoseconds', () => {
    assert.equal(countOf(stat('node', 120, 880), '0 0 0\n').seconds, 10);
  });

  it('parts the nanoseconds in between as the ticks in between are', () => {
    const before = { seconds: 10, waitedSeconds: 0, userTicks: 900, systemTicks: 100 };
    const after = { seconds: 14, waitedSeconds: 0, userTicks: 1000, systemTicks: 400 };
    assert.deepEqual(ranBetween(before, after), { userSeconds: 1, systemSeconds: 3 });
    assert.deepEqual(ranBetween(before, before), { userSeconds: 0, systemSeconds: 0 });
  });

  it('counts busy, waited and lost between two readings', () => {
    const reading = (at: number, ran: number, lost: number): Reading => ({
      atSeconds: at,
      thread: { seconds: ran, waitedSeconds: ran / 2, userTicks: ran * 10, systemTicks: ran * 90 },
      machineSeconds: ran * 3,
      losses: { tun: lost, link: 0, backlog: 0, socket: lost * 2 },
    });
    const spent = difference(reading(100, 5, 7), reading(104, 7, 10));
    assert.equal(spent.busy, 0.5);
    assert.equal(spent.waited, 0.25);
    assert.equal(spent.machineSeconds, 6);
    assert.deepEqual(spent.losses, { tun: 3, link: 0, backlog: 0, socket: 6 });
  });

  it('leaves idle and waiting for disks out of what the machine spent', () => {
    const text = 'cpu  100 20 300 9999 8888 10 40 30 500 600\ncpu0 1 1 1 1 1 1 1 1 0 0\n';
    assert.equal(machineSeconds(text), 5);
  });

  it('finds the drops of each device on both sides', () => {
    const text = [
      'Inter-|   Receive                                                |  Transmit',
      ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop',
      '    lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0',
      'wan0:9 8 7 3 0 0 0 0 1 2 0 40 0 0 0 0',
      'Ip: Forwarding DefaultTTL',
      'Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors',
      'Udp: 100 1 12 90 11 0',
    ].join('\n');
    assert.deepEqual(linkDrops(text), [
      ['lo', 0],
      ['wan0', 43],
    ]);
    assert.equal(socketDrops(text), 11);
    assert.equal(socketDrops('Ip: a\nIp: 1\n'), 0);
  });

  it('adds up the backlog of all cores, in hexadecimal', () => {
    assert.equal(backlogDrops('0000ffff 00000010 0 0\n00000001 00000002 0 0\n'), 18);
  });

  it('knows its own busy thread', () => {
    const watch = watchThreads(process.pid);
    const until = performance.now() + 60;
    while (performance.now() < until) JSON.stringify(until);
    const [{ tid, seconds }] = watch.look();
    assert.equal(tid, process.pid);
    assert.ok(seconds >= 0.01, `${seconds} s`);
  });
});

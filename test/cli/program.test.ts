/** The command line within this process: what it prints, says and returns, with a real server where it asks one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram, withDefaultCommand } from '../../cli/program.ts';
import { type ControlServer, startControlServer } from '../../gateway/control/server.ts';
import { FakeSource } from '../gateway/control/fake-source.ts';
import { FakeTerminal, FakeVerbs } from './fake-terminal.ts';

const STATUS = `\
portfold 0.1.0  forwarding for 3d05h
pid 1234, portfold0, /etc/portfold/portfold.toml

line      v6plus (map-e) on wan0, mtu 1460
address   106.72.18.52, 240 ports: 5136-5151, 9232-9247, 13328-13343, 17424-17439, … 1 more
tunnel    240b:10:1234:5600:6a:4812:3400:5600 to 2404:9200:225:100::64 by seg6, PSID 52

ports     tcp  [#####---------------]     60 of 240 used; 120 sessions, 2.0 a port
          udp  [####################]    240 of 240 used, 12 owned; 24,000 sessions, 100.0 a port
          icmp [--------------------]      0 of 240 used; 0 sessions

sessions       24,120 of 262,144 (9.2 %)
mappings       24,050 of 262,144 (9.2 %)
remotes           100 of 65,536 (0.2 %)
hosts           3,900 of 4,096 (95 %)

traffic   out 98.8 MB in 123,456 packets, in 1.10 GB in 654,321 packets
packets   1,243 dropped, 31 answered by the gateway
since     50,000 sessions created, 25,880 ended, 240 diverted, 12 refused
memory    121 MB resident; the arena has 33.6 MB

top hosts 192.168.0.14    4,000 sessions, owns 4 of the ports
          192.168.0.13    3,000 sessions, owns 3 of the ports, 12 refused
          192.168.0.12    2,000 sessions, owns 2 of the ports
top drops 1,234           destination port is not ours
          9               every port is taken towards that remote

! the table of hosts is 95 % full: existing sessions go on, new ones will fail; see \`portfold hosts\`, or raise the capacity
! 12 sessions were refused since the start; \`portfold why\` says what is short now
`;

const HOSTS = `\
HOST          LAN   SESSIONS   PEAK  LIMIT  MAPPINGS  OWNED  CREATED  REFUSED      OUT       IN   SEEN
192.168.0.14  home     4,000  6,000      -        40      4  400,000        0  4.94 MB  30.6 GB  2m40s
192.168.0.13  home     3,000  4,500  3,000        30      3  300,000       12  3.70 MB  23.0 GB  2m00s
`;

const SESSIONS = `\
PROTO  INTERNAL          EXTERNAL          REMOTE            STATE    CLASS  AGE  IDLE   LEFT    OUT       IN  FLAGS
icmp   192.168.0.4:1026  203.0.113.5:5138  198.51.100.2:443  closing  dns    14s  6.5s  4m54s  128 B  12.8 kB  answered
`;

describe('command line', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pfc-'));
  const socket = join(directory, 'portfold.sock');
  const source = new FakeSource(1_000);
  const verbs = new FakeVerbs();
  let terminal: FakeTerminal;
  let server: ControlServer;

  const run = (...argv: string[]): Promise<number> =>
    runProgram(['--socket', socket, ...argv], verbs, { terminal, version: '1.2.3' });

  before(async () => {
    server = await startControlServer({ socket, source });
    source.addEvent();
    source.addEvent({ suppressed: 1_200 });
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    terminal = new FakeTerminal();
    verbs.calls.length = 0;
    verbs.exitCode = 0;
    source.state = 'forwarding';
  });

  it('shows the status', async () => {
    assert.equal(await run('status'), 0);
    assert.equal(terminal.out, STATUS);
    assert.equal(terminal.words, '');
  });

  it('is the status where no command is named', async () => {
    assert.equal(await run(), 0);
    assert.equal(terminal.out, STATUS);
    assert.deepEqual(withDefaultCommand(['-o', 'json']), ['status', '-o', 'json']);
    assert.deepEqual(withDefaultCommand(['--socket', 'x', 'hosts']), ['--socket', 'x', 'hosts']);
    assert.deepEqual(withDefaultCommand(['--version']), ['--version']);
  });

  it('gives the status as JSON with raw numbers', async () => {
    assert.equal(await run('status', '-o', 'json'), 0);
    assert.deepEqual(JSON.parse(terminal.out), source.status());
  });

  it('says with 1 that the gateway does not forward yet', async () => {
    source.state = 'starting';
    assert.equal(await run('status'), 1);
    assert.match(terminal.out, /^portfold 0\.1\.0 {2}starting for/);
  });

  it('lists hosts, most sessions first, and says how many more there are', async () => {
    assert.equal(await run('hosts', '-n', '2'), 0);
    assert.equal(terminal.out, HOSTS);
    assert.equal(terminal.words, '… 3 more\n');
  });

  it('lists all on a pipe, and what fits on a terminal', async () => {
    await run('sessions');
    assert.equal(terminal.out.split('\n').length, 1_002);
    terminal = new FakeTerminal(120, 24);
    await run('sessions');
    assert.equal(terminal.out.split('\n').length, 22);
    assert.equal(terminal.words, '… 980 more\n');
  });

  it('lists on a pipe also what is too long to sort', async () => {
    const longSocket = join(directory, 'long.sock');
    const long = await startControlServer({ socket: longSocket, source: new FakeSource(10_100) });
    assert.equal(await run('--socket', longSocket, 'sessions'), 0);
    assert.equal(terminal.out.split('\n').length, 10_102);
    assert.equal(terminal.words, '');
    terminal = new FakeTerminal();
    assert.equal(await run('--socket', longSocket, 'sessions', '-s', 'age', '-o', 'csv'), 0);
    assert.equal(terminal.out.split('\n').length, 10_002);
    assert.equal(await run('--socket', longSocket, 'sessions', '-s', 'age'), 0);
    assert.equal(terminal.words, '… 100 more\n');
    await long.close();
  });

  it('filters and sorts on the server', async () => {
    assert.equal(await run('sessions', 'icmp', 'flag=answered', '-s', 'bytes', '-n', '1'), 0);
    assert.equal(terminal.out, SESSIONS);
    assert.equal(await run('sessions', 'bytes>10Q'), 2);
    assert.match(terminal.words, /^portfold: "bytes>10Q": "10Q" is no number/m);
  });

  it('writes CSV with raw numbers in the order of its titles', async () => {
    assert.equal(await run('sessions', '-o', 'csv', '-n', '2'), 0);
    assert.equal(
      terminal.out,
      'protocol,internal,external,remote,state,class,flags,ageSeconds,idleSeconds,timeLeftSeconds,' +
        'packetsOut,packetsIn,bytesOut,bytesIn\n' +
        'tcp,192.168.0.2:1024,203.0.113.5:5136,198.51.100.0:53,established,dns,,0,0,300,,,0,0\n' +
        'udp,192.168.1.3:1025,203.0.113.5:5137,198.51.100.1:80,unanswered,dns,,7,3.25,296.75,1,2,64,6400\n',
    );
  });

  it('writes all of a list as NDJSON and as JSON', async () => {
    assert.equal(await run('sessions', 'tcp', '-o', 'ndjson'), 0);
    const items = terminal.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(items.length, 334);
    terminal.out = '';
    assert.equal(await run('sessions', 'tcp', '-o', 'json'), 0);
    const list = JSON.parse(terminal.out);
    assert.deepEqual([list.schema, list.total], ['portfold/sessions/v1', 334]);
    assert.deepEqual(list.items, items);
  });

  it('writes nothing to stdout when the question is refused', async () => {
    for (const output of ['table', 'json', 'ndjson', 'csv']) {
      assert.equal(await run('ports', 'color=red', '-o', output), 2, output);
      assert.equal(terminal.out, '');
    }
  });

  it('shows only drops that occurred, unless all are asked for', async () => {
    await run('drops');
    assert.equal(
      terminal.out,
      'PACKETS  REASON        MEANING\n' +
        '  1,234  NotInPortSet  destination port is not ours\n' +
        '      9  NoPortLeft    every port is taken towards that remote\n',
    );
    terminal.out = '';
    await run('drops', '--all');
    assert.match(terminal.out, /^ {6}0 {2}Loop/m);
  });

  it('lists mappings and ports', async () => {
    await run('mappings', 'role=owner', '-n', '1');
    assert.match(
      terminal.out,
      /^tcp {4}192\.168\.0\.42:1114 {2}203\.0\.113\.5:5226 {2}owner {2}stun/m,
    );
    terminal.out = '';
    await run('ports', 'owned');
    assert.equal(
      terminal.out,
      'PROTO  ADDRESS      PORT  SESSIONS  OWNER\n' +
        'udp    203.0.113.5  5143         7  192.168.0.12:5060\n',
    );
  });

  it('lists events with how many were left out', async () => {
    await run('events');
    const text = 'no port left for 192.168.0.10:40001 towards 198.51.100.7:53';
    assert.equal(
      terminal.out,
      'TIME                      KIND             EVENT\n' +
        `2026-11-22T10:00:01.000Z  session-refused  ${text}\n` +
        `2026-11-22T10:00:02.000Z  session-refused  ${text} (1,200 alike before it)\n`,
    );
  });

  it('says when nothing matches', async () => {
    assert.equal(await run('hosts', '1.1.1.1'), 0);
    assert.equal(terminal.words, 'nothing matches\n');
  });

  it('hands the verbs what they were asked for', async () => {
    verbs.exitCode = 78;
    assert.equal(await run('check', 'a.toml', '-o', 'json'), 78);
    verbs.exitCode = 0;
    await run('run', '-c', 'b.toml', '--handover');
    await run('br', '-c', 'c.toml', '--clean');
    await run('mape', '--rule', 'a', '--rule', 'b', '--prefix', 'p', '--list', '--iid-format', 'f');
    await run('doctor', '--clean', '--runtime-directory', 'd');
    await run('demo', '--line', 'address', '--flows', '10');
    await run('lab', 'flow', '--flows', '10');
    await run('bench', '--smoke');
    assert.deepEqual(verbs.calls, [
      ['check', 'a.toml', { output: 'json' }],
      ['run', { config: 'b.toml', handover: true, socket }],
      ['br', { config: 'c.toml', clean: true, socket }],
      ['mape', { rule: ['a', 'b'], prefix: 'p', list: true, iidFormat: 'f', output: 'table' }],
      ['doctor', { clean: true, runtimeDirectory: 'd', output: 'table', socket }],
      ['demo', { line: 'address', flows: 10 }],
      ['lab', { scenario: 'flow', flows: 10, output: 'table' }],
      ['bench', { suite: 'datapath', smoke: true, output: 'table' }],
    ]);
  });

  it('answers wrong usage with 2, and with what was meant', async () => {
    const wrong: [string[], RegExp][] = [
      [['sesions'], /^portfold: unknown command 'sesions'\n\(Did you mean sessions\?\)/],
      [['hosts', '--limt', '3'], /Did you mean --limit\?/],
      [['hosts', '-o', 'xml'], /Allowed choices are table, json, ndjson, csv/],
      [['hosts', '-n', 'few'], /Write a number from 0 to 1000000, or "all"/],
      [['demo', '--line', 'dsl'], /Allowed choices are map-e, address/],
      [['demo', '--flows', '0'], /Write a whole number from 1/],
      [['lab', 'mtu'], /Allowed choices are flow, conference/],
      [['lab', 'flow', '--seconds', '0'], /Write a whole number from 1 to 600/],
      [['check', 'a', 'b'], /too many arguments/],
      [['events', '-f', '-o', 'json'], /use -o table, ndjson or csv/],
    ];
    for (const [argv, words] of wrong) {
      terminal = new FakeTerminal();
      assert.equal(await run(...argv), 2, argv.join(' '));
      assert.match(terminal.words, words);
      assert.equal(terminal.out, '');
    }
    assert.deepEqual(verbs.calls, []);
  });

  it('has help with examples for every command, and a version', async () => {
    assert.equal(await run('--version'), 0);
    assert.equal(terminal.out, '1.2.3\n');
    const names =
      'status why sessions mappings hosts ports drops events run br check mape doctor demo lab bench';
    for (const name of names.split(' ')) {
      terminal = new FakeTerminal();
      assert.equal(await run(name, '--help'), 0);
      assert.match(
        terminal.out,
        new RegExp(`^Usage: portfold ${name}[^]*\nExamples:\n.*portfold ${name}`),
      );
    }
  });

  it('tells errors meant for people from defects', async () => {
    verbs.check = async () => {
      throw Object.assign(new Error('a.toml:1:1: bad'), { code: 'CONFIG', exitCode: 78 });
    };
    assert.equal(await run('check', 'a.toml'), 78);
    assert.equal(terminal.words, 'portfold: a.toml:1:1: bad\n');
    verbs.check = async () => {
      throw new TypeError('a defect');
    };
    assert.equal(await run('check', 'a.toml'), 1);
    assert.match(terminal.words, /TypeError: a defect\n {4}at /);
  });

  it('says without rights that it has none, and returns 4', async () => {
    const uid = process.geteuid!();
    // Root opens every socket, so it steps down for the moment of asking.
    if (uid === 0) process.seteuid!(65_534);
    try {
      if (uid !== 0) return assert.equal(await run('--socket', '/proc/1/root/x', 'status'), 4);
      assert.equal(await run('status'), 4);
    } finally {
      if (uid === 0) process.seteuid!(0);
    }
    assert.match(terminal.words, /^portfold: no permission to open .*; run this as root/);
  });
});

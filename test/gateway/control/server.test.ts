/** Server and client over a real unix socket, with a table of 10,000 sessions behind them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { ApiError, SessionItem } from '../../../gateway/control/api.ts';
import { ControlClient } from '../../../gateway/control/client.ts';
import { Best } from '../../../gateway/control/listing.ts';
import { type ControlServer, startControlServer } from '../../../gateway/control/server.ts';
import { FakeSource, fakeWhy } from './fake-source.ts';

const COUNT = 10_000;

/** Takes 6 ms for each 1,000 rows, and notes how often the event loop turned between its first row and its last. */
class SlowSource extends FakeSource {
  static turnsNow = (): number => 0;
  static turnsWithin = 0;

  override *sessions(): ReturnType<FakeSource['sessions']> {
    const before = SlowSource.turnsNow();
    for (const row of super.sessions()) {
      if (this.stepped % 1_000 === 0) {
        const end = performance.now() + 6;
        while (performance.now() < end);
      }
      yield row;
    }
    SlowSource.turnsWithin = SlowSource.turnsNow() - before;
  }
}

describe('control server and client', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pfc-'));
  const socket = join(directory, 'run', 'portfold.sock');
  const source = new FakeSource(COUNT);
  const errors: Error[] = [];
  const client = new ControlClient(socket);
  let server: ControlServer;

  before(async () => {
    server = await startControlServer({ socket, source, onError: (error) => errors.push(error) });
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  it('makes the directory 0750 and the socket 0660', () => {
    assert.equal(statSync(join(directory, 'run')).mode & 0o777, 0o750);
    assert.equal(statSync(socket).mode & 0o777, 0o660);
    assert.ok(statSync(socket).isSocket());
  });

  it('answers the status', async () => {
    assert.deepEqual(await client.status(), source.status());
  });

  it('answers why, of one host too, and says what is wrong in the question', async () => {
    assert.deepEqual(await client.why(), fakeWhy());
    assert.deepEqual(await client.why('192.168.0.10'), fakeWhy('192.168.0.10'));
    await assert.rejects(client.why('printer'), {
      code: 'ADDRESS',
      exitCode: 2,
      message: /^host=printer is no IPv4 address/,
    });
    source.isReady = false;
    await assert.rejects(client.why(), { code: 'STARTING', exitCode: 1 });
    source.isReady = true;
  });

  it('answers that a border relay has nothing to run short of', async () => {
    const path = join(directory, 'relay.sock');
    const relay = new FakeSource(0);
    Object.assign(relay, { why: undefined });
    const other = await startControlServer({ socket: path, source: relay });
    await assert.rejects(new ControlClient(path).why(), { code: 'NO_SESSIONS', exitCode: 1 });
    await other.close();
  });

  it('counts what matches and shows what the limit allows', async () => {
    const list = await client.list('sessions', { filter: ['proto=udp'], limit: 3 });
    assert.equal(list.schema, 'portfold/sessions/v1');
    assert.ok(!Number.isNaN(Date.parse(list.generatedAt)));
    assert.equal(list.total, 3_333);
    assert.equal(list.items.length, 3);
    const [first] = list.items;
    assert.deepEqual(first, {
      protocol: 'udp',
      internal: '192.168.1.3:1025',
      external: '203.0.113.5:5137',
      remote: '198.51.100.1:80',
      state: 'unanswered',
      class: 'dns',
      flags: [],
      ageSeconds: 7,
      idleSeconds: 3.25,
      timeLeftSeconds: 296.75,
      packetsOut: 1,
      packetsIn: 2,
      bytesOut: 64,
      bytesIn: 6_400,
    } satisfies SessionItem);
  });

  it('shows 1,000 items where no limit is asked for, and none for 0', async () => {
    assert.equal((await client.list('sessions')).items.length, 1_000);
    const none = await client.list('sessions', { limit: 0, sort: 'age' });
    assert.deepEqual([none.total, none.items], [COUNT, []]);
  });

  it('sorts on the server, by numbers and not by their text', async () => {
    const list = await client.list('sessions', { sort: '-bytes', limit: 2 });
    assert.deepEqual(
      list.items.map((item) => item.bytesOut),
      [9_999 * 64, 9_998 * 64],
    );
    const byHost = await client.list('hosts', { sort: 'host' });
    assert.equal(byHost.items[0].address, '192.168.0.10');
  });

  it('leaves the packet counts out where a record has none', async () => {
    const { items } = await client.list('sessions', { limit: 1 });
    assert.ok(!('packetsOut' in items[0]));
  });

  it('streams all items a line each', async () => {
    let lines = 0;
    for await (const line of client.lines('sessions', { limit: COUNT })) {
      assert.equal((JSON.parse(line) as SessionItem).bytesOut, lines * 64);
      lines++;
    }
    assert.equal(lines, COUNT);
  });

  it('stops stepping over rows when a stream has its limit', async () => {
    source.stepped = 0;
    const lines: string[] = [];
    for await (const line of client.lines('sessions', { limit: 5 })) lines.push(line);
    assert.equal(lines.length, 5);
    assert.equal(source.stepped, 5);
  });

  it('streams sorted items too', async () => {
    const lines: string[] = [];
    for await (const line of client.lines('ports', { sort: '-sessions', limit: 2 }))
      lines.push(line);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).sessions),
      [239, 239],
    );
  });

  it('lists mappings, ports with their owner, and drops', async () => {
    assert.equal((await client.list('mappings', { filter: ['role=owner'] })).total, 10);
    const owned = await client.list('ports', { filter: ['owned'] });
    assert.deepEqual(
      owned.items.map((item) => item.owner),
      ['192.168.0.12:5060'],
    );
    assert.equal((await client.list('ports', { filter: ['host=192.168.0.0/16'] })).total, 1);
    assert.equal((await client.list('drops', { filter: ['packets>0'] })).total, 2);
  });

  it('gives the newest events, those after a sequence, and says what was missed', async () => {
    for (let i = 0; i < 20; i++) source.addEvent();
    const newest = await client.events({ limit: 3 });
    assert.deepEqual(
      newest.items.map((item) => item.sequence),
      [18, 19, 20],
    );
    assert.deepEqual([newest.total, newest.lastSequence, newest.missed], [20, 20, 0]);
    const after = await client.events({ since: 18 });
    assert.deepEqual(
      after.items.map((item) => item.sequence),
      [19, 20],
    );
    source.oldestSequence = 15;
    assert.equal((await client.events({ since: 10 })).missed, 4);
    source.oldestSequence = 1;
  });

  it('refuses what is wrong in the question with 400 and exit code 2', async () => {
    const wrong = { code: 'FILTER_KEY', exitCode: 2, message: /did you mean "proto"\?/ };
    await assert.rejects(client.list('sessions', { filter: ['prot=udp'] }), wrong);
    await assert.rejects(client.list('sessions', { sort: 'flag' }), { code: 'SORT_KEY' });
    await assert.rejects(client.list('sessions', { limit: 1_000_001 }), { code: 'PARAMETER' });
    await assert.rejects(client.list('sessions', { limit: 10_001, sort: 'age' }), {
      code: 'SORT_LIMIT',
    });
    await assert.rejects(client.list('sessions', { limit: -1 }), { code: 'PARAMETER' });
    await assert.rejects(client.lines('sessions', { filter: ['?'] }).next(), { exitCode: 2 });
  });

  it('answers 404, 405 and 400 with a sentence', async () => {
    assert.deepEqual(await statusAndCode('GET', '/v1/sesions'), [404, 'NOT_FOUND']);
    assert.deepEqual(await statusAndCode('GET', '/'), [404, 'NOT_FOUND']);
    assert.deepEqual(await statusAndCode('GET', '/v1/toString'), [404, 'NOT_FOUND']);
    assert.deepEqual(await statusAndCode('DELETE', '/v1/sessions'), [405, 'METHOD']);
    assert.deepEqual(await statusAndCode('GET', '/v1/hosts?limits=3'), [400, 'PARAMETER']);
    assert.deepEqual(await statusAndCode('GET', '/v1/hosts?limit=1e3'), [400, 'PARAMETER']);
    assert.deepEqual(await statusAndCode('GET', '/v1/hosts?stream=xml'), [400, 'PARAMETER']);
  });

  it('answers an error of the source with 500, tells it, and lives on', async () => {
    source.failure = new Error('arena is gone');
    await assert.rejects(client.status(), { exitCode: 1, message: /arena is gone/ });
    assert.equal(errors.at(-1)?.message, 'arena is gone');
    source.failure = undefined;
    assert.equal((await client.status()).pid, 1_234);
  });

  it('says that a source failed, also in the middle of a list', async () => {
    const socketOfFailing = join(directory, 'failing.sock');
    for (const [rows, code] of [
      [3, 'INTERNAL'],
      [600, 'BROKEN_OFF'],
    ] as const) {
      const failing = new FakeSource(rows);
      const sessions = failing.sessions.bind(failing);
      failing.sessions = function* () {
        yield* sessions();
        throw new Error('record 77 is torn');
      };
      const told: Error[] = [];
      const onError = (error: Error): unknown => told.push(error);
      const options = { socket: socketOfFailing, source: failing, onError };
      const failingServer = await startControlServer(options);
      await assert.rejects(new ControlClient(socketOfFailing).list('sessions'), { code });
      assert.equal(told[0].message, 'record 77 is torn');
      await failingServer.close();
    }
  });

  it('lets the event loop turn while it steps over a table that takes long', async () => {
    const slow = await startControlServer({
      socket: join(directory, 'slow.sock'),
      source: new SlowSource(20_000),
    });
    let turns = 0;
    let asking = true;
    const turn = (): void => {
      turns++;
      if (asking) setImmediate(turn);
    };
    // The source counts turns only while it is stepped over, so that those around it do not help.
    SlowSource.turnsNow = () => turns;
    turn();
    const list = await new ControlClient(slow.socket).list('sessions', { sort: '-age', limit: 40 });
    asking = false;
    await slow.close();
    assert.equal(list.items.length, 40);
    assert.ok(SlowSource.turnsWithin >= 10, `${SlowSource.turnsWithin} turns within 120 ms`);
  });

  it('goes on when a reader leaves in the middle of its answer', async () => {
    const leaver = connect(socket);
    await once(leaver, 'connect');
    leaver.write('GET /v1/sessions?limit=10000&stream=ndjson HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(leaver, 'data');
    leaver.destroy();
    assert.equal((await client.status()).pid, 1_234);
  });

  function statusAndCode(method: string, path: string): Promise<[number, string]> {
    return new Promise((resolve, reject) => {
      request({ socketPath: socket, method, path, agent: false }, async (response) => {
        let text = '';
        for await (const piece of response) text += piece;
        resolve([response.statusCode ?? 0, (JSON.parse(text) as ApiError).error.code]);
      })
        .once('error', reject)
        .end();
    });
  }
});

describe('control socket', () => {
  let directory: string;
  let socket: string;
  const source = new FakeSource(1);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'pfc-'));
    socket = join(directory, 'portfold.sock');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('is refused to a second gateway while the first one lives', async () => {
    const first = await startControlServer({ socket, source });
    await assert.rejects(startControlServer({ socket, source }), {
      code: 'SOCKET_IN_USE',
      exitCode: 1,
      message: /another gateway answers at .*portfold\.sock; stop it first/,
    });
    assert.equal((await new ControlClient(socket).status()).pid, 1_234);
    await first.close();
    assert.equal(existsSync(socket), false);
  });

  it('is taken over from a dead one', async () => {
    const dead = createServer();
    dead.listen(join(directory, 'other.sock'));
    await once(dead, 'listening');
    // Closing removes the name it was bound to; under another name the file stays, as after kill -9.
    renameSync(join(directory, 'other.sock'), socket);
    dead.close();
    await once(dead, 'close');
    await assert.rejects(new ControlClient(socket).status(), { code: 'NOT_RUNNING', exitCode: 3 });
    const server = await startControlServer({ socket, source });
    assert.equal((await new ControlClient(socket).status()).pid, 1_234);
    await server.close();
  });

  it('that a successor has taken is not removed by the gateway that ends', async () => {
    const first = await startControlServer({ socket, source });
    rmSync(socket);
    const second = await startControlServer({ socket, source });
    await first.close();
    assert.equal((await new ControlClient(socket).status()).pid, 1_234);
    await second.close();
  });

  it('never replaces a file that is no socket', async () => {
    writeFileSync(socket, 'precious');
    await assert.rejects(startControlServer({ socket, source }), { code: 'SOCKET_IS_A_FILE' });
    await assert.rejects(new ControlClient(socket).status(), { exitCode: 3 });
    assert.ok(existsSync(socket));
  });

  it('with too long a path is refused by both sides', async () => {
    const long = join(directory, 'x'.repeat(120));
    await assert.rejects(startControlServer({ socket: long, source }), {
      code: 'SOCKET_PATH_TOO_LONG',
    });
    await assert.rejects(new ControlClient(long).status(), { code: 'SOCKET_PATH_TOO_LONG' });
  });

  it('that nobody listens on means not running', async () => {
    await assert.rejects(new ControlClient(socket).status(), {
      code: 'NOT_RUNNING',
      exitCode: 3,
      message: /^the gateway is not running \(no answer at .*portfold\.sock\); start it with/,
    });
  });

  it('of a gateway that breaks off in its answer gives an error and not half a list', async () => {
    const breaker = createServer((connection) => {
      connection.once('data', () => {
        connection.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n');
        setImmediate(() => connection.destroy());
      });
    });
    breaker.listen(socket);
    await once(breaker, 'listening');
    try {
      const client = new ControlClient(socket);
      await assert.rejects(client.status(), { code: 'BROKEN_OFF', exitCode: 1 });
      await assert.rejects(
        async () => {
          for await (const line of client.lines('sessions')) assert.equal(line, '{}');
        },
        { code: 'BROKEN_OFF' },
      );
    } finally {
      breaker.close();
    }
  });
});

describe('the best of a list', () => {
  it('is the beginning of the stable sorted list', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 20 })),
        fc.integer({ min: 0, max: 12 }),
        fc.boolean(),
        (keys, limit, descending) => {
          const best = new Best<number>(limit, descending);
          keys.forEach((key, i) => {
            if (best.admits(key)) best.add(key, i);
          });
          const shown: number[] = [];
          while (best.size > 0) shown.unshift(best.removeWorst());
          const sorted = keys.map((_, i) => i);
          sorted.sort((a, b) => (descending ? keys[b] - keys[a] : keys[a] - keys[b]) || a - b);
          assert.deepEqual(shown, sorted.slice(0, limit));
        },
      ),
    );
  });
});

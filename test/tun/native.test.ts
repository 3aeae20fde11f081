import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { DeviceError } from '../../tun/errors.ts';
import {
  bootMilliseconds,
  completeChecksum,
  isTmpfs,
  lockFile,
  mapArena,
  sdNotify,
  setAffinity,
} from '../../tun/native.ts';

const NATIVE_URL = new URL('../../tun/native.ts', import.meta.url).href;
const ARENA_BYTES = 1 << 20;

/** Runs a module text in another process and returns what it printed. */
function elsewhere(text: string, prefix: readonly string[] = []): string {
  const [command, ...words] = [...prefix, process.execPath];
  return execFileSync(
    command,
    [
      ...words,
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      `import * as native from '${NATIVE_URL}';${text}`,
    ],
    { encoding: 'utf8' },
  ).trim();
}

function code(expected: string, exitCode = 1) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof DeviceError);
    assert.deepEqual([error.code, error.exitCode], [expected, exitCode]);
    return true;
  };
}

describe('the addon', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync('/dev/shm/portfold-test-');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  describe('mapArena', () => {
    it('makes a file whose memory another process sees and which survives this buffer', () => {
      const path = join(directory, 'arena');
      const words = new Int32Array(mapArena(path, ARENA_BYTES, { create: true }).buffer);
      assert.equal(words.byteLength, ARENA_BYTES);
      assert.ok(words.every((word) => word === 0));
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.ok(statSync(path).blocks * 512 >= ARENA_BYTES, 'all pages are there');

      Atomics.store(words, 17, -123456);
      const seen = elsewhere(`
        const words = new Int32Array(native.mapArena('${path}', ${ARENA_BYTES}, { create: false }).buffer);
        console.log(Atomics.load(words, 17));
        words[18] = 99;`);
      assert.equal(seen, '-123456');
      assert.equal(words[18], 99);
    });

    it('is read by a thread while this one writes', async () => {
      const path = join(directory, 'arena');
      const words = new Int32Array(mapArena(path, ARENA_BYTES, { create: true }).buffer);
      const worker = new Worker(
        `import { createRequire } from 'node:module';
         import { parentPort, workerData } from 'node:worker_threads';
         const native = createRequire(workerData.addon)(workerData.addon);
         const words = new Int32Array(native.mapArena(workerData.path, ${ARENA_BYTES}, false, true).buffer);
         parentPort.on('message', () => { parentPort.postMessage(Atomics.load(words, 5)); });
         parentPort.postMessage('ready');`,
        {
          eval: true,
          execArgv: ['--input-type=module'],
          workerData: {
            path,
            addon: new URL('../../build/Release/portfold.node', import.meta.url).pathname,
          },
        },
      );
      const answer = (): Promise<unknown> => new Promise((done) => worker.once('message', done));
      assert.equal(await answer(), 'ready');
      Atomics.store(words, 5, 4711);
      worker.postMessage('read');
      assert.equal(await answer(), 4711);
      await worker.terminate();
      assert.equal(words[5], 4711, 'the end of a thread unmaps only what it mapped itself');
    });

    it('refuses what exists, what is missing, and another size', () => {
      const path = join(directory, 'arena');
      assert.throws(() => mapArena(path, ARENA_BYTES, { create: false }), code('ARENA_MISSING'));
      mapArena(path, ARENA_BYTES, { create: true });
      assert.throws(() => mapArena(path, ARENA_BYTES, { create: true }), code('ARENA_EXISTS'));
      truncateSync(path, ARENA_BYTES / 2);
      assert.throws(() => mapArena(path, ARENA_BYTES, { create: false }), code('ARENA_SIZE'));
    });

    it('leaves no file behind when there is not enough memory', () => {
      const path = join(directory, 'arena');
      assert.throws(() => mapArena(path, 2 ** 50, { create: true }), code('ARENA_NO_SPACE'));
      assert.throws(() => statSync(path), { code: 'ENOENT' });
    });
  });

  describe('lockFile', () => {
    it('is held for another process until it is released', () => {
      const path = join(directory, 'lock');
      const lock = lockFile(path);
      assert.ok(lock !== 'held');
      const tryIt = `const lock = native.lockFile('${path}'); console.log(lock === 'held' ? lock : 'free')`;
      assert.equal(elsewhere(tryIt), 'held');
      assert.equal(lockFile(path), 'held');

      lock.release();
      lock.release();
      assert.equal(elsewhere(tryIt), 'free');
    });

    it('does not outlive a process that was killed', () => {
      const path = join(directory, 'lock');
      const { signal } = spawnSync(process.execPath, [
        ...['--import', 'tsx', '--input-type=module', '-e'],
        `import * as native from '${NATIVE_URL}';
         if (native.lockFile('${path}') !== 'held') process.kill(process.pid, 'SIGKILL');`,
      ]);
      assert.equal(signal, 'SIGKILL');
      const lock = lockFile(path);
      assert.ok(lock !== 'held');
      lock.release();
    });

    it('says where it cannot lock', () => {
      assert.throws(() => lockFile(join(directory, 'nowhere', 'lock')), code('LOCK_FAILED'));
    });
  });

  it('knows tmpfs from a disk', () => {
    assert.equal(isTmpfs(directory), true);
    assert.equal(isTmpfs('/proc'), false);
    assert.throws(() => isTmpfs(join(directory, 'nothing')), code('STATFS_FAILED'));
  });

  it('reads the clock that counts since the machine started', () => {
    const before = bootMilliseconds();
    const other = Number(elsewhere('console.log(native.bootMilliseconds())'));
    const after = bootMilliseconds();
    assert.ok(before < other && other < after, `${before} < ${other} < ${after}`);
  });

  it('binds a thread to a processor, and says which one is not there', () => {
    const affinity = elsewhere(`
      native.setAffinity(0);
      const { readFileSync } = await import('node:fs');
      console.log(readFileSync('/proc/thread-self/status', 'utf8').match(/Cpus_allowed_list:\\s*(.*)/)[1]);`);
    assert.equal(affinity, '0');
    assert.throws(() => setAffinity(1023), code('CPU_MISSING'));
    assert.throws(() => setAffinity(-1), code('CPU_MISSING'));
  });

  it('lets a thread go before others where it may, leaves what somebody chose, and says where it may not', () => {
    const policy = (script: string, prefix: string[] = []): string =>
      elsewhere(
        `const { readFileSync } = await import('node:fs');
        const said = ${script};
        const fields = readFileSync('/proc/thread-self/stat', 'utf8').split(') ')[1].split(' ');
        console.log(said, 'priority', fields[37], 'policy', fields[38]);`,
        prefix,
      );
    assert.equal(policy('true'), 'true priority 0 policy 0');
    assert.equal(policy('native.goBeforeOthers()'), 'before priority 1 policy 2');
    assert.equal(
      policy('(native.goBeforeOthers(), native.goWithOthers(), native.threadMilliseconds() > 0)'),
      'true priority 0 policy 0',
    );
    assert.equal(
      policy('native.goBeforeOthers()', ['chrt', '-b', '0']),
      'kept priority 0 policy 3',
    );
    const unprivileged = ['setpriv', '--bounding-set', '-sys_nice', '--inh-caps', '-sys_nice'];
    assert.equal(
      policy('native.goBeforeOthers()', ['prlimit', '--rtprio=0', ...unprivileged]),
      'EPERM priority 0 policy 0',
    );
  });

  describe('sdNotify', () => {
    afterEach(() => {
      delete process.env.NOTIFY_SOCKET;
    });

    for (const kind of ['path', 'abstract name']) {
      it(`reaches a service manager that listens on a ${kind}`, () => {
        const address = kind === 'path' ? join(directory, 'notify') : `@portfold-${process.pid}`;
        const listener = `
import socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
s.settimeout(10)
subprocess.run(sys.argv[2:], check=True)
print(s.recv(4096).decode())`;
        const sender = `import { sdNotify } from '${NATIVE_URL}';
          process.env.NOTIFY_SOCKET = process.argv[1];
          if (!sdNotify('READY=1\\nSTATUS=forwarding')) process.exit(1);`;
        const got = execFileSync(
          '/usr/bin/python3',
          [
            ...['-c', listener, address, process.execPath, '--import', 'tsx'],
            ...['--input-type=module', '-e', sender, address],
          ],
          { encoding: 'utf8' },
        );
        assert.equal(got.trim(), 'READY=1\nSTATUS=forwarding');
      });
    }

    it('is nothing without one, and no error when it does not listen', () => {
      assert.equal(sdNotify('READY=1'), false);
      process.env.NOTIFY_SOCKET = join(directory, 'nobody');
      assert.equal(sdNotify('READY=1'), false);
    });
  });

  describe('completeChecksum', () => {
    /** The definition of RFC 1071, word by word. */
    function internetSum(bytes: Uint8Array): number {
      let sum = 0;
      for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      return sum;
    }

    it('makes what follows sum up to all ones, and touches nothing but the field', () => {
      const input = fc.tuple(
        fc.uint8Array({ minLength: 20, maxLength: 300 }),
        fc.integer({ min: 0, max: 63 }),
        fc.constantFrom(2, 4, 10, 16),
      );
      fc.assert(
        fc.property(input, ([segment, start, field]) => {
          const ipOffset = 13;
          const bytes = new Uint8Array(ipOffset + start + segment.length + 9).fill(0xa5);
          bytes.set(segment, ipOffset + start);
          const before = bytes.slice();
          assert.ok(completeChecksum(bytes, ipOffset, start, field, start + segment.length));

          // The field held part of the sum: the complement now stands in its place.
          const at = ipOffset + start;
          const after = (bytes[at + field] << 8) | bytes[at + field + 1];
          assert.equal(after, ~internetSum(segment) & 0xffff);
          bytes.set(before.subarray(at + field, at + field + 2), at + field);
          assert.deepEqual(bytes, before);
        }),
      );
    });

    it('writes all ones instead of zero in UDP, where zero means none', () => {
      const segment = new Uint8Array(8);
      segment.set([0xff, 0xff], 0);
      const udp = segment.slice();
      completeChecksum(udp, 0, 0, 6, 8);
      assert.deepEqual([...udp.subarray(6)], [0xff, 0xff]);
      const other = segment.slice();
      completeChecksum(other, 0, 0, 4, 8);
      assert.deepEqual([...other.subarray(4, 6)], [0, 0]);
    });

    it('leaves a packet alone whose field lies outside', () => {
      const bytes = new Uint8Array(64).fill(1);
      assert.equal(completeChecksum(bytes, 0, 40, 16, 57), false);
      assert.equal(completeChecksum(bytes, 8, 20, 16, 57), false);
      assert.equal(completeChecksum(bytes, -1, 20, 16, 40), false);
      assert.equal(completeChecksum(bytes, 0, 2 ** 31 - 1, 2 ** 31 - 1, 64), false);
      assert.ok(bytes.every((byte) => byte === 1));
    });
  });
});

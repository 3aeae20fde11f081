/** The runtime directory: who holds it, what a start makes there, and what stays when it ends. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  LOCK_FILE,
  openArena,
  removeArena,
  takeLock,
  takeLockToClean,
  unwritableReason,
} from '../../gateway/runtime.ts';
import { lockFile } from '../../tun/native.ts';

describe('gateway/runtime', () => {
  let scratch = '';
  let directory = '';

  beforeEach(() => {
    scratch = mkdtempSync('/dev/shm/portfold-test-');
    directory = join(scratch, 'made', 'here');
  });

  afterEach(() => rmSync(scratch, { recursive: true, force: true }));

  it('goes again with the start that made it', () => {
    const lock = takeLock(directory);
    assert.equal(existsSync(join(directory, LOCK_FILE)), true);
    lock.release();
    assert.equal(existsSync(join(scratch, 'made')), false);
    assert.equal(existsSync(scratch), true);
    lock.release();
  });

  it('stays with what others put there, and where it was before', () => {
    const lock = takeLock(directory);
    writeFileSync(join(directory, 'host-snapshot.json'), '{}');
    lock.release();
    assert.equal(existsSync(join(directory, LOCK_FILE)), true);

    const before = join(scratch, 'before');
    mkdirSync(before);
    takeLock(before).release();
    assert.equal(existsSync(before), true);
    assert.equal(existsSync(join(before, LOCK_FILE)), false);
  });

  it('is refused while another holds it, without advice that cannot work, and untouched', () => {
    const lock = takeLock(directory);
    assert.throws(() => takeLock(directory), {
      code: 'GATEWAY_RUNNING',
      exitCode: 1,
      message: `another gateway already runs with the runtime directory ${directory}; stop it first`,
    });
    assert.equal(lockFile(join(directory, LOCK_FILE)), 'held');
    lock.release();
    takeLock(directory).release();
  });

  it('says what stands in the way', () => {
    const file = join(scratch, 'file');
    writeFileSync(file, '');
    assert.throws(() => takeLock(join(file, 'below')), {
      code: 'RUNTIME_DIRECTORY',
      exitCode: 1,
      message: /file\/below cannot be made \(ENOTDIR\)/,
    });
    assert.equal(unwritableReason(directory), undefined);
    assert.equal(unwritableReason('/proc/sys/net/portfold'), 'EACCES');
  });

  it('loses the arena of a dead gateway, and only that', () => {
    mkdirSync(directory, { recursive: true });
    assert.deepEqual(removeArena(directory), []);
    const arena = join(directory, 'arena');
    writeFileSync(arena, 'records');
    writeFileSync(join(directory, 'other'), '');
    assert.deepEqual(removeArena(directory), [arena]);
    assert.equal(existsSync(arena), false);
    assert.equal(existsSync(join(directory, 'other')), true);
  });

  it('keeps the arena of a predecessor until one that does not fit is kept in its place', () => {
    mkdirSync(directory, { recursive: true });
    const ports = Uint16Array.of(5472, 5473);
    const open = (capacity: number) =>
      openArena(directory, { capacity, portCount: 2, externalCount: 1 }, [1], ports);
    const path = join(directory, 'arena');

    assert.equal(open(1024).keep(), path);
    assert.equal(open(1024).adopted, true);
    const { size } = statSync(path);

    const other = open(4096);
    assert.equal(other.path, `${path}.new`);
    assert.equal(other.adopted, false);
    assert.equal(statSync(path).size, size);
    other.discard();
    assert.equal(existsSync(other.path), false);
    assert.equal(open(1024).adopted, true);

    // Killed before it was kept: neither the next one nor who cleans up stumbles over it.
    open(4096);
    open(4096).keep();
    assert.ok(statSync(path).size > size);
    assert.equal(open(4096).adopted, true);
    open(1024);
    assert.deepEqual(removeArena(directory), [path]);
    assert.equal(existsSync(`${path}.new`), false);
  });

  it('keeps the arena of a predecessor when another cannot be made', () => {
    mkdirSync(directory, { recursive: true });
    const ports = Uint16Array.of(5472);
    const shape = { capacity: 1024, portCount: 1, externalCount: 1 };
    openArena(directory, shape, [1], ports).keep();
    // A directory in its way stands for every reason why it cannot be made.
    mkdirSync(join(directory, 'arena.new', 'full'), { recursive: true });
    assert.throws(() => openArena(directory, { ...shape, capacity: 4096 }, [1], ports));
    assert.equal(openArena(directory, shape, [1], ports).adopted, true);
  });

  it('loses its lock file with who cleans up, unless a gateway holds it', () => {
    assert.equal(takeLockToClean(directory), undefined);
    const lock = takeLock(directory);
    assert.equal(takeLockToClean(directory), 'held');
    writeFileSync(join(directory, 'other'), '');
    lock.release();
    assert.equal(existsSync(join(directory, LOCK_FILE)), true);
    const cleaning = takeLockToClean(directory);
    assert.ok(cleaning !== undefined && cleaning !== 'held');
    assert.throws(() => takeLock(directory), { code: 'GATEWAY_RUNNING' });
    cleaning.release();
    assert.equal(existsSync(join(directory, LOCK_FILE)), false);
  });
});

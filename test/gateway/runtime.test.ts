/** The runtime directory: who holds it, what a start makes there, and what stays when it ends. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOCK_FILE, removeArena, takeLock, unwritableReason } from '../../gateway/runtime.ts';
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
});

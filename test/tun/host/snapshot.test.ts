import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  newSnapshot,
  readSnapshot,
  removeSnapshot,
  SNAPSHOT_FILE,
  writeSnapshot,
} from '../../../tun/host/snapshot.ts';

describe('host snapshot', () => {
  let directory = '';
  let file = '';

  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'portfold-')), 'made', 'on', 'the', 'way');
    file = join(directory, SNAPSHOT_FILE);
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const snapshot = () => newSnapshot('portfold0', { 'net/ipv4/ip_forward': '0' }, '::');

  it('is read as it was written, and only its owner may', () => {
    assert.equal(readSnapshot(directory), undefined);
    const written = snapshot();
    writeSnapshot(directory, written);
    assert.deepEqual(readSnapshot(directory), written);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    removeSnapshot(directory);
    assert.equal(readSnapshot(directory), undefined);
  });

  it('of an earlier boot counts for nothing', () => {
    writeSnapshot(directory, { ...snapshot(), bootId: '00000000-0000-0000-0000-000000000000' });
    assert.equal(readSnapshot(directory), undefined);
  });

  it('of another network namespace is refused', () => {
    writeSnapshot(directory, { ...snapshot(), networkNamespace: 'net:[1]' });
    assert.throws(() => readSnapshot(directory), { code: 'HOST_SNAPSHOT_NAMESPACE' });
  });

  it('that is torn or of an unknown form is refused with its name', () => {
    writeSnapshot(directory, snapshot());
    const text = readFileSync(file, 'utf8');
    for (const wrong of [text.slice(0, text.length / 2), '{}', 'null', '']) {
      writeFileSync(file, wrong);
      assert.throws(
        () => readSnapshot(directory),
        (error: Error & { code: string }) =>
          error.code === 'HOST_SNAPSHOT_INVALID' && error.message.includes(file),
      );
    }
  });

  it('says so when it cannot be written', () => {
    writeSnapshot(directory, snapshot());
    assert.throws(() => writeSnapshot(join(file, 'below-a-file'), snapshot()), {
      code: 'HOST_SNAPSHOT_UNWRITABLE',
      exitCode: 1,
    });
  });
});

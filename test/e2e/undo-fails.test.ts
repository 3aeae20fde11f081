/** An undo that fails is told: by the log, by the exit code, and by what is not said. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import { withBed } from './support.ts';

describe('an undo that fails', () => {
  const bed = withBed({ line: 'address', start: false });

  it('ends with 1 and without a word of success; repaired, `doctor --clean` completes it', async () => {
    await bed.gateway.start();
    const file = join(bed.gateway.folder, 'state', 'host-snapshot.json');
    const text = readFileSync(file, 'utf8');
    const snapshot = JSON.parse(text);
    snapshot.items.at(-1).remove = { program: 'false', args: ['by', 'the', 'test'] };
    writeFileSync(file, JSON.stringify(snapshot));

    const end = await bed.gateway.stop();
    assert.equal(end.code, 1, end.stderr);
    assert.match(end.stderr, /Not everything could be taken back.*false by the test/);
    assert.doesNotMatch(end.stderr, /the host is as it was before/);

    writeFileSync(file, text);
    const clean = await bed.gateway.portfold('doctor', '--clean', '-c', bed.gateway.configFile);
    assert.match(clean.stdout, /clean: undone/);
  });
});

/** What is of the network namespace and not a kernel setting must be gone all the same. */
const objectsOf = (differences: string[]): string[] =>
  differences.filter((line) => !line.startsWith('sysctl'));

describe('a gateway whose snapshot is lost', () => {
  const bed = withBed({ line: 'address', shared: true, start: false });

  it('with its directory: the next one says what it cannot know, and its end what stays', async () => {
    const before = await hostState(bed.lab.gateway);
    await bed.gateway.start();
    await bed.gateway.stop('SIGKILL');
    rmSync(join(bed.gateway.folder, 'state'), { recursive: true });

    await bed.gateway.start();
    const end = await bed.gateway.stop();
    assert.equal(end.code, 0, end.stderr);
    const names = 'net/ipv4/conf/lan0/forwarding.*net/ipv4/ip_local_reserved_ports';
    assert.equal(end.stderr.match(/A gateway was here before/g)?.length, 1, end.stderr);
    assert.match(end.stderr, new RegExp(`holds no snapshot.*perhaps .*${names}`));
    assert.match(end.stderr, new RegExp(`ended; .*${names} stay as a start without a snapshot`));
    assert.doesNotMatch(end.stderr, /the host is as it was before|conf\/portfold0/);

    // What it names is what is different, and nothing else.
    const differences = stateDifferences(before, await hostState(bed.lab.gateway));
    assert.deepEqual(objectsOf(differences), []);
    const ended = end.stderr.match(/ended; (.*) stay as/)?.[1].split(', ') ?? [];
    const moved = differences
      .flatMap((line) => line.match(/new: (\S+) =/)?.[1] ?? [])
      .map((name) => name.replaceAll('.', '/'));
    assert.deepEqual(
      [...new Set(moved)].filter((path) => !ended.includes(path)),
      [],
    );
    assert.ok(moved.length > 0);
    await bed.lab.gateway.sysctl({
      'net.ipv4.conf.lan0.forwarding': 0,
      'net.ipv4.conf.wan0.forwarding': 0,
      'net.ipv4.ip_local_reserved_ports': '',
    });
  });

  it('or torn: run and doctor say what to do, and that works', async () => {
    const file = join(bed.gateway.folder, 'state', 'host-snapshot.json');
    const doctor = (...args: string[]) =>
      bed.gateway.portfold('doctor', '-c', bed.gateway.configFile, ...args);
    await bed.gateway.start();
    await bed.gateway.stop('SIGKILL');
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, 1000));

    const told = new RegExp(`${file} is torn.*mv ${file} ${file}\\.bad`);
    const refused = await bed.gateway.spawn().ended;
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, told);
    assert.match((await doctor('--clean')).stdout, told);
    const plain = await doctor();
    assert.match(plain.stdout, told);
    assert.doesNotMatch(plain.stdout, /→ run `portfold doctor --clean`/);

    renameSync(file, `${file}.bad`);
    await bed.gateway.start();
    assert.match(
      (await bed.gateway.stop()).stderr,
      /stay as a start without a snapshot found them/,
    );

    await bed.gateway.start();
    await bed.gateway.stop('SIGKILL');
    writeFileSync(file, '');
    renameSync(file, `${file}.bad`);
    assert.match((await doctor('--clean')).stdout, /clean: removed what was left/);
    assert.match((await doctor('--clean')).stdout, /clean: nothing was left/);
    assert.equal(existsSync(join(bed.gateway.folder, 'state', 'gateway.lock')), false);
  });
});

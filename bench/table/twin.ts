/** Builds the twin of the table in C, with plain -O2 and nothing that fits one processor only. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LabError, programPath, projectFolder } from '../../lab/programs.ts';

export interface Twin {
  path: string;
  remove(): void;
}

export function buildTwin(): Twin {
  const compiler = programPath('gcc');
  if (compiler === undefined)
    throw new LabError(
      'BENCH_NO_COMPILER',
      1,
      'gcc is not installed, and the table is measured beside a twin in C; run `apt-get install build-essential`',
    );
  const folder = mkdtempSync(join(tmpdir(), 'portfold-bench-'));
  const path = join(folder, 'table-twin');
  const source = join(projectFolder(), 'bench', 'native', 'table-twin.c');
  execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-o', path, source], { stdio: 'inherit' });
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

// Compiles the TypeScript to dist/ so that the gateway starts fast and small. Runs after `npm ci` and before the tests.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { giveLocalNames } from './local-names.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = join(root, 'node_modules', '.bin', 'tsc');

if (!existsSync(compiler)) {
  console.error('portfold: typescript is not installed, so dist/ was not built; run `npm ci`');
  process.exit(0);
}
rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(compiler, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
for (const folder of ['core', 'policies']) giveLocalNames(join(root, 'dist', folder));
for (const folder of ['core', 'gateway', 'lab']) copyData(folder);
writeFileSync(join(root, 'dist', '.built'), new Date().toISOString() + '\n');

/** Copies the data files (JSON) that modules read beside themselves. */
function copyData(folder) {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) copyData(path);
    else if (entry.name.endsWith('.json') && statSync(join(root, path)).isFile())
      cpSync(join(root, path), join(root, 'dist', path));
  }
}

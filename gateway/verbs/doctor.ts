/**
 * `portfold doctor`: can a gateway run on this host, and is something left of one that died?
 *
 * Every check is a line: ok, warning or problem, and what to do. `--clean` takes back what a dead
 * gateway left, and refuses while one lives. Exit 0 without a problem, else 1. Nothing is changed
 * without `--clean`.
 */
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { examineHost, type Finding } from '../../tun/host/examine.ts';
import {
  cleanStrays,
  type HostRequest,
  type HostResult,
  inspectHost,
  undoHost,
  verifyHost,
} from '../../tun/host/index.ts';
import { loadNative, lockFile } from '../../tun/native.ts';
import { deriveLine } from '../config/line.ts';
import { loadConfig } from '../config/load.ts';
import type { PortfoldConfig, WanConfig } from '../config/types.ts';
import { answers } from '../control/socket.ts';
import { hostLine, resolveWan } from '../line.ts';
import { LOCK_FILE, removeArena, takeLockToClean, unwritableReason } from '../runtime.ts';
import { hostAfter } from './run.ts';

export interface DoctorOptions {
  config?: string;
  clean?: boolean;
  runtimeDirectory?: string;
  /** Control socket that a dead gateway may have left. */
  socket?: string;
  output?: 'table' | 'json';
}

const RUNTIME_DIRECTORY_DEFAULT = '/run/portfold';
const SOCKET_DEFAULT = '/run/portfold/portfold.sock';
const NODE_VERSION_MIN = [20, 19];

export async function doctor(options: DoctorOptions): Promise<number> {
  const findings: Finding[] = [examineNode(), examineAddon()];
  const config = readConfiguration(options.config, findings);
  const runtimeDirectory =
    options.runtimeDirectory ?? config?.gateway.runtimeDirectory ?? RUNTIME_DIRECTORY_DEFAULT;

  if (options.clean === true)
    findings.push(...(await clean(runtimeDirectory, options.socket ?? SOCKET_DEFAULT)));
  const gatewayLives = isLocked(runtimeDirectory);
  findings.push(...(await examineHost({ runtimeDirectory, gatewayLives })));
  findings.push(...examineWritable(runtimeDirectory));
  if (config !== undefined)
    findings.push(...(await examineLines(config, runtimeDirectory, gatewayLives)));

  print(findings, options.output ?? 'table');
  return findings.some((finding) => finding.level === 'problem') ? 1 : 0;
}

function examineNode(): Finding {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [majorMin, minorMin] = NODE_VERSION_MIN;
  const fits = major > majorMin || (major === majorMin && minor >= minorMin);
  const text = `Node.js ${process.versions.node}`;
  if (fits) return { check: 'node', level: 'ok', text };
  const advice = `install Node.js ${NODE_VERSION_MIN.join('.')} or later`;
  return { check: 'node', level: 'problem', text: `${text} is too old`, advice };
}

function examineAddon(): Finding {
  try {
    loadNative();
    return { check: 'addon', level: 'ok', text: 'the addon is built and loads' };
  } catch (error) {
    return {
      check: 'addon',
      level: 'problem',
      text: messageOf(error),
      advice: 'build it: npm ci, with a C compiler and make installed',
    };
  }
}

/** The configuration, if one is named and right; what is wrong with it becomes a finding. */
function readConfiguration(
  file: string | undefined,
  findings: Finding[],
): PortfoldConfig | undefined {
  if (file === undefined) return undefined;
  try {
    const config = loadConfig(file);
    findings.push({ check: 'configuration', level: 'ok', text: `${file} is right` });
    return config;
  } catch (error) {
    findings.push({
      check: 'configuration',
      level: 'problem',
      text: messageOf(error),
      advice: `correct it; \`portfold check ${file}\` shows the same`,
    });
    return undefined;
  }
}

/** Does each line fit the host as it is now? A line that runs at the moment fits as well. */
async function examineLines(
  config: PortfoldConfig,
  runtimeDirectory: string,
  gatewayLives: boolean,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const wan of config.wans) {
    const check = `line ${wan.name}`;
    try {
      const request = await requestOf(config, wan, runtimeDirectory);
      const { encapsulation } = await inspectHost(request);
      const how = encapsulation === 'none' ? '' : ` over ${encapsulation}`;
      const text = `${request.line.externalAddress} on ${wan.interface}${how} fits this host`;
      findings.push({ check, level: 'ok', text });
      if (gatewayLives) findings.push(await compare(request, encapsulation));
    } catch (error) {
      const advice = 'what to do stands in the sentence; the gateway would not start';
      findings.push({ check, level: 'problem', text: messageOf(error), advice });
    }
  }
  return findings;
}

/** Is the host as the gateway that runs set it? */
async function compare(
  request: HostRequest,
  encapsulation: HostResult['encapsulation'],
): Promise<Finding> {
  const check = 'host settings';
  const { missing, blocked, degraded } = await verifyHost(request, { encapsulation });
  const silent = blocked ?? degraded;
  if (silent !== undefined) {
    const advice = 'put that right; the gateway that runs goes on by itself then';
    // What is there but silent may be meant so: a line without a default route, for instance.
    const level = blocked === undefined ? 'warning' : 'problem';
    return { check, level, text: `packets do not pass: ${silent}`, advice };
  }
  if (missing.length === 0)
    return { check, level: 'ok', text: 'everything that the gateway set is there' };
  const advice = 'the gateway that runs makes it anew within half a minute; if not, see its log';
  return { check, level: 'problem', text: `missing: ${missing.join('; ')}`, advice };
}

async function requestOf(
  config: PortfoldConfig,
  wan: WanConfig,
  runtimeDirectory: string,
): Promise<HostRequest> {
  const line = hostLine(wan, deriveLine(await resolveWan(wan)), undefined);
  return { tun: config.gateway.tun, lans: config.lans, runtimeDirectory, line };
}

/** True while a gateway holds the lock of the runtime directory. */
function isLocked(runtimeDirectory: string): boolean {
  const file = join(runtimeDirectory, LOCK_FILE);
  if (!existsSync(file)) return false;
  try {
    const lock = lockFile(file);
    if (lock === 'held') return true;
    lock.release();
  } catch {
    // Without the addon or the rights to the file nothing is known; the other checks say so.
  }
  return false;
}

/** Takes back what is left, under the lock that a gateway would hold. */
async function clean(runtimeDirectory: string, socket: string): Promise<Finding[]> {
  const check = 'clean';
  try {
    const lock = takeLockToClean(runtimeDirectory);
    if (lock === 'held') {
      const text = `a gateway or relay with the runtime directory ${runtimeDirectory} runs: nothing was undone`;
      return [{ check, level: 'problem', text, advice: 'stop it first; it undoes its settings' }];
    }

    try {
      const report = await undoHost(runtimeDirectory);
      if (report.problems.length > 0)
        return report.problems.map((text) => ({
          check,
          level: 'problem' as const,
          text,
          advice: 'put that right and run `portfold doctor --clean` again',
        }));
      const done: string[] = [];
      if (report.found) {
        const { removed, restored, unknown } = report;
        done.push(`undone: ${removed.length} removed, ${restored.length} settings restored`);
        if (unknown !== undefined) done.push(hostAfter(unknown));
      } else if (await cleanStrays()) done.push('removed what was left');
      // The sessions go last: until here a gateway might still have taken them over.
      const files = [...removeArena(runtimeDirectory), ...(await removeDeadSocket(socket))];
      done.push(...files.map((file) => `removed ${file}`));
      if (done.length === 0) done.push('nothing was left');
      return done.map((text) => ({ check, level: 'ok' as const, text }));
    } finally {
      lock?.release();
    }
  } catch (error) {
    const advice = 'do what the message says';
    return [{ check, level: 'problem', text: messageOf(error), advice }];
  }
}

/** Answers with the path if it was removed. */
async function removeDeadSocket(path: string): Promise<string[]> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket() || (await answers(path))) return [];
  unlinkSync(path);
  return [path];
}

function examineWritable(runtimeDirectory: string): Finding[] {
  const reason = unwritableReason(runtimeDirectory);
  if (reason === undefined) return [];
  const why = reason === 'EROFS' ? 'its file system is read-only, EROFS' : reason;
  return [
    {
      check: 'runtime-directory',
      level: 'problem',
      text: `${runtimeDirectory} cannot be written (${why})`,
      advice: 'run as root, or set gateway.runtime-directory to a directory on a writable tmpfs',
    },
  ];
}

function print(findings: Finding[], output: 'table' | 'json'): void {
  if (output === 'json') {
    const problems = findings.filter((finding) => finding.level === 'problem').length;
    const warnings = findings.filter((finding) => finding.level === 'warning').length;
    const generatedAt = new Date().toISOString();
    const answer = {
      schema: 'portfold/doctor/v1',
      generatedAt,
      problems,
      warnings,
      items: findings,
    };
    process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    return;
  }
  for (const { level, check, text, advice } of findings) {
    const indent = ' '.repeat(LEVEL_WIDTH);
    process.stdout.write(`${level.padEnd(LEVEL_WIDTH)}${check}: ${text}\n`);
    if (advice !== undefined && level !== 'ok') process.stdout.write(`${indent}→ ${advice}\n`);
  }
}

const LEVEL_WIDTH = 9;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : `${error}`);

/**
 * The addon under AddressSanitizer and UndefinedBehaviorSanitizer: how it is built, how Node is
 * started with it, and what its reports say.
 *
 *   tun/native/*.c ── gcc -fsanitize=address,undefined ──► build/sanitized/portfold.node
 *   node           ── LD_PRELOAD=libasan.so, PORTFOLD_ADDON=that file, reports to FOLDER/report.PID
 *
 * Node itself is not instrumented, but its malloc is replaced: the memory of every typed array has
 * a poisoned zone in front of it and behind it, so a touch beyond the buffer that the addon was
 * given is a report as good as one beyond its own memory.
 *
 * Leaks: at the end of the process whatever nothing points to is reported. Node leaks a little
 * itself, so a leak counts when the addon asked for it, by malloc or by a function of Node-API (a
 * reference for instance). Nothing is suppressed.
 *
 * A break is the addon with one of its checks taken out. A run that does not notice it proves
 * nothing.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { projectFolder } from '../../../lab/programs.ts';

/** One place in the sources, and what stands there instead. */
export interface Break {
  name: string;
  file: string;
  from: string;
  to: string;
}

export const BREAKS: readonly Break[] = [
  {
    name: 'a frame may end behind the buffer',
    file: 'write.c',
    from: 'if (offset + length > (int64_t)batch->length) return NULL;',
    to: '',
  },
  {
    name: 'a frame may begin before the buffer',
    file: 'write.c',
    from: 'offset < (int64_t)room || ',
    to: '',
  },
  {
    name: 'a checksum field may lie behind its packet',
    file: 'system.c',
    from: 'if (start + field + 2 > length) return false;',
    to: '',
  },
  {
    name: 'the TCP header of a superpacket may be cut off',
    file: 'segment.c',
    from: ' || super->ipBytes + TCP_HEADER_BYTES > length',
    to: '',
  },
  {
    name: 'more segments are merged than there is room for',
    file: 'coalesce.c',
    from: 'group->count == PARTS_MAX || ',
    to: '',
  },
  {
    name: 'more datagrams are put into a train than there is room for',
    file: 'train.c',
    from: ' && count < CARS_MAX',
    to: '',
  },
  {
    name: 'the last packet of a batch is read over the end',
    file: 'device.c',
    from: 'device->readBytes - HEADROOM_BYTES - PACKET_BYTES_MAX;',
    to: 'device->readBytes - HEADROOM_BYTES;',
  },
  {
    name: 'what merges is not freed',
    file: 'write.c',
    from: 'coalescerFree(coalescer);',
    to: '',
  },
  {
    name: 'the note on the size of an arena is not freed',
    file: 'memory.c',
    from: 'munmap(data, *length);\n  free(length);',
    to: 'munmap(data, *length);',
  },
];

const SOURCES = join('tun', 'native');
const FLAGS = [
  ...['-shared', '-fPIC', '-O1', '-g', '-fno-omit-frame-pointer', '-fvisibility=hidden'],
  ...['-fsanitize=address,undefined', '-Wall', '-Wextra', '-Wno-unused-parameter'],
  ...['-std=gnu11', '-D_GNU_SOURCE', '-DNAPI_VERSION=8'],
];

/** Builds the addon, or a broken copy of it, into `folder` and returns the path of the addon. */
export function buildSanitized(folder: string, broken?: Break): string {
  const from = join(projectFolder(), SOURCES);
  const sources = join(folder, 'sources');
  mkdirSync(sources, { recursive: true });
  const names = readdirSync(from).filter((name) => /\.[ch]$/.test(name));
  for (const name of names) {
    const text = readFileSync(join(from, name), 'utf8');
    writeFileSync(join(sources, name), name === broken?.file ? spoil(text, broken) : text);
  }
  const output = join(folder, 'portfold.node');
  execFileSync('gcc', [
    ...FLAGS,
    // Reports name the sources as the repository does, whatever was compiled.
    `-ffile-prefix-map=${sources}=${SOURCES}`,
    `-I${headersFolder()}`,
    ...names.filter((name) => name.endsWith('.c')).map((name) => join(sources, name)),
    ...['-o', output, '-lpthread'],
  ]);
  return output;
}

/** Where the sanitized build of the sources as they are belongs. */
export const sanitizedFolder = (): string => join(projectFolder(), 'build', 'sanitized');

/** Exit code of a process that has reported something, be it a leak of Node itself. */
export const EXIT_REPORTED = 77;

/** What Node itself starts (ip, nft, a compiler) does not run under the sanitizers. */
const FOR_ITSELF_ONLY = '--import data:text/javascript,delete%20process.env.LD_PRELOAD';

/** The environment in which Node runs with that addon, as words for `env`; reports go to `folder`. */
export function sanitizedEnvironment(addon: string, folder: string): string[] {
  const common = `log_path=${join(folder, 'report')}:exitcode=${EXIT_REPORTED}`;
  // 2: V8 would take the signals for WebAssembly, and a wild touch would end without a report.
  const signals = 'handle_segv=2:handle_sigbus=2';
  const asan = `detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1:${signals}`;
  return [
    `PORTFOLD_ADDON=${addon}`,
    `LD_PRELOAD=${runtimePath()}`,
    `NODE_OPTIONS=${FOR_ITSELF_ONLY}`,
    `ASAN_OPTIONS=${common}:${asan}`,
    `UBSAN_OPTIONS=${common}:print_stacktrace=1:halt_on_error=1`,
    `LSAN_OPTIONS=${common}`,
  ];
}

export interface Reports {
  /** Errors of memory and undefined behaviour, wherever they were met. */
  errors: string[];
  /** Leaks of what the addon asked for. */
  leaks: string[];
  /** Leaks of Node alone. */
  leaksOfNode: number;
}

/** Reads all reports that lie in a folder. */
export function readReports(folder: string): Reports {
  const reports: Reports = { errors: [], leaks: [], leaksOfNode: 0 };
  for (const name of readdirSync(folder).filter((name) => name.startsWith('report.'))) {
    const text = readFileSync(join(folder, name), 'utf8');
    const [before, ...leaks] = text.split(/^(?=(?:Direct|Indirect) leak of )/m);
    if (/ERROR: AddressSanitizer|runtime error:/.test(before)) reports.errors.push(before.trim());
    for (const leak of leaks) {
      if (isOfAddon(leak)) reports.leaks.push(leak.trim());
      else reports.leaksOfNode++;
    }
  }
  return reports;
}

/**
 * What is allocated on the way out of the addon but not for it: V8's notes, and the shell of an
 * external value, which Node frees when it is collected and not at the end of the process.
 */
const OF_NODE = /v8::internal::| in napi_create_external /;

function isOfAddon(leak: string): boolean {
  const [allocator, caller] = leak.split(/tun\/native\/\w+\.c:|portfold\.node/);
  return caller !== undefined && !OF_NODE.test(allocator);
}

function spoil(text: string, broken: Break): string {
  if (text.split(broken.from).length !== 2) {
    throw new Error(`${broken.file} does not hold "${broken.from}" once: mend the list of breaks`);
  }
  return text.replace(broken.from, broken.to);
}

/** The runtime of the sanitizer; a program without it loads it first or not at all. */
function runtimePath(): string {
  const path = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  if (!path.includes('/')) throw new Error('gcc has no libasan.so: install libasan of its version');
  return realpathSync(path);
}

function headersFolder(): string {
  const besideNode = join(dirname(dirname(process.execPath)), 'include', 'node');
  const folders = [besideNode, '/usr/include/node', '/usr/local/include/node'];
  const found = folders.find((folder) => existsSync(join(folder, 'node_api.h')));
  if (found !== undefined) return found;
  throw new Error(`no node_api.h in ${folders.join(', ')}: install the headers of Node.js`);
}

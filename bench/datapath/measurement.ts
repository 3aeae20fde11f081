/**
 * What a measurement costs and loses: processor time of the forwarder's thread, of the whole
 * machine, and packets lost on the way.
 *
 *   const before = await takeReading(scene, forwarder)
 *   … traffic …
 *   const spent = difference(before, await takeReading(scene, forwarder))
 *
 * Of a thread the kernel counts nanoseconds in all (schedstat) and how many clock ticks fell into
 * user and into system time (stat); the ticks divide the nanoseconds. What the kernel does for
 * others in the thread's name — it forwards a written packet as far as the receiver's socket — is
 * system time of that thread, for every rival alike.
 *
 * The rings that may overflow, in the order of a packet's way: the transmit queue of the TUN
 * (`tun`), a veth's or bridge port's (`link`), the backlog of a core (`backlog`), and the receive
 * buffer of a socket (`socket`).
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Namespace } from '../../lab/netns.ts';

/** USER_HZ, the unit of /proc in user space, is 100 on every Linux. */
const TICKS_PER_SECOND = 100;
/** Columns of /proc/net/dev behind the name. */
const RECEIVE_DROP = 3;
const TRANSMIT_DROP = 11;
const SOFTNET_DROPPED = 1;

export interface ThreadTime {
  userSeconds: number;
  systemSeconds: number;
}

/** As the kernel counts it. */
export interface ThreadCount {
  seconds: number;
  /** Ready to run, while somebody else had the core. */
  waitedSeconds: number;
  userTicks: number;
  systemTicks: number;
}

export interface Losses {
  tun: number;
  link: number;
  backlog: number;
  socket: number;
}

export interface Reading {
  atSeconds: number;
  thread: ThreadCount;
  machineSeconds: number;
  losses: Losses;
}

export interface Spent {
  seconds: number;
  thread: ThreadTime;
  /** Share of the time in which the forwarder's thread ran, 0 to 1; NaN where there is no such thread. */
  busy: number;
  /** Share of the time in which it was ready and somebody else had its core. */
  waited: number;
  /** Busy time of all cores, generators and receivers included. */
  machineSeconds: number;
  losses: Losses;
}

/** A thread to be watched, and the device whose drops are the ring's. */
export interface Watched {
  pid?: number;
  tid?: number;
  tun?: string;
}

export async function takeReading(
  namespaces: readonly Namespace[],
  watched: Watched,
): Promise<Reading> {
  const { pid, tid, tun } = watched;
  const losses = await readLosses(namespaces, tun);
  const none = {
    seconds: Number.NaN,
    waitedSeconds: Number.NaN,
    userTicks: Number.NaN,
    systemTicks: Number.NaN,
  };
  return {
    losses,
    atSeconds: performance.now() / 1000,
    thread: pid === undefined ? none : threadCount(pid, tid ?? pid),
    machineSeconds: machineSeconds(readFileSync('/proc/stat', 'utf8')),
  };
}

export function difference(before: Reading, after: Reading): Spent {
  const seconds = after.atSeconds - before.atSeconds;
  const thread = ranBetween(before.thread, after.thread);
  const losses = { ...after.losses };
  for (const ring of Object.keys(losses) as (keyof Losses)[]) losses[ring] -= before.losses[ring];
  return {
    seconds,
    thread,
    busy: (thread.userSeconds + thread.systemSeconds) / seconds,
    waited: (after.thread.waitedSeconds - before.thread.waitedSeconds) / seconds,
    machineSeconds: after.machineSeconds - before.machineSeconds,
    losses,
  };
}

export function threadCount(pid: number, tid: number): ThreadCount {
  const folder = `/proc/${pid}/task/${tid}`;
  const stat = readFileSync(`${folder}/stat`, 'utf8');
  return countOf(stat, readFileSync(`${folder}/schedstat`, 'utf8'));
}

/** From the texts of stat and schedstat; without the latter's count the ticks alone must do. */
export function countOf(stat: string, schedstat: string): ThreadCount {
  // The name in brackets may hold blanks, so the columns are counted from behind it: utime and
  // stime are the 14th and 15th of the file.
  const columns = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [userTicks, systemTicks] = [Number(columns[11]), Number(columns[12])];
  const ticks = userTicks + systemTicks;
  const [ran, waited] = schedstat.split(' ').map(Number);
  const seconds = ran / 1e9 || ticks / TICKS_PER_SECOND;
  return { seconds, waitedSeconds: waited / 1e9, userTicks, systemTicks };
}

/** The nanoseconds in between, parted as the ticks in between are. */
export function ranBetween(before: ThreadCount, after: ThreadCount): ThreadTime {
  const seconds = after.seconds - before.seconds;
  const user = after.userTicks - before.userTicks;
  const ticks = user + after.systemTicks - before.systemTicks;
  const share = ticks === 0 ? 0 : user / ticks;
  return { userSeconds: seconds * share, systemSeconds: seconds * (1 - share) };
}

export interface Ran {
  tid: number;
  seconds: number;
}

/** How long each thread of a process runs from now on, the busiest first. */
export function watchThreads(pid: number): { look(): Ran[] } {
  const times = (): Ran[] =>
    readdirSync(`/proc/${pid}/task`).map((name) => ({
      tid: Number(name),
      seconds: threadCount(pid, Number(name)).seconds,
    }));
  const before = new Map(times().map(({ tid, seconds }) => [tid, seconds]));
  return {
    look: () =>
      times()
        .map(({ tid, seconds }) => ({ tid, seconds: seconds - (before.get(tid) ?? 0) }))
        .sort((a, b) => b.seconds - a.seconds),
  };
}

/** Busy seconds of all cores together, from the text of /proc/stat. */
export function machineSeconds(stat: string): number {
  const words = stat.slice(0, stat.indexOf('\n')).trim().split(/\s+/).slice(1).map(Number);
  const [user, nice, system, , , irq, softirq, steal] = words;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

async function readLosses(namespaces: readonly Namespace[], tun?: string): Promise<Losses> {
  const losses = {
    tun: 0,
    link: 0,
    backlog: backlogDrops(readFileSync('/proc/net/softnet_stat', 'utf8')),
    socket: 0,
  };
  const texts = await Promise.all(
    namespaces.map((one) => one.run('cat', ['/proc/self/net/dev', '/proc/self/net/snmp'])),
  );
  for (const { stdout } of texts) {
    for (const [device, drops] of linkDrops(stdout))
      losses[device === tun ? 'tun' : 'link'] += drops;
    losses.socket += socketDrops(stdout);
  }
  return losses;
}

/** Drops of each device, both sides, from the text of /proc/net/dev. */
export function linkDrops(text: string): [device: string, drops: number][] {
  const drops: [string, number][] = [];
  for (const line of text.split('\n')) {
    const match = line.match(/^\s*([^\s:]+):\s*((?:\d+\s+){15}\d+)\s*$/);
    if (match === null) continue;
    const columns = match[2].trim().split(/\s+/).map(Number);
    drops.push([match[1], columns[RECEIVE_DROP] + columns[TRANSMIT_DROP]]);
  }
  return drops;
}

/** Datagrams for which a receiver had no room, from the text of /proc/net/snmp. */
export function socketDrops(text: string): number {
  const [names, values] = [...text.matchAll(/^Udp: (.*)$/gm)].map((match) => match[1].split(' '));
  const at = names?.indexOf('RcvbufErrors') ?? -1;
  return at < 0 ? 0 : Number(values[at]);
}

/** Of all cores, from the text of /proc/net/softnet_stat. */
export function backlogDrops(text: string): number {
  return text
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number.parseInt(line.split(' ')[SOFTNET_DROPPED], 16), 0);
}

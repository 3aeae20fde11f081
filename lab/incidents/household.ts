/**
 * What people in the house notice: names that are not resolved, pages that do not come.
 *
 * Each attempt stands for itself, since a browser that waits is a browser that failed: one query without a second try,
 * one page within three seconds.
 */
import type { Namespace } from '../netns.ts';
import { WEB_GREETING, WEB_NAME } from '../services.ts';
import { NAME_SERVER, SERVER } from '../topology.ts';

const PATIENCE_SECONDS = 3;

export interface Household {
  attempts: number;
  namesFailed: number;
  pagesFailed: number;
}

/** Tries `attempts` names and pages, one after the other, evenly over the time. */
export async function tryHousehold(
  host: Namespace,
  attempts: number,
  seconds: number,
): Promise<Household> {
  const result: Household = { attempts, namesFailed: 0, pagesFailed: 0 };
  const started = performance.now();
  for (let i = 0; i < attempts; i++) {
    const due = started + (i * seconds * 1000) / attempts;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    if (!(await resolves(host))) result.namesFailed++;
    if (!(await shows(host))) result.pagesFailed++;
  }
  return result;
}

async function resolves(host: Namespace): Promise<boolean> {
  const patience = `+time=${PATIENCE_SECONDS}`;
  const words = [`@${NAME_SERVER}`, '+short', '+tries=1', patience, WEB_NAME, 'A'];
  const { stdout } = await host.run('dig', words, { check: false });
  return stdout.includes(SERVER);
}

async function shows(host: Namespace): Promise<boolean> {
  const words = ['-s', '-m', `${PATIENCE_SECONDS}`, `http://${SERVER}/`];
  const { stdout } = await host.run('curl', words, { check: false });
  return stdout.trim() === WEB_GREETING;
}

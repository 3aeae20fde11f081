/**
 * Applies or undoes host settings in a process of its own, so that a test can do so inside a
 * network namespace and from a fresh process:
 *
 *   ip netns exec NAME node --import tsx test/tun/host/command.ts apply REQUEST-AS-JSON
 *   ip netns exec NAME node --import tsx test/tun/host/command.ts undo RUNTIME-DIRECTORY
 *
 * Prints the result as JSON; an error as JSON with its code and exitCode.
 */
import { applyHost, inspectHost, undoHost } from '../../../tun/host/index.ts';

const [verb, argument] = process.argv.slice(2);

try {
  if (verb === 'apply') console.log(JSON.stringify(await applyHost(JSON.parse(argument))));
  else if (verb === 'undo') console.log(JSON.stringify(await undoHost(argument)));
  else {
    await inspectHost(JSON.parse(argument));
    console.log('{}');
  }
} catch (error) {
  const { code, exitCode, message, stack } = error as Error & { code?: string; exitCode?: number };
  console.log(JSON.stringify({ error: { code, exitCode, message } }));
  if (exitCode === undefined) console.error(stack);
  process.exitCode = exitCode ?? 70;
}

/**
 * `portfold why`: what is short, who and what takes it, since when, and what to do about it; or that nothing is.
 *
 * The gateway finds and words it (gateway/source/why.ts); here it is set in lines.
 */
import type { Command } from 'commander';
import type { WhyAnswer, WhyFinding, WhySeverity } from '../../gateway/control/api.ts';
import { type Context, examples, tableOrJson } from '../context.ts';
import { formatCount } from '../format.ts';
import { paint, printable, type Terminal } from '../terminal.ts';

const WIDTH = 100;
const WIDTH_MIN = 40;
const INDENT = '  ';

/** The word that each finding begins with. */
const LABELS: Record<WhySeverity, string> = {
  short: 'SHORT',
  tight: 'NEARLY USED UP',
  notice: 'WORTH KNOWING',
};

interface WhyOptions {
  host?: string;
  output: 'table' | 'json';
}

export function addWhy(program: Command, context: Context): void {
  program
    .command('why')
    .summary('Say what is short, who takes it, since when, and what to do')
    .description(
      'Say what is short (ports towards a destination, owned ports, the session table, the NAT above, the limit of a host), who and ' +
        'what takes it, since when, and what to do about it; or that nothing is short.\n\n' +
        'Exit status: 0 it was answered, whatever the answer; 3 the gateway is not running.',
    )
    .option('--host <address>', 'only what this LAN host has to do with, and what it holds')
    .addOption(tableOrJson())
    .addHelpText(
      'after',
      examples(
        'portfold why                            when the network feels slow, or pages fail',
        'portfold why --host 192.168.1.20        what one host does and meets',
        "portfold why -o json | jq '.findings[].kind'",
      ),
    )
    .action(context.action((options: WhyOptions) => show(context, options)));
}

async function show(context: Context, { host, output }: WhyOptions): Promise<number> {
  const { terminal } = context;
  const answer = await context.client().why(host);
  if (output === 'json') terminal.write(JSON.stringify(answer, null, 2) + '\n');
  else terminal.write(renderWhy(terminal, answer, host));
  return 0;
}

/** The answer for people. */
export function renderWhy(terminal: Terminal, answer: WhyAnswer, host?: string): string {
  const paragraphs = [wrapped(terminal, answer.summary, '')];
  if (host !== undefined) paragraphs.push(hostText(terminal, answer, host));
  paragraphs.push(...answer.findings.map((one) => findingText(terminal, one)));
  if (host === undefined && answer.findings.every(({ severity }) => severity === 'notice'))
    paragraphs.push(usersText(terminal, answer));
  return paragraphs.filter((text) => text !== '').join('\n');
}

function hostText(terminal: Terminal, { host, findings }: WhyAnswer, address: string): string {
  if (host !== undefined) return wrapped(terminal, host.text, '');
  const known = findings.some(({ hosts }) => hosts.some((one) => one.address === address));
  return known
    ? ''
    : wrapped(
        terminal,
        `${address} has sent nothing through this gateway, as far as it remembers.`,
        '',
      );
}

function findingText(terminal: Terminal, one: WhyFinding): string {
  const style = one.severity === 'short' ? 'red' : one.severity === 'tight' ? 'yellow' : 'bold';
  const label = LABELS[one.severity];
  return (
    `${paint(terminal, style, label)}  ${printable(one.title)}\n` +
    wrapped(terminal, one.text, INDENT) +
    wrapped(terminal, `What to do: ${one.advice}`, INDENT)
  );
}

function usersText(terminal: Terminal, { users }: WhyAnswer): string {
  if (users.length === 0) return wrapped(terminal, 'No host has a session.', '');
  const texts = users.map(
    ({ address, sessions = 0, ports = 0 }) =>
      `${address} (${formatCount(sessions)}${ports > 0 ? `, owns ${formatCount(ports)} ports` : ''})`,
  );
  return wrapped(terminal, `Most sessions: ${texts.join(', ')}.`, '');
}

/** Prose in lines of at most a hundred characters, on a pipe as well. */
function wrapped(terminal: Terminal, text: string, indent: string): string {
  const columns = terminal.columns > 0 ? Math.min(terminal.columns, WIDTH) : WIDTH;
  const width = Math.max(WIDTH_MIN, columns);
  let out = '';
  let line = indent;
  for (const word of printable(text).split(' ')) {
    if (line.trim() !== '' && line.length + 1 + word.length > width) {
      out += line + '\n';
      line = indent;
    }
    line += (line.trim() === '' ? '' : ' ') + word;
  }
  return out + line + '\n';
}

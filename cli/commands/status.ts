/**
 * `portfold status`, and bare `portfold`: is it forwarding, through which address, how full is it, and what needs a look.
 *
 *   exit 0 forwarding, 1 starting, stopping or degraded, 3 not running, 4 no permission
 */
import type { Command } from 'commander';
import type {
  DropItem,
  HostItem,
  LineStatus,
  RelayStatus,
  Status,
} from '../../gateway/control/api.ts';
import { type Context, examples, tableOrJson } from '../context.ts';
import { formatBar, formatBytes, formatCount, formatDuration, formatShare } from '../format.ts';
import { cut } from '../table.ts';
import { paint, printable, type Terminal } from '../terminal.ts';

const TOP_HOSTS = 3;
const TOP_DROPS = 3;
const TOP_CLASSES = 6;
const TOP_DROPS_QUERY = { sort: '-packets', limit: TOP_DROPS, filter: ['packets>0'] };
/** Ranges of ports that a line shows; a MAP-E set has up to 63 of them. */
const RANGES_SHOWN = 4;
/** Share from which a table or a port set is called short. */
const SHORT_FROM = 0.9;

export function addStatus(program: Command, context: Context): void {
  program
    .command('status')
    .summary('Show whether the gateway forwards, and how full it is')
    .description(
      'Show whether the gateway forwards, and how full it is.\n\n' +
        'Exit status: 0 forwarding, 1 starting, stopping or degraded, 3 not running, 4 no permission.',
    )
    .addOption(tableOrJson())
    .addHelpText(
      'after',
      examples(
        'portfold status                      for people',
        'portfold status -o json | jq .ports  for scripts',
        'portfold status >/dev/null || echo "not forwarding"',
      ),
    )
    .action(context.action((options: { output: 'table' | 'json' }) => show(context, options)));
}

async function show(context: Context, options: { output: 'table' | 'json' }): Promise<number> {
  const client = context.client();
  const { terminal } = context;
  const status = await client.status();
  if (options.output === 'json') {
    terminal.write(JSON.stringify(status, null, 2) + '\n');
  } else if (status.relay !== undefined) {
    const drops = await client.list('drops', TOP_DROPS_QUERY);
    terminal.write(renderRelay(terminal, status, status.relay, drops.items));
  } else {
    const [hosts, drops] = await Promise.all([
      client.list('hosts', { sort: '-sessions', limit: TOP_HOSTS, filter: ['sessions>0'] }),
      client.list('drops', TOP_DROPS_QUERY),
    ]);
    terminal.write(renderStatus(terminal, status, hosts.items, drops.items));
  }
  return forwards(status) ? 0 : 1;
}

const forwards = (status: Status): boolean =>
  status.state === 'forwarding' && status.degraded === undefined;

/** The page that a person sees first. */
export function renderStatus(
  terminal: Terminal,
  status: Status,
  hosts: readonly HostItem[],
  drops: readonly DropItem[],
): string {
  return page(terminal, [
    headText(terminal, status, 'portfold'),
    status.lines.flatMap(lineText),
    portText(status),
    usageText(status),
    policyText(status),
    trafficText(status),
    topText(hosts, drops),
    warnings(status).map((text) => paint(terminal, 'yellow', `! ${text}`)),
  ]);
}

/** The same for a border relay, which has no sessions and no ports. */
export function renderRelay(
  terminal: Terminal,
  status: Status,
  relay: RelayStatus,
  drops: readonly DropItem[],
): string {
  const { counters } = status;
  return page(terminal, [
    headText(terminal, status, 'portfold border relay'),
    [
      `${label('relay')}${relay.address} on ${relay.interface}, mtu ${relay.mtu}, ICMP from ${relay.ipv4Address}`,
      ...relay.rules.map(
        (rule, i) =>
          `${label(i === 0 ? 'rules' : '')}${rule.ipv4} to ${rule.ipv6}, ` +
          `${rule.eaLength} EA bits, PSID offset ${rule.psidOffset}`,
      ),
    ],
    [
      `${label('traffic')}from CEs ${formatBytes(counters.bytesOutbound)} in ` +
        `${formatCount(counters.packetsOutbound)} packets, to CEs ${formatBytes(counters.bytesInbound)} in ` +
        `${formatCount(counters.packetsInbound)} packets`,
      `${label('packets')}${formatCount(relay.packetsBetweenCes)} between CEs, ` +
        `${formatCount(counters.packetsDropped)} dropped, ${formatCount(counters.packetsAnswered)} answered by the relay`,
      `${label('memory')}${formatBytes(status.memory.residentBytes)} resident; no sessions, a relay is stateless`,
    ],
    topText([], drops),
    lossText(status).map((text) => paint(terminal, 'yellow', `! ${text}`)),
  ]);
}

function headText(terminal: Terminal, status: Status, name: string): string[] {
  const stateStyle = forwards(status) ? 'green' : 'yellow';
  const state = status.degraded === undefined ? status.state : 'degraded, running';
  return [
    `${name} ${status.version}  ${paint(terminal, stateStyle, state)} for ` +
      formatDuration(status.uptimeSeconds),
    `pid ${status.pid}, ${status.tun}, ${status.configFile}`,
  ];
}

function page(terminal: Terminal, sections: string[][]): string {
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => fitted(terminal, line) + '\n').join(''))
    .join('\n');
}

/** A painted line keeps its colour; it is short. */
const fitted = (terminal: Terminal, line: string): string =>
  line.includes('\x1b') ? line : cut(printable(line), terminal.columns);

const label = (text: string): string => text.padEnd(10);

function lineText(line: LineStatus): string[] {
  const shown = line.portRanges.slice(0, RANGES_SHOWN).join(', ');
  const more = line.portRanges.length - RANGES_SHOWN;
  const texts = [
    `${label('line')}${line.name} (${line.type}) on ${line.interface}, mtu ${line.mtu}`,
    `${label('address')}${line.externalAddress}, ${formatCount(line.portCount)} ports: ` +
      `${shown}${more > 0 ? `, … ${more} more` : ''}`,
  ];
  if (line.ceAddress !== undefined)
    texts.push(
      `${label('tunnel')}${line.ceAddress} to ${line.brAddress ?? '?'} by ${line.encapsulation}` +
        (line.psid === undefined ? '' : `, PSID ${line.psid}`) +
        (line.mesh ? ', neighbours directly' : ''),
    );
  return texts;
}

/** A bar for each protocol, and what Portfold is for: how many sessions share a port. */
function portText(status: Status): string[] {
  return (['tcp', 'udp', 'icmp'] as const).map((protocol, i) => {
    const { used, owned, total } = status.ports[protocol];
    const sessions = status.sessions[protocol];
    const folded = used === 0 ? '' : `, ${(sessions / used).toFixed(1)} a port`;
    return (
      `${label(i === 0 ? 'ports' : '')}${protocol.padEnd(5)}${formatBar(used, total)} ` +
      `${formatCount(used).padStart(6)} of ${formatCount(total)} used` +
      `${owned > 0 ? `, ${formatCount(owned)} owned` : ''}; ${formatCount(sessions)} sessions${folded}`
    );
  });
}

function usageText(status: Status): string[] {
  return (['sessions', 'mappings', 'remotes', 'hosts'] as const).map((name) => {
    const { used, capacity } = status[name];
    return (
      `${label(name)}${formatCount(used).padStart(11)} of ${formatCount(capacity)} ` +
      `(${formatShare(used, capacity)})`
    );
  });
}

/** What the sessions are, and how short things are. */
function policyText({ classes, pressure, upstream }: Status): string[] {
  const texts: string[] = [];
  const most = Object.entries(classes ?? {})
    .filter(([, { now }]) => now > 0)
    .sort(([, a], [, b]) => b.now - a.now)
    .slice(0, TOP_CLASSES)
    .map(([name, { now }]) => `${name} ${formatCount(now)}`);
  if (most.length > 0) texts.push(`${label('classes')}${most.join(', ')}`);
  if (pressure !== undefined) {
    const { level, cause, endedSooner, evictedFromHeaviest, unansweredGaveWay } = pressure;
    const done = [
      [endedSooner, 'ended sooner for it'],
      [evictedFromHeaviest, 'ended of whoever held most'],
      [unansweredGaveWay, 'gave way without an answer'],
    ] as const;
    texts.push(
      `${label('pressure')}${level === 0 ? 'none' : `level ${level} of 3 (${cause ?? 'unknown'})`}` +
        done
          .filter(([count]) => count > 0)
          .map(([count, what]) => `; ${formatCount(count)} sessions ${what}`)
          .join(''),
    );
  }
  if (upstream !== undefined)
    texts.push(
      `${label('above')}${formatBar(upstream.used, upstream.capacity)} ${formatCount(upstream.used)} of ` +
        `${formatCount(upstream.capacity)} entries of the NAT above (${formatShare(upstream.used, upstream.capacity)}), ` +
        `${formatCount(upstream.reused)} taken again`,
    );
  return texts;
}

function trafficText({ counters, memory }: Status): string[] {
  return [
    `${label('traffic')}out ${formatBytes(counters.bytesOutbound)} in ` +
      `${formatCount(counters.packetsOutbound)} packets, in ${formatBytes(counters.bytesInbound)} in ` +
      `${formatCount(counters.packetsInbound)} packets`,
    `${label('packets')}${formatCount(counters.packetsDropped)} dropped, ` +
      `${formatCount(counters.packetsAnswered)} answered by the gateway`,
    `${label('since')}${formatCount(counters.sessionsCreated)} sessions created, ` +
      `${formatCount(counters.sessionsEnded)} ended, ${formatCount(counters.sessionsDiverted)} diverted, ` +
      `${formatCount(counters.sessionsRefused)} refused`,
    `${label('memory')}${formatBytes(memory.residentBytes)} resident; the arena has ` +
      formatBytes(memory.arenaBytes),
  ];
}

function topText(hosts: readonly HostItem[], drops: readonly DropItem[]): string[] {
  return [
    ...hosts.map(
      (host, i) =>
        `${label(i === 0 ? 'top hosts' : '')}${host.address.padEnd(16)}` +
        `${formatCount(host.sessions)} sessions` +
        (host.portsOwned > 0 ? `, owns ${formatCount(host.portsOwned)} of the ports` : '') +
        (host.sessionsRefused > 0 ? `, ${formatCount(host.sessionsRefused)} refused` : ''),
    ),
    ...drops.map(
      (drop, i) =>
        `${label(i === 0 ? 'top drops' : '')}${formatCount(drop.packets).padEnd(16)}${drop.meaning}`,
    ),
  ];
}

function warnings(status: Status): string[] {
  const texts: string[] = [];
  if (status.degraded !== undefined)
    texts.push(
      `packets do not pass: ${printable(status.degraded)}; \`portfold doctor\` may say more`,
    );
  for (const name of ['sessions', 'mappings', 'remotes', 'hosts'] as const) {
    const { used, capacity } = status[name];
    if (capacity > 0 && used >= capacity * SHORT_FROM)
      texts.push(
        `the table of ${name} is ${formatShare(used, capacity)} full: existing sessions go on, new ones will fail; ` +
          'see `portfold hosts`, or raise the capacity',
      );
  }
  for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
    const { owned, total } = status.ports[protocol];
    // Used ports are shared and no worry; owned ones are gone for everybody else.
    if (total > 0 && owned >= total * SHORT_FROM)
      texts.push(
        `${formatShare(owned, total)} of the ${protocol} ports belong to one endpoint each; ` +
          `see \`portfold ports ${protocol} owned\``,
      );
  }
  if ((status.pressure?.level ?? 0) > 1)
    texts.push(
      `pressure is at level ${status.pressure?.level} of 3: idle sessions end sooner; see \`portfold why\``,
    );
  if (status.counters.sessionsRefused > 0)
    texts.push(
      `${formatCount(status.counters.sessionsRefused)} sessions were refused since the start; ` +
        '`portfold why` says what is short now',
    );
  return [...texts, ...lossText(status)];
}

function lossText({ counters }: Status): string[] {
  const { packetsLostAtTun } = counters;
  if (packetsLostAtTun === 0) return [];
  return [
    `${formatCount(packetsLostAtTun)} packets were lost since the start because the queue towards the gateway was full: ` +
      'it had too little processor time',
  ];
}

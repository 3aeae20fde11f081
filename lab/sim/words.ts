/** Words of the simulator: what a recording holds and what was made of it, and text from files that must not steer a terminal. */
import type { Capture } from './capture.ts';
import type { Recording } from './pcap.ts';

/** Of what a file holds besides IPv4, the kinds that are named. */
const KINDS_MAX = 4;
const HINT = 'record on the LAN side of a router, for instance with `tcpdump -i LAN -w FILE`';

/** Control characters as TOML and JSON write them: "\u001b". */
export const escaped = (text: string): string =>
  text.replace(/\p{Cc}/gu, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** What of a recording is not played as it was recorded, a line each. */
export function captureNotes({ flows, leftOut }: Capture): string[] {
  const stood = flows.filter(({ stoodBefore }) => stoodBefore).length;
  return [
    ...(stood === 0
      ? []
      : [`${connections(stood)} stood before the recording: opened in front of the first packet`]),
    ...leftOutWords(leftOut),
  ];
}

/** Why nothing of a recording can be played. */
export function emptyWords({ packets, others }: Recording, { leftOut }: Capture): string {
  const otherCount = sum([...others.values()]);
  if (packets.length === 0 && otherCount === 0) return `holds no packet; ${HINT}`;
  if (packets.length === 0)
    return `holds no IPv4 that can be read here: its packets are ${kindsOf(others)}; ${HINT}`;
  const words = leftOutWords(leftOut);
  if (words.length > 0) return `holds nothing that can be played: ${words.join(', ')}`;
  const rest = otherCount === 0 ? '' : `, and ${kindsOf(others)} besides`;
  return (
    `holds no packet that a router would see: of its ${word(packets.length)} IPv4 packets each stays in one network, goes to ` +
    `everybody, is cut short or of no protocol that is played${rest}; ${HINT}`
  );
}

function leftOutWords({ ended, fromOutside }: Capture['leftOut']): string[] {
  const words: string[] = [];
  if (ended > 0) words.push(`${connections(ended)} left out, of which only the end was recorded`);
  if (fromOutside > 0) words.push(`${connections(fromOutside)} left out, which began outside`);
  return words;
}

/** "40 × IPv6, 6 × ARP": the most frequent first. */
function kindsOf(others: ReadonlyMap<string, number>): string {
  const found = [...others].sort((a, b) => b[1] - a[1]);
  const named = found.slice(0, KINDS_MAX).map(([kind, count]) => `${word(count)} × ${kind}`);
  const rest = sum(found.slice(KINDS_MAX).map(([, count]) => count));
  return [...named, ...(rest === 0 ? [] : [`${word(rest)} × others`])].join(', ');
}

const connections = (count: number): string =>
  `${word(count)} TCP connection${count === 1 ? '' : 's'}`;

const word = (count: number): string => count.toLocaleString('en');

const sum = (counts: readonly number[]): number => counts.reduce((all, each) => all + each, 0);

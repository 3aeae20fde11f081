/** The words for destinations that do not answer: one host and one address, many hosts and one, one host and many. */
import type { Finding } from './why-finding.ts';
import { address, type Clock, list, number, place, plural, when } from './why-phrases.ts';
import type { Words } from './why-words.ts';

/** From here on the ports of one address look like a search. */
const SCAN_PORTS_MIN = 8;

export function silentWords(one: Finding, clock: Clock): Words {
  const { hosts, addresses, ports, externalPorts, sessions } = one.numbers;
  const [host] = one.hosts;
  const [to] = one.destinations;
  const who = hosts > 1 ? `${number(hosts)} hosts` : host.address;
  const where = addresses > 1 ? `${number(addresses)} addresses` : to.address;
  const harm = one.severity === 'notice' ? ' It hurts nobody else.' : '';
  if (hosts === 1 && addresses === 1) {
    const { what, remark, advice } = oneSilent(one);
    return {
      title: `${who} gets no answer from ${where}`,
      text:
        `${what}, and nothing there has answered${when(one, clock)}.${remark} It holds ` +
        `${number(externalPorts)} of ${plural(ports, 'external port')} now${gaveWayWords(one)}.${harm}`,
      advice,
    };
  }
  const named = hosts > 1 ? list(one.hosts.map(address)) : list(one.destinations.map(place));
  const isDns = one.classes[0].class === 'dns';
  return {
    title: `${who} ${hosts > 1 ? 'get' : 'gets'} no answer from ${where}`,
    text:
      `${who} ${hosts > 1 ? 'send' : 'sends'} UDP to ${addresses > 1 ? where : `${to.address} port ${to.port}`}, and nothing there has ` +
      `answered${when(one, clock)}; ${hosts > addresses ? 'they are' : 'most are'} ${named}. That holds ${plural(sessions, 'session')} ` +
      `now${gaveWayWords(one)}.${harm}`,
    advice:
      hosts > 1
        ? isDns
          ? `See whether the name server ${to.address} runs, or give the hosts another one (DHCP).`
          : `See whether ${to.address} runs, and whether the line reaches it.`
        : `Find out what runs on ${host.address}: that is what a scan looks like, or a program with a list of addresses that are gone. ` +
          `\`portfold sessions ${host.address} state=unanswered\` lists the attempts.`,
  };
}

/** One host and one address: a program that seeks something, a scan, or a name server that is gone. */
function oneSilent(one: Finding): { what: string; remark: string; advice: string } {
  const { sessions, sourcePorts, remotePorts, packets } = one.numbers;
  const who = one.hosts[0].address;
  const to = one.destinations[0].address;
  const ports = list(one.destinations.slice(0, 3).map(({ port }) => String(port)));
  if (remotePorts >= SCAN_PORTS_MIN && remotePorts > sourcePorts)
    return {
      what: `${who} tries ${number(remotePorts)} UDP ports of ${to}`,
      remark: '',
      advice: `That is what a port scan looks like: find out what runs on ${who}.`,
    };
  if (one.classes[0].class === 'dns')
    return {
      what: `${who} asks the name server ${to} port ${ports}`,
      remark: '',
      advice: `Give ${who} another name server, or see whether ${to} runs.`,
    };
  const isEachNew = packets <= 1.5 * sessions && sourcePorts >= 0.75 * sessions;
  return {
    what: `${who} sends UDP to ${to} port ${ports}`,
    remark: isEachNew
      ? ' Nearly each packet comes from a new source port, and would take a port of its own for minutes.'
      : '',
    advice:
      `Look on ${who} for a program that seeks something at ${to} which is not there any more: the driver of a device, a printer, a ` +
      `game. \`portfold sessions ${who} state=unanswered\` lists the attempts.`,
  };
}

function gaveWayWords({ numbers }: Finding): string {
  const { gaveWay, gaveWayLastMinute, deadDestinations } = numbers;
  if (gaveWay === undefined) return '';
  return (
    `; ${plural(gaveWay, 'older session')} ${gaveWay === 1 ? 'has' : 'have'} given way to newer ones` +
    `${deadDestinations > 1 ? ' (for all destinations that do not answer)' : ''}, ` +
    `${number(gaveWayLastMinute)} of them in the last minute`
  );
}

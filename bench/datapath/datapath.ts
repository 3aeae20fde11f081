/**
 * The datapath against its ceiling: the null forwarder in C and Portfold, in turn, in the same
 * namespaces.
 *
 *   h1 ── lan0 ─ gw ─ wan0 ── p ── br ── inet          address line, no encapsulation, offloads on
 *
 *   ceiling    null-forwarder: the same TUN flags and batches, no translation
 *   portfold   `portfold run`, as a user starts it
 *
 * Each pair runs one after the other (A B A B …), since a small virtual machine drifts by more than
 * the difference. TCP is iperf3 with superpackets end to end; UDP is 64 bytes of payload, as fast
 * as one sender can, and what arrives is counted.
 */

import { startSink, udpBlast } from '../../lab/flows.ts';
import { Gateway } from '../../lab/gateway.ts';
import { until } from '../../lab/netns.ts';
import {
  builtProgram,
  LabError,
  missingPrograms,
  missingSentence,
  requireLab,
} from '../../lab/programs.ts';
import { iperf, startIperf } from '../../lab/services.ts';
import { buildLab, type Lab, SERVER } from '../../lab/topology.ts';
import type { Report, Row } from '../verbs/report.ts';

const PAIRS = 5;
const PAIRS_SMOKE = 1;
const SECONDS = 4;
const SECONDS_SMOKE = 1;
const UDP_PAYLOAD_BYTES = 64;
const NULL_TUN = 'null0';
const NULL_TABLE = 99;

interface Figures {
  tcpOutbound: number;
  tcpInbound: number;
  udpOutbound: number;
}

export async function datapath(options: { smoke: boolean }): Promise<Report> {
  requireLab();
  builtProgram('flows');
  builtProgram('null-forwarder');
  const missing = missingPrograms(['iperf3']);
  if (missing.length > 0) throw new LabError('BENCH_PROGRAMS_MISSING', 1, missingSentence(missing));
  const pairs = options.smoke ? PAIRS_SMOKE : PAIRS;
  const seconds = options.smoke ? SECONDS_SMOKE : SECONDS;
  const lab = await buildLab({ line: 'address', hosts: 1, routedLan: true });
  try {
    await startIperf(lab.internet);
    const ceiling: Figures[] = [];
    const portfold: Figures[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      ceiling.push(await withNullForwarder(lab, () => measure(lab, seconds)));
      portfold.push(await withPortfold(lab, () => measure(lab, seconds)));
      progress(pair + 1, pairs);
    }
    return {
      suite: 'datapath',
      command: `portfold bench datapath${options.smoke ? ' --smoke' : ''}`,
      smoke: options.smoke,
      rows: [
        row('TCP outbound', 'Gbit/s', 'tcpOutbound', ceiling, portfold),
        row('TCP inbound', 'Gbit/s', 'tcpInbound', ceiling, portfold),
        row(
          `UDP outbound, ${UDP_PAYLOAD_BYTES} bytes`,
          'kpacket/s',
          'udpOutbound',
          ceiling,
          portfold,
        ),
      ],
      notes: { pairs: `${pairs}, ${seconds} s each` },
    };
  } finally {
    lab.remove();
  }
}

function row(
  name: string,
  unit: string,
  key: keyof Figures,
  ceiling: Figures[],
  portfold: Figures[],
): Row {
  return {
    name,
    unit,
    samples: {
      ceiling: ceiling.map((figures) => figures[key]),
      portfold: portfold.map((figures) => figures[key]),
    },
  };
}

async function measure(lab: Lab, seconds: number): Promise<Figures> {
  const [host] = lab.hosts;
  const outbound = await iperf(host, { seconds });
  const inbound = await iperf(host, { seconds, reverse: true });
  const sink = await startSink(lab.internet);
  await udpBlast(host, { to: SERVER, bytes: UDP_PAYLOAD_BYTES, seconds });
  const received = JSON.parse((await sink.ended).stdout.trim().split('\n').at(-1) ?? '{}');
  return {
    tcpOutbound: outbound.bitsPerSecond / 1e9,
    tcpInbound: inbound.bitsPerSecond / 1e9,
    udpOutbound: received.perSecond / 1e3,
  };
}

async function withPortfold<T>(lab: Lab, work: () => Promise<T>): Promise<T> {
  const gateway = new Gateway(lab);
  try {
    await gateway.start();
    return await work();
  } finally {
    await gateway.stop();
  }
}

/**
 * Both directions through one TUN, as Portfold has it, with routes of our own that go with the
 * namespace's state before.
 */
async function withNullForwarder<T>(lab: Lab, work: () => Promise<T>): Promise<T> {
  const forwarder = lab.gateway.start(builtProgram('null-forwarder'), [NULL_TUN]);
  const rules = [
    `pref 300 iif lan0 lookup ${NULL_TABLE}`,
    `pref 301 iif wan0 to 192.168.7.0/24 lookup ${NULL_TABLE}`,
  ];
  try {
    await until(`${NULL_TUN} to exist`, async () => {
      if (forwarder.over) throw new Error(forwarder.stderr);
      const link = await lab.gateway.run('ip', ['link', 'show', NULL_TUN], { check: false });
      return link.code === 0;
    });
    await lab.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    await lab.gateway.ip([
      `link set ${NULL_TUN} mtu 65535 txqueuelen 10000 up`,
      `route add default dev ${NULL_TUN} table ${NULL_TABLE}`,
      ...rules.map((rule) => `rule add ${rule}`),
    ]);
    const result = await work();
    await lab.gateway.ip(rules.map((rule) => `rule del ${rule}`));
    return result;
  } finally {
    await forwarder.stop();
    await lab.gateway.sysctl({ 'net.ipv4.ip_forward': 0 });
  }
}

function progress(done: number, all: number): void {
  process.stderr.write(`pair ${done} of ${all}\n`);
}

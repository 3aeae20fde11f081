import assert from 'node:assert/strict';
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../../../core/wire/tcp.ts';
import { captureOf } from '../../../lab/sim/capture.ts';
import { parseRecording } from '../../../lab/sim/pcap.ts';
import { runsAsJson, runsAsText } from '../../../lab/sim/report.ts';
import { captureNotes, emptyWords, escaped } from '../../../lab/sim/words.ts';
import { type Packet, pcap } from './recordings.ts';
import { scenarioOf } from './support.ts';

const HOST: [string, number] = ['192.168.7.20', 40_000];
const segment = (to: [string, number], flags: number): Packet => ({
  ms: 0,
  from: HOST,
  to,
  flags,
  protocol: 'tcp',
});
const STOOD = segment(['93.184.216.34', 443], TCP_ACK);
const ENDED = segment(['93.184.216.35', 443], TCP_FIN | TCP_ACK);
const SERVED = segment(['93.184.216.36', 443], TCP_SYN | TCP_ACK);

/** @param link type of the headers; what is behind other types than 1 (Ethernet) is IPv4 without any */
function emptiness(packets: Packet[], link = 1): string {
  const recording = parseRecording(pcap(packets, true, false, link), 'x');
  return emptyWords(recording, captureOf(recording));
}

describe('words of the simulator', () => {
  it('say which connections of a recording are not played as they were', () => {
    const capture = captureOf(parseRecording(pcap([STOOD, ENDED, SERVED], true, false), 'x'));
    assert.deepEqual(captureNotes(capture), [
      '1 TCP connection stood before the recording: opened in front of the first packet',
      '1 TCP connection left out, of which only the end was recorded',
      '1 TCP connection left out, which began outside',
    ]);
    const scenario = scenarioOf(
      'duration = "30s"\n[[model]]\nrouter = "portfold"\n[[users]]\nkind = "mouse"\n',
    );
    const text = runsAsText({ ...scenario, about: 'x', capture }, 1, []).split('\n');
    assert.deepEqual(text.slice(0, 5), ['test: 30 seconds, seed 1', 'x', ...captureNotes(capture)]);
    const { recording } = JSON.parse(runsAsJson({ ...scenario, capture }, 1, []));
    const leftOut = { ended: 1, fromOutside: 1 };
    assert.deepEqual(recording, { flows: 1, stoodBefore: 1, packets: 1, leftOut });
  });

  it('say why nothing of a recording can be played', () => {
    assert.match(emptiness([]), /^holds no packet; record on the LAN side of a router/);
    assert.match(
      emptiness([STOOD, ENDED], 105),
      /^holds no IPv4 that can be read here: its packets are 2 × Wi-Fi \(link type 105\); record/,
    );
    assert.match(
      emptiness([ENDED]),
      /^holds nothing that can be played: 1 TCP connection left out, of which only the end was recorded$/,
    );
    assert.match(
      emptiness([segment(['192.168.7.1', 80], TCP_SYN)]),
      /^holds no packet that a router would see: of its 1 IPv4 packets each stays in one/,
    );
  });

  it('name the most frequent kinds of what is not IPv4', () => {
    const others = new Map([1, 2, 3, 4, 5, 6].map((count) => [`kind ${count}`, count]));
    const recording = { bytes: new Uint8Array(0), packets: [], others };
    assert.match(
      emptyWords(recording, captureOf(recording)),
      /are 6 × kind 6, 5 × kind 5, 4 × kind 4, 3 × kind 3, 3 × others; record/,
    );
  });

  it('show durations in minutes, and short ones in seconds', () => {
    const headOf = (duration: string): string => {
      const scenario = scenarioOf(
        `duration = "${duration}"\n[[model]]\nrouter = "portfold"\n[[users]]\nkind = "mouse"\n`,
      );
      return runsAsText(scenario, 1, []).split('\n')[0];
    };
    assert.equal(headOf('500ms'), 'test: 0.5 seconds, seed 1');
    assert.equal(headOf('1s'), 'test: 1 second, seed 1');
    assert.equal(headOf('1m'), 'test: 1 minute, seed 1');
    assert.equal(headOf('2h'), 'test: 120 minutes, seed 1');
  });

  it('escape what would steer a terminal', () => {
    assert.equal(escaped('a\x1b[31mb\x9bc\r\n'), 'a\\u001b[31mb\\u009bc\\u000d\\u000a');
  });
});

import assert from 'node:assert/strict';
import { CLASS_NAMES } from '../../../core/state.ts';
import { Opening } from '../../../core/table/opening.ts';
import { PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import { Payload, Payloads } from '../../../lab/sim/payloads.ts';
import { classify } from '../../../policies/classify.ts';

/** The class of a session that begins with this payload. */
function classOf(payload: number, remotePort: number): string {
  const first = new Opening();
  const bytes = new Payloads().at(payload);
  first.bytes = bytes;
  first.payloadAt = 0;
  first.payloadBytes = bytes.length;
  first.protocol = PROTOCOL_UDP;
  first.internalPort = 50_000;
  first.remotePort = remotePort;
  return CLASS_NAMES[classify(first)];
}

describe('payloads of the simulator', () => {
  const cases: [keyof typeof Payload, number, string][] = [
    ['DnsQuery', 53, 'dns'],
    ['QuicInitial', 443, 'quic'],
    ['StunRequest', 3478, 'stun'],
    ['WireguardInitiation', 51_820, 'wireguard'],
    ['WireguardData', 51_820, 'wireguard'],
    ['Rtp', 20_000, 'rtp'],
    ['DtlsHello', 20_000, 'dtls'],
    ['Ntp', 123, 'ntp'],
    ['Unknown', 20_000, 'other'],
  ];
  for (const [name, port, wanted] of cases)
    it(`${name} begins a session of class ${wanted}`, () => {
      assert.equal(classOf(Payload[name], port), wanted);
    });

  it('keeps what a capture adds', () => {
    const payloads = new Payloads();
    const number = payloads.add(Uint8Array.of(1, 2, 3));
    assert.deepEqual(payloads.at(number), Uint8Array.of(1, 2, 3));
    assert.ok(number >= Object.keys(Payload).length);
  });
});

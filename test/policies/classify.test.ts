/** Classes: each real first packet is what it is, nothing is two things, and random bytes are other. */
import assert from 'node:assert/strict';
import { CLASS_MASK, CLASS_NAMES, Class } from '../../core/state.ts';
import { M_EXTERNAL } from '../../core/table/arena.ts';
import { MAPPING_CLASS_SHIFT, MAPPING_SHIFT } from '../../core/table/mappings.ts';
import { isDht } from '../../core/wire/dht.ts';
import { isDtls } from '../../core/wire/dtls.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, parseIpv4 } from '../../core/wire/ipv4.ts';
import { isOpenvpn } from '../../core/wire/openvpn.ts';
import { isQuic } from '../../core/wire/quic.ts';
import { isRtp } from '../../core/wire/rtp.ts';
import { isSip } from '../../core/wire/sip.ts';
import { isStun } from '../../core/wire/stun.ts';
import { isUtp } from '../../core/wire/utp.ts';
import { isWireguard } from '../../core/wire/wireguard.ts';
import { presetPolicy } from '../../policies/build.ts';
import { classify } from '../../policies/classify.ts';
import { firstPacket } from '../support/first-packet.ts';
import { FIRST_PAYLOADS, hex, ofLength, text } from '../support/first-payloads.ts';
import { Bench } from '../support/gateway.ts';
import { udp4 } from '../support/packets.ts';

const nameOf = (sessionClass: number): string => CLASS_NAMES[sessionClass];

const udp = (payload: Uint8Array, remotePort: number, internalPort = 50_000): string =>
  nameOf(
    classify(
      firstPacket({
        payload,
        from: `192.168.1.11:${internalPort}`,
        to: `198.51.100.7:${remotePort}`,
      }),
    ),
  );

/** Protocols that are told apart by more than their bytes, and so only on their ports. */
const BOUND_TO_PORTS = ['ntp', 'esp-in-udp', 'rtp', 'utp'];

describe('the class of a session', () => {
  it('TCP and ICMP by protocol number, whatever they carry; other protocols are other', () => {
    const payload = hex('000100002112a442b550ef5353eb333d669194ed');
    const by = (protocol: number) => nameOf(classify(firstPacket({ payload, protocol })));
    assert.equal(by(PROTOCOL_TCP), 'tcp');
    assert.equal(by(PROTOCOL_ICMP), 'icmp');
    assert.equal(by(50), 'other');
  });

  for (const { origin, is, payload, remotePort, internalPort } of FIRST_PAYLOADS)
    it(`${nameOf(is)}: ${origin}`, () => {
      assert.equal(udp(payload, remotePort, internalPort), nameOf(is));
    });

  it('every class of UDP has a real packet among these', () => {
    const without: number[] = [Class.Other, Class.Tcp, Class.Icmp];
    const seen = new Set(FIRST_PAYLOADS.map(({ is }) => is));
    const missing = Object.values(Class).filter((is) => !without.includes(is) && !seen.has(is));
    assert.deepEqual(missing.map(nameOf), []);
  });

  it('what bytes show they show on any port', () => {
    for (const { origin, is, payload } of FIRST_PAYLOADS) {
      if (BOUND_TO_PORTS.includes(nameOf(is))) continue;
      for (const port of [443, 4500, 40_000]) assert.equal(udp(payload, port), nameOf(is), origin);
    }
  });

  it('a first byte hides no protocol that would be recognised', () => {
    const recognizers = [
      isQuic,
      isStun,
      isDtls,
      isWireguard,
      isDht,
      isSip,
      isOpenvpn,
      isUtp,
      isRtp,
    ];
    let recognized = 0;
    for (const { payload, remotePort, origin } of FIRST_PAYLOADS) {
      const bytes = payload.slice();
      for (let lead = 0; lead < 256; lead++) {
        bytes[0] = lead;
        if (!recognizers.some((is) => is(bytes, 0, bytes.length, remotePort))) continue;
        recognized++;
        assert.notEqual(udp(bytes, remotePort), 'other', `${origin} with ${lead} in front`);
      }
    }
    assert.ok(recognized > 3 * FIRST_PAYLOADS.length, `${recognized} were recognised`);
  });

  it('a port makes nothing of a datagram that does not fit', () => {
    const nothing = ofLength(text('hello'), 1250);
    for (const port of [53, 123, 443, 500, 1194, 3478, 5060, 6881, 51820])
      assert.equal(udp(nothing, port), 'other', `${port}`);
    for (const port of [53, 123, 443, 4500, 16_384])
      assert.equal(udp(new Uint8Array(0), port), 'other');
  });

  it('other protocols are other', () => {
    const others: [name: string, payload: Uint8Array, port: number][] = [
      ['a QUIC packet with a short header', ofLength(hex('41b550ef5353eb333d669194ed'), 1200), 443],
      ['a game server is asked', hex('ffffffff54536f7572636520456e67696e6520517565727900'), 27_015],
      ['SSDP', text('M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n'), 1900],
      [
        'SNMP',
        hex('302602010104067075626c6963a01902041a2b3c4d020100020100300b300906052b060102010500'),
        161,
      ],
      ['TFTP', text('\x00\x01boot.img\x00octet\x00'), 69],
      ['syslog', text('<34>Oct 11 22:14:15 host su: failed'), 514],
      ['a BitTorrent tracker (BEP 15)', hex('0000041727101980000000001a2b3c4d'), 6969],
      ['L2TP', hex('c802004500000000000000008008000000000001'), 1701],
    ];
    for (const [name, payload, port] of others) assert.equal(udp(payload, port), 'other', name);
  });

  it('a mapping keeps the class of its first packet, or takes that by which it became an owner', () => {
    const bench = new Bench({ policy: presetPolicy('home') });
    const from = '192.168.1.11:50000';
    const stun = hex('000100002112a442b550ef5353eb333d669194ed');
    const { mappings } = bench.table.parts;
    const classAfter = (payload: Uint8Array, to: string): string => {
      bench.send(udp4({ from, to, payload }));
      const mapping = mappings.find(parseIpv4('192.168.1.11'), 50_000, PROTOCOL_UDP);
      const external = mappings.words[(mapping << MAPPING_SHIFT) + M_EXTERNAL];
      const name = nameOf((external >>> MAPPING_CLASS_SHIFT) & CLASS_MASK);
      assert.equal(mappings.isOwner(mapping), name === 'stun');
      return name;
    };
    assert.equal(classAfter(text('hello'), '198.51.100.7:7000'), 'other');
    assert.equal(classAfter(hex('17fefd0001000000000001000155'), '198.51.100.8:7000'), 'other');
    assert.equal(classAfter(stun, '198.51.100.9:3478'), 'stun');
    assert.equal(classAfter(text('hello'), '198.51.100.10:7000'), 'stun');
  });

  it('random bytes are other, but for one in 500 to even ports', () => {
    let state = 0x2545f491;
    const next = (): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 0;
    };
    const counts = new Map<string, number>();
    const datagrams = 40_000;
    const payload = new Uint8Array(1300);
    for (let i = 0; i < datagrams; i++) {
      for (let at = 0; at < 40; at++) payload[at] = next() >>> 9;
      const first = firstPacket({ payload, to: `198.51.100.7:${8192 + ((next() % 2000) << 1)}` });
      first.payloadBytes = next() % 1300;
      const name = nameOf(classify(first));
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const { other = 0, rtp = 0, ...more } = Object.fromEntries(counts);
    assert.deepEqual(more, {});
    assert.ok(rtp > 0 && rtp < (datagrams / 500) * 1.5, `${rtp} of ${datagrams} are rtp`);
    assert.equal(other + rtp, datagrams);
  });
});

/** The audit must see what is wrong, or "nothing outside the port set" would mean nothing. */
import assert from 'node:assert/strict';
import { auditCapture } from '../../lab/audit.ts';
import { type LineType, MAP_E } from '../../lab/lines.ts';
import { assertClean } from '../e2e/support.ts';

const ETHERNET_IPV4 = '020000000001' + '020000000002' + '0800';
const ETHERNET_IPV6 = '020000000001' + '020000000002' + '86dd';
const CE = '240b0010123456000' + '06a481234005600';
const BR = '240492000225010000000000000' + '00064';
const EXTERNAL = '6a481234';
const PRIVATE = '0a400001';
const SERVER = 'cb00710a';

/** 20 bytes of IPv4 in hexadecimal; `fragment` is the word with flags and offset. */
function ipv4(source: string, protocol: number, fragment = '0000'): string {
  const number = protocol.toString(16).padStart(2, '0');
  return `4500003c0001${fragment}40${number}0000${source}${SERVER}`;
}

const ports = (source: number): string =>
  `${source.toString(16).padStart(4, '0')}1b58000800000000000000000000`;

/** `a` of an echo request with this identifier. */
const echo = (id: number): string => `08000000${id.toString(16).padStart(4, '0')}0001`;

const inTunnel = (inner: string, ce = CE): string =>
  `${ETHERNET_IPV6}600000000044${'0440'}${ce}${BR}${inner}`;

function audit(line: LineType, ...frames: string[]) {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  const records = frames.map((hex) => {
    const bytes = Buffer.from(hex, 'hex');
    const record = Buffer.alloc(16);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(bytes.length, 12);
    return Buffer.concat([record, bytes]);
  });
  return auditCapture(Buffer.concat([header, ...records]), line);
}

describe('audit of a capture', () => {
  it('counts what is as it should be', () => {
    const found = audit(
      'map-e',
      inTunnel(ipv4(EXTERNAL, 17) + ports(5472)),
      inTunnel(ipv4(EXTERNAL, 6) + ports(62831)),
      inTunnel(ipv4(EXTERNAL, 1) + echo(9583)),
    );
    assert.equal(found.packets, 3);
    assert.deepEqual([...found.ports.keys()], [5472, 62831, 9583]);
    assert.deepEqual(found.examples, []);
  });

  it('sees ports and identifiers of neighbours', () => {
    const found = audit(
      'map-e',
      inTunnel(ipv4(EXTERNAL, 17) + ports(5488)),
      inTunnel(ipv4(EXTERNAL, 6) + ports(5471)),
      inTunnel(ipv4(EXTERNAL, 1) + echo(7)),
    );
    assert.equal(found.portsOutside, 2);
    assert.equal(found.echoIdsOutside, 1);
    assert.deepEqual(found.examples, [
      'source port 5488, protocol 17',
      'source port 5471, protocol 6',
      'echo identifier 7',
    ]);
  });

  it('counts resets, and only of TCP', () => {
    const withFlags = (flags: string): string => `156000000000000000000000${'50'}${flags}`;
    const found = audit(
      'map-e',
      inTunnel(ipv4(EXTERNAL, 6) + withFlags('04')),
      inTunnel(ipv4(EXTERNAL, 6) + withFlags('14')),
      inTunnel(ipv4(EXTERNAL, 6) + withFlags('10')),
      inTunnel(ipv4(EXTERNAL, 17) + withFlags('04')),
    );
    assert.equal(found.resets, 2);
  });

  it('sees an ICMP error that quotes a port of a neighbour', () => {
    const quoted = ipv4(SERVER, 17) + '1b58' + '0007' + '00080000';
    const found = audit('map-e', inTunnel(ipv4(EXTERNAL, 1) + '0303000000000000' + quoted));
    assert.equal(found.errorsOutside, 1);
  });

  it('sees private sources, within the tunnel and beside it', () => {
    const found = audit(
      'map-e',
      inTunnel(ipv4(PRIVATE, 17) + ports(5472)),
      ETHERNET_IPV4 + ipv4(PRIVATE, 17) + ports(5472),
    );
    assert.equal(found.privateSources, 2);
    assert.equal(found.outsideTunnel, 1);
  });

  it('sees a tunnel from another address than the CE', () => {
    const other = CE.slice(0, -1) + '1';
    const found = audit('map-e', inTunnel(ipv4(EXTERNAL, 17) + ports(5472), other));
    assert.equal(found.outsideTunnel, 1);
    assert.match(found.examples[0], new RegExp(MAP_E.brAddress.split('::')[0]));
  });

  it('takes later fragments for what they are, and plain IPv4 on an address line', () => {
    const found = audit('map-e', inTunnel(ipv4(EXTERNAL, 17, '00b9') + ports(1)));
    assert.equal(found.portsOutside, 0);
    const plain = ETHERNET_IPV4 + ipv4('c6336401', 17) + ports(4096);
    assert.equal(audit('address', plain).examples.length, 0);
    assert.equal(audit('map-e', plain).otherSources, 1);
  });

  it('is clean only if nothing was missed and enough was seen', () => {
    const found = audit('map-e', inTunnel(ipv4(EXTERNAL, 17) + ports(5472)));
    assert.doesNotThrow(() => assertClean(found, 1));
    assert.throws(() => assertClean(found, 2), /only 1 packets were captured/);
    assert.throws(() => assertClean({ ...found, missed: 1 }, 1), /lost 1 packets/);
    assert.throws(() => assertClean({ ...found, missed: Number.NaN }, 1), /proves nothing/);
  });
});

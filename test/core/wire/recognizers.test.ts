/**
 * What all recognisers of UDP protocols owe: nothing outside of the payload is read, nothing throws,
 * and random bytes are taken for a protocol no more often than its file says.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isDht } from '../../../core/wire/dht.ts';
import { isDns } from '../../../core/wire/dns.ts';
import { isDtls } from '../../../core/wire/dtls.ts';
import { isEspInUdp, isIke } from '../../../core/wire/ike.ts';
import { isNtp } from '../../../core/wire/ntp.ts';
import { isOpenvpn } from '../../../core/wire/openvpn.ts';
import { isQuic } from '../../../core/wire/quic.ts';
import { isRtp } from '../../../core/wire/rtp.ts';
import { isSip } from '../../../core/wire/sip.ts';
import { isStun } from '../../../core/wire/stun.ts';
import { isUtp } from '../../../core/wire/utp.ts';
import { isWireguard } from '../../../core/wire/wireguard.ts';
import { FIRST_PAYLOADS } from '../../support/first-payloads.ts';

type Recognizer = (
  bytes: Uint8Array,
  at: number,
  length: number,
  remotePort: number,
  internalPort: number,
) => boolean;

/** Each with the port at which random bytes pass most often, and one in how many of them may. */
const RECOGNIZERS: readonly [name: string, is: Recognizer, port: number, oneIn: number][] = [
  ['dns', isDns, 53, 1 << 21],
  ['dns elsewhere', isDns, 5353, 2 ** 60],
  ['quic', isQuic, 443, 1 << 24],
  ['stun', isStun, 5000, 2 ** 36],
  ['ntp', isNtp, 123, 50],
  ['ntp elsewhere', isNtp, 124, Number.POSITIVE_INFINITY],
  ['dtls', isDtls, 4433, 2 ** 34],
  ['wireguard', isWireguard, 51820, 1 << 30],
  ['ike', isIke, 500, 2 ** 40],
  ['esp-in-udp', isEspInUdp, 4500, 1],
  ['esp-in-udp elsewhere', isEspInUdp, 4501, Number.POSITIVE_INFINITY],
  ['openvpn', isOpenvpn, 1194, 2 ** 31],
  ['sip', isSip, 5060, 2 ** 60],
  ['rtp', isRtp, 16_384, 500],
  ['rtp to an odd port', isRtp, 16_385, 2 ** 19],
  ['dht', isDht, 6881, 2 ** 47],
  ['utp', isUtp, 6881, 1 << 20],
];

const DATAGRAMS = 300_000;
/** Lengths that some protocol has, beside any. */
const FITTING = [14, 20, 32, 42, 48, 54, 64, 66, 92, 148, 172, 336, 1200, 1250];

/** xorshift32: the same bytes on each run. */
function randomWords(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** The payload in the middle of other bytes, in an array that throws when one of these is read. */
function guarded(payload: Uint8Array, at: number): Uint8Array {
  const around = new Uint8Array(at + payload.length + 40).fill(0x64);
  around.set(payload, at);
  return new Proxy(around, {
    get(target, key) {
      const index = typeof key === 'string' ? Number(key) : Number.NaN;
      if (Number.isInteger(index) && (index < at || index >= at + payload.length))
        throw new RangeError(`byte ${index - at} of ${payload.length} was read`);
      return Reflect.get(target, key, target);
    },
  });
}

describe('recognisers of UDP protocols', () => {
  it('the guard of these tests catches a byte too many', () => {
    const bytes = guarded(new Uint8Array(4), 8);
    assert.equal(bytes[11], 0);
    assert.throws(() => bytes[12], /byte 4 of 4 was read/);
    assert.throws(() => bytes[7], /byte -1 of 4 was read/);
  });

  for (const [name, is, port] of RECOGNIZERS)
    it(`${name}: reads nothing outside of a payload that is cut or damaged anywhere`, () => {
      const ports = fc.constantFrom(port, 53, 123, 4500, 6881, 16_384);
      fc.assert(
        fc.property(
          fc.constantFrom(...FIRST_PAYLOADS.map(({ payload }) => payload)),
          fc.double({ min: 0, max: 1, noNaN: true }),
          fc.array(fc.tuple(fc.nat(64), fc.nat(255)), { maxLength: 3 }),
          ports,
          ports,
          (payload, share, damages, remotePort, internalPort) => {
            const cut = payload.slice(0, Math.round(payload.length * share));
            for (const [at, value] of damages) if (at < cut.length) cut[at] = value;
            const answer = is(guarded(cut, 24), 24, cut.length, remotePort, internalPort);
            assert.equal(answer, is(cut, 0, cut.length, remotePort, internalPort));
          },
        ),
        { numRuns: 1500 },
      );
    });

  it('takes random bytes for a protocol no more often than its file says', function () {
    this.timeout(20_000);
    const next = randomWords(0x9e3779b9);
    const pool = new Uint8Array(1 << 20);
    for (let i = 0; i < pool.length; i++) pool[i] = next() >>> 11;
    for (const [name, is, port, oneIn] of RECOGNIZERS) {
      let taken = 0;
      for (let i = 0; i < DATAGRAMS; i++) {
        const any = next() % 1400;
        const length = (i & 1) === 0 ? FITTING[any % FITTING.length] : any;
        if (is(pool, next() % (pool.length - 1400), length, port, 50_000)) taken++;
      }
      // Five deviations of a Poisson count above what may be expected.
      const expected = DATAGRAMS / oneIn;
      const most = expected + 5 * Math.sqrt(expected);
      assert.ok(taken <= most, `${name}: ${taken} of ${DATAGRAMS}, not up to ${most.toFixed(1)}`);
    }
  });

  it('lets random bytes through where it says so, so that the count above counts', () => {
    const next = randomWords(7);
    const pool = new Uint8Array(1 << 16);
    for (let i = 0; i < pool.length; i++) pool[i] = next() >>> 11;
    const takes = (is: Recognizer, port: number, length: number): boolean =>
      Array.from({ length: 20_000 }, (_, i) => is(pool, i, length, port, 50_000)).includes(true);
    assert.ok(takes(isNtp, 123, 48));
    assert.ok(takes(isEspInUdp, 4500, 100));
    assert.ok(takes(isRtp, 16_384, 172));
  });
});

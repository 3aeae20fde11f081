/** The fuzzer of bench/fuzz in smoke size, and controls: it must notice what it is there for. */
import assert from 'node:assert/strict';
import { FuzzFailure } from '../../../bench/fuzz/outcome.ts';
import { senderFault } from '../../../bench/fuzz/sender-judge.ts';
import { fuzz } from '../../../bench/fuzz/twins.ts';
import { Engine } from '../../../core/engine.ts';
import { DESCRIPTOR_WORDS } from '../../../core/frames.ts';
import { S_COMMIT, SESSION_WORDS } from '../../../core/table/arena.ts';
import { NatTable } from '../../../core/table/nat-table.ts';
import { ENCAPSULATE } from '../../../core/verdict.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { error4, udp4 } from '../../support/packets.ts';

const PACKETS = 17_000;
/** A seed whose line encapsulates by itself. */
const ENCAPSULATING = 6;

/** Runs `work` with an engine that spoils each batch after its work. */
function withFault(
  spoil: (bytes: Uint8Array, at: number, length: number, verdict: number) => void,
  work: () => void,
): void {
  const original = Engine.prototype.process;
  Engine.prototype.process = function (count, nowMs) {
    original.call(this, count, nowMs);
    const { bytes, descriptors } = (
      this as unknown as { ctx: { frames: { bytes: Uint8Array; descriptors: Int32Array } } }
    ).ctx.frames;
    for (let d = 0; d < count * DESCRIPTOR_WORDS; d += DESCRIPTOR_WORDS)
      spoil(bytes, descriptors[d], descriptors[d + 1], descriptors[d + 3]);
  };
  try {
    work();
  } finally {
    Engine.prototype.process = original;
  }
}

describe('100,000 plausible and mutated packets', () => {
  for (const seed of [2, 4, 6, 7, 17, 19])
    it(`of seed ${seed} come out right or not at all`, () => {
      const result = fuzz({ seed, packets: PACKETS });
      assert.ok(result.forwarded > PACKETS / 12, `${result.forwarded} were forwarded`);
      assert.ok(result.answered > 0 && result.dropped > 0 && result.sessionsMax > 50);
      assert.ok(result.datagramsJoined > 0, 'no datagram came out whole');
      assert.ok(result.reasons.size > 12, `${result.reasons.size} drop reasons were seen`);
    }).timeout(30_000);
});

describe('the fuzzer notices', () => {
  const faults: [string, RegExp, (b: Uint8Array, at: number, n: number, v: number) => void][] = [
    [
      'a byte that comes from behind the packet',
      /depend on what lies around/,
      (b, at, n) => {
        if (n > 1) b[at + n - 1] = b[at + n];
      },
    ],
    [
      'a write behind the packet',
      /outside every frame/,
      (b, at, n) => {
        b[at + n + 1] ^= 1;
      },
    ],
    [
      'a wrong transport checksum',
      /transport checksum/,
      (b, at, n, v) => {
        if (v >= 0 && b[at + 9] === 17 && n >= 28) b[at + 26] ^= 1;
      },
    ],
    [
      'a LAN source on the line',
      /LAN source|header checksum/,
      (b, at, _n, v) => {
        if (v >= 0 && b[at + 12] === 203) b.set([192, 168, 1, 10], at + 12);
      },
    ],
    [
      'an exception',
      /an exception/,
      (_b, _at, n) => {
        if (n > 1400) throw new RangeError('for the test');
      },
    ],
  ];
  it('a write far from its packet, and names the packet', () => {
    let writes = 0;
    const notice = (packets: number): FuzzFailure => {
      let failure: unknown;
      withFault(
        (b, _at, n) => {
          if (n !== 61) return;
          b[100_000] ^= 1;
          writes++;
        },
        () => {
          try {
            fuzz({ seed: 2, packets, mutatedPercent: 0 });
          } catch (error) {
            failure = error;
          }
        },
      );
      assert.ok(failure instanceof FuzzFailure, 'it was not noticed');
      return failure;
    };
    const { index, message } = notice(PACKETS);
    assert.match(message, /outside every frame/);
    // Both worlds write once a packet; run again up to that packet, nothing comes after it.
    writes = 0;
    assert.equal(notice(index + 1).index, index);
    assert.ok(writes > 0 && index < 4000, `found at packet ${index}`);
  }).timeout(30_000);

  it('a session that a successor does not take over', () => {
    const original = NatTable.prototype.restore;
    NatTable.prototype.restore = function () {
      const { words } = this.parts.sessions;
      const first = words.findIndex(
        (word, at) => at % SESSION_WORDS === S_COMMIT && (word & 63) !== 0,
      );
      if (first >= 0) words[first] = 0;
      return original.call(this);
    };
    try {
      assert.throws(
        () => fuzz({ seed: 4, packets: PACKETS }),
        /after a restart .* sessions before/,
      );
    } finally {
      NatTable.prototype.restore = original;
    }
  }).timeout(30_000);

  it('a packet that goes into the tunnel without its header', () => {
    withFault(
      (b, at, _n, v) => {
        if (v === ENCAPSULATE) b[at - 12 - 16] ^= 1;
      },
      () => assert.throws(() => fuzz({ seed: ENCAPSULATING, packets: PACKETS }), /outer header/),
    );
  }).timeout(30_000);

  it('a packet and an ICMP error in the name of another', () => {
    const [host, other, server] = ['192.168.1.11', '192.168.1.12', '198.51.100.9'];
    const bench = new Bench();
    const { sessions } = bench.table.parts;
    const sent = udp4({ from: `${host}:5000`, to: `${server}:9` });
    const left = bench.pass4(sent);
    assert.equal(senderFault(sessions, sent, left), undefined);
    const foreign = udp4({ from: `${other}:5000`, to: `${server}:9` });
    assert.equal(senderFault(sessions, foreign, left), 'sent in the name of another');

    const quoted = bench.pass4(udp4({ from: `${server}:9`, to: endpoints(left).from }));
    const about = { from: host, to: server, type: 3, code: 3 };
    const error = bench.pass4(error4({ ...about, quoted }));
    assert.equal(senderFault(sessions, error4({ ...about, quoted }), error), undefined);
    const foreigns = error4({
      ...about,
      quoted: udp4({ from: `${server}:9`, to: `${other}:5000` }),
    });
    assert.equal(senderFault(sessions, foreigns, error), 'an error about what another has got');
  });

  for (const [name, message, spoil] of faults)
    it(name, () => {
      withFault(spoil, () =>
        assert.throws(
          () => fuzz({ seed: 2, packets: PACKETS }),
          (error: Error) => error instanceof FuzzFailure && message.test(error.message),
        ),
      );
    }).timeout(30_000);
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Drop } from '../../../core/verdict.ts';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import { type ModelOptions, type RouterModel, reasonOf, wasTold } from '../../../lab/sim/model.ts';
import { KNOWN_ROUTERS } from '../../../lab/sim/models/known.ts';
import { mapePorts } from '../../support/gateway.ts';
import { ACK, FIN, RST, SYN } from '../../support/packets.ts';

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const REMOTE = parseIpv4('198.51.100.1');
const RESOLVER = parseIpv4('1.1.1.1');
const host = (n: number): number => parseIpv4('192.168.1.0') + n;

const range = (first: number, count: number): Uint16Array =>
  Uint16Array.from({ length: count }, (_, i) => first + i);

/** The generator of a run: the same numbers each time. */
function seeded(): () => number {
  let state = 0x2545f491;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

const make = (name: string, options: Partial<ModelOptions> = {}): RouterModel =>
  KNOWN_ROUTERS[name]({ ports: mapePorts(), random: seeded(), ...options });

/** A packet from a host; with what is not said it is UDP to port 443 without flags. */
interface Packet {
  from?: number;
  port?: number;
  to?: number;
  toPort?: number;
  protocol?: number;
  flags?: number;
  at?: number;
}

const send = (model: RouterModel, packet: Packet = {}): number => {
  const { from = 2, port = 5000, to = REMOTE, toPort = 443, protocol = UDP } = packet;
  const seconds = packet.at ?? 0;
  return model.outbound(
    protocol,
    host(from),
    port,
    to,
    protocol === ICMP ? 0 : toPort,
    packet.flags ?? 0,
    0,
    seconds * 1000,
  );
};

const receive = (model: RouterModel, externalPort: number, packet: Packet = {}): number => {
  const { to = REMOTE, toPort = 443, protocol = UDP } = packet;
  return model.inbound(
    protocol,
    externalPort,
    to,
    protocol === ICMP ? 0 : toPort,
    packet.flags ?? 0,
    0,
    (packet.at ?? 0) * 1000,
  );
};

/** Lets time pass as the simulator does. */
const until = (model: RouterModel, fromSeconds: number, toSeconds: number): void => {
  for (let ms = fromSeconds * 1000; ms <= toSeconds * 1000; ms += 250) model.advance(ms);
};

/** The driver of a mouse: `perBurst` packets every three seconds, each from a new port. The second at which one is refused. */
function mouseUntilRefused(model: RouterModel, perBurst: number, seconds: number): number {
  let port = 1024;
  for (let second = 0; second < seconds; second += 3) {
    for (let n = 0; n < perBurst; n++) {
      const to = parseIpv4('192.168.1.211');
      if (send(model, { from: 9, port: port++, to, toPort: 59_870, at: second }) < 0) return second;
    }
    until(model, second, second + 2.75);
  }
  return -1;
}

describe('models of known routers', () => {
  it('type 2 on 240 ports is full between 180 and 360 s under the mouse driver; names and pings are gone, TCP goes on', () => {
    const slow = make('yamaha-type-2');
    assert.equal(mouseUntilRefused(slow, 2, 900), 360);
    const model = make('yamaha-type-2');
    assert.equal(mouseUntilRefused(model, 4, 900), 180);
    const query = { from: 3, to: RESOLVER, toPort: 53, at: 181 };
    assert.equal(reasonOf(send(model, query)), Drop.NoPortLeft);
    assert.equal(wasTold(send(model, query)), false);
    assert.equal(reasonOf(send(model, { protocol: ICMP, to: RESOLVER, at: 181 })), Drop.NoPortLeft);
    for (let n = 0; n < 500; n++)
      assert.ok(
        send(model, { protocol: TCP, port: 2000 + n, to: REMOTE + n, flags: SYN, at: 181 }) > 0,
      );
    assert.equal(model.portsUsed(), 240);
    // The table itself looks all but empty: 240 of 65,534, as in the report.
    assert.equal(model.sessions(), 740);
    until(model, 181, 1081);
    assert.ok(send(model, { ...query, at: 1082 }) > 0);
  });

  it('type 3 loses the ports towards the dead address alone; type 1 those for TCP as well, one for each endpoint', () => {
    const three = make('yamaha-type-3');
    assert.equal(mouseUntilRefused(three, 4, 900), 180);
    assert.ok(send(three, { from: 3, to: RESOLVER, toPort: 53, at: 181 }) > 0);
    const one = make('yamaha-type-1');
    for (let n = 0; n < 240; n++)
      assert.ok(send(one, { protocol: TCP, port: 2000 + n, to: REMOTE + n, flags: SYN }) > 0);
    const next = { protocol: TCP, port: 3000, to: REMOTE + 300, flags: SYN };
    assert.equal(reasonOf(send(one, next)), Drop.NoPortLeft);
    // An endpoint that has a port shows it to everybody.
    const port = send(one, { protocol: TCP, port: 2000, to: REMOTE, flags: ACK });
    assert.equal(send(one, { protocol: TCP, port: 2000, to: REMOTE + 900, flags: SYN }), port);
  });

  it('rtx1200 is full after a thousand page views that leave 20 entries each', () => {
    const model = make('rtx1200', { ports: range(40_000, 20_000) });
    let pages = 0;
    let port = 0;
    const open = (one: number): boolean => {
      const protocol = one < 20 ? UDP : TCP;
      const at = pages;
      const packet = { from: 2 + (pages % 200), port: 1024 + (port++ % 60_000), protocol, at };
      const to = REMOTE + (one % 7);
      const out = send(model, { ...packet, to, flags: protocol === TCP ? SYN : 0 });
      if (out < 0) return false;
      if (protocol === UDP) return true;
      receive(model, out, { to, protocol, flags: FIN | ACK, at });
      send(model, { ...packet, to, flags: FIN | ACK });
      return true;
    };
    for (let isFull = false; !isFull && pages < 2000; pages++) {
      if (pages % 10 === 0) until(model, pages, pages);
      for (let one = 0; one < 80 && !isFull; one++) isFull = !open(one);
    }
    // A page a second; 60 closed connections of each stand for a minute beside the 20 that stay for a quarter of an hour.
    assert.ok(pages > 780 && pages < 860, `full after ${pages} pages`);
    assert.equal(model.sessions(), 20_000);
  });

  it('holds of 24,000 flows over 100 destinations what the kernel holds: 1,600 on the first block, 1,200 with numgen', () => {
    const held = (name: string, ports: Uint16Array): number => {
      const model = make(name, { ports });
      let count = 0;
      for (let n = 0; n < 24_000; n++) {
        const packet = { from: 2 + (n % 200), port: 1024 + Math.floor(n / 200) };
        if (send(model, { ...packet, to: REMOTE + (n % 100), toPort: 9000 }) > 0) count++;
      }
      return count;
    };
    assert.equal(held('openwrt-map', mapePorts()), 1600);
    assert.equal(held('numgen', mapePorts()), 1200);
    assert.equal(held('yamaha-type-3', mapePorts()), 24_000);
    const linux = held('linux-masquerade', mapePorts());
    assert.ok(linux > 23_800 && linux < 24_000, `${linux} held by masquerade`);
  });

  it('masquerade keeps a port that is in its range, and the port of an endpoint that it has already', () => {
    const model = make('linux-masquerade', { ports: range(5000, 240) });
    assert.equal(send(model, { port: 5003 }), 5003);
    const port = send(model, { from: 3, port: 40_000 });
    assert.equal(send(model, { from: 3, port: 40_000, to: REMOTE + 1 }), port);
    // Taken towards that remote endpoint: another one, towards this one alone.
    assert.notEqual(send(model, { from: 4, port: 5003 }), 5003);
    assert.equal(send(model, { from: 5, port: 5003, to: REMOTE + 2 }), 5003);
  });

  it('a full table of masquerade lets go of what nothing has confirmed, and of nothing else', () => {
    const model = make('linux-masquerade', { entries: 100, ports: range(5000, 240) });
    for (let n = 0; n < 100; n++) {
      const port = send(model, { port: 5000 + n });
      receive(model, port, { at: 1 });
      if (n >= 50) receive(model, port, { at: 3 });
    }
    let made = 0;
    for (let n = 0; n < 200; n++) if (send(model, { port: 6000 + n, at: 4 }) > 0) made++;
    assert.ok(made > 0);
    assert.equal(model.sessions(), 100);
    for (let n = 50; n < 100; n++) assert.ok(receive(model, 5000 + n, { at: 5 }) > 0);
    const firm = make('yamaha-type-3', { entries: 100 });
    for (let n = 0; n < 100; n++) send(firm, { port: 5000 + n });
    assert.equal(reasonOf(send(firm, { port: 7000 })), Drop.SessionTableFull);
  });

  it('lets in what comes from the endpoint that was sent to, and nothing else', () => {
    for (const name of Object.keys(KNOWN_ROUTERS)) {
      const model = make(name);
      const port = send(model, { from: 7, port: 4321 });
      assert.ok(port > 0);
      assert.equal(receive(model, port), 4321);
      assert.equal(model.internalAddress, host(7));
      assert.equal(reasonOf(receive(model, port, { toPort: 444 })), Drop.NoSession);
      assert.equal(reasonOf(receive(model, port, { to: REMOTE + 1 })), Drop.NoSession);
      assert.equal(reasonOf(receive(model, 80)), Drop.NotInPortSet);
      const rst = { protocol: TCP, port: 1, flags: RST };
      assert.equal(reasonOf(send(model, rst)), Drop.TcpWithoutSession);
    }
  });

  describe('keep an entry as long as they are said to', () => {
    const tcp = (flags: number, back?: number) => ({ protocol: TCP, flags, back });
    const cases: [name: string, what: string, packets: Packet & { back?: number }, number][] = [
      ['yamaha-type-2', 'UDP', {}, 900],
      ['yamaha-type-2', 'a query', { to: RESOLVER, toPort: 53 }, 900],
      ['yamaha-type-2', 'DNS behind its answer', { to: RESOLVER, toPort: 53, back: 0 }, 10],
      ['yamaha-type-2', 'an open connection', tcp(SYN, SYN | ACK), 900],
      ['yamaha-type-2', 'a closed connection', tcp(SYN | FIN, FIN | ACK), 60],
      ['rtx1200', 'ICMP', { protocol: ICMP }, 900],
      ['nec-ix', 'UDP', { back: 0 }, 300],
      ['nec-ix', 'DNS', { to: RESOLVER, toPort: 53 }, 60],
      ['nec-ix', 'a SYN', tcp(SYN), 30],
      ['nec-ix', 'a reset connection', tcp(SYN, RST), 60],
      ['linux-masquerade', 'UDP without an answer', {}, 30],
      ['linux-masquerade', 'UDP with one answer', { back: 0 }, 30],
      ['linux-masquerade', 'a SYN', tcp(SYN), 120],
      ['linux-masquerade', 'an open connection', tcp(SYN, SYN | ACK), 432_000],
      ['linux-masquerade', 'a reset connection', tcp(SYN, RST), 10],
    ];
    for (const [name, what, packets, seconds] of cases)
      it(`${name}: ${what}, ${seconds} s`, () => {
        const model = make(name);
        const port = send(model, packets);
        assert.ok(port > 0);
        if (packets.back !== undefined)
          assert.ok(receive(model, port, { ...packets, flags: packets.back }) > 0);
        until(model, seconds - 2, seconds - 0.25);
        assert.equal(model.sessions(), 1);
        until(model, seconds, seconds + 1);
        assert.deepEqual([model.sessions(), model.portsUsed()], [0, 0]);
      });

    it('linux-masquerade: a stream of UDP, 120 s, once it has gone on for two', () => {
      const model = make('linux-masquerade');
      const port = send(model);
      receive(model, port, { at: 1 });
      receive(model, port, { at: 2.5 });
      until(model, 100, 122);
      assert.equal(model.sessions(), 1);
      until(model, 122.5, 124);
      assert.equal(model.sessions(), 0);
    });

    it('an entry whose time is over does not come to life again because nobody looked', () => {
      const model = make('yamaha-type-2');
      const port = send(model);
      assert.equal(reasonOf(receive(model, port, { at: 901 })), Drop.NoSession);
      assert.equal(model.sessions(), 0);
    });
  });

  it('never give two sessions the same external 5-tuple, and give back every port', () => {
    const packet = fc.record({
      from: fc.integer({ min: 2, max: 5 }),
      port: fc.integer({ min: 5000, max: 5030 }),
      to: fc.integer({ min: REMOTE, max: REMOTE + 2 }),
      protocol: fc.constantFrom(TCP, UDP, ICMP),
      at: fc.integer({ min: 0, max: 40 }),
      flags: fc.constantFrom(SYN, ACK, FIN | ACK),
    });
    for (const name of Object.keys(KNOWN_ROUTERS))
      fc.assert(
        fc.property(fc.array(packet, { minLength: 20, maxLength: 200 }), (packets) => {
          const model = make(name, { ports: range(5000, 24), entries: 60 });
          let now = 0;
          for (const one of packets) {
            now += one.at / 4;
            const out = send(model, { ...one, at: now });
            assert.ok(model.sessions() <= 60 && model.portsUsed() <= model.portCount);
            if (out < 0) continue;
            assert.equal(receive(model, out, { ...one, at: now }), one.port);
            assert.equal(model.internalAddress, host(one.from));
            model.advance(now * 1000);
          }
          until(model, now + 432_001, now + 432_003);
          assert.deepEqual([model.sessions(), model.portsUsed()], [0, 0]);
        }),
        { numRuns: 25, seed: 7 },
      );
  });
});

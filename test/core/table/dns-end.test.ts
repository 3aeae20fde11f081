import assert from 'node:assert/strict';
import type { Policy } from '../../../core/policy.ts';
import { CLASS_MASK, Class, COMMIT_CLASS_SHIFT } from '../../../core/state.ts';
import { S_COMMIT, S_PACKETS_IN, S_PACKETS_OUT } from '../../../core/table/arena.ts';
import { presetPolicy } from '../../../policies/build.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

const home = presetPolicy('home', { privateDestinations: 'allow', unansweredPerRemote: 0 });
const strict = presetPolicy('rfc', { privateDestinations: 'allow' });
const CLIENT = '192.168.1.11:40000';
const SERVER = '198.51.100.1:53';
/** What a record waits for the sweep at most, beyond its time: a sweep of the table, and a tick. */
const GRAIN_SECONDS = 1.25;

/** A query for the address of example.org (RFC 1035 section 4). */
const query = (id: number): Uint8Array =>
  Uint8Array.from([
    ...[id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    ...[7, ...Buffer.from('example'), 3, ...Buffer.from('org'), 0, 0, 1, 0, 1],
  ]);

/** A resolver's client and its name server, at one gateway. */
class Resolver {
  readonly bench: Bench;
  private readonly server: string;
  private external = '';

  constructor(policy = home, server = SERVER) {
    this.bench = new Bench({ policy });
    this.server = server;
  }

  ask(id = 1): void {
    const out = this.bench.pass4(udp4({ from: CLIENT, to: this.server, payload: query(id) }));
    this.external = endpoints(out).from;
  }

  answer(): void {
    const out = this.bench.pass4(udp4({ from: this.server, to: this.external }));
    assert.equal(endpoints(out).to, CLIENT);
  }

  /** What becomes of an answer that comes now. */
  late(): Uint8Array | string {
    return this.bench.send(udp4({ from: this.server, to: this.external }));
  }

  get isThere(): boolean {
    return this.bench.table.parts.sessions.count === 1;
  }

  /** Seconds until the session is gone, in steps of a quarter. */
  lifetime(): number {
    for (let quarters = 0; quarters < 4000; quarters++) {
      if (!this.isThere) return quarters / 4;
      this.bench.pass(0.25);
    }
    throw new Error('the session lives on');
  }
}

const within = (seconds: number, from: number): void => {
  assert.ok(
    seconds > from && seconds <= from + GRAIN_SECONDS,
    `it ended after ${seconds} s, not ${from} to ${from + GRAIN_SECONDS}`,
  );
};

describe('a DNS session', () => {
  it('ends two seconds after its answer', () => {
    const dns = new Resolver();
    dns.ask();
    dns.bench.pass(1);
    dns.answer();
    within(dns.lifetime(), 2);
  });

  it('is there for a duplicate of the answer until then, and dropped by name afterwards', () => {
    const dns = new Resolver();
    dns.ask();
    dns.answer();
    dns.bench.pass(1.75);
    dns.answer();
    dns.bench.pass(1.75);
    assert.ok(dns.isThere, 'the duplicate was a packet like any other');
    dns.bench.pass(1.75);
    assert.equal(dns.late(), 'NoSession');
  });

  it('waits for an answer that does not come as long as its timer says', () => {
    const dns = new Resolver();
    dns.ask();
    assert.ok(dns.lifetime() > 5);
  });

  it('waits for the answer to a retry, and ends two seconds after it', () => {
    const dns = new Resolver();
    dns.ask();
    dns.bench.pass(5);
    dns.ask();
    dns.bench.pass(0.25);
    dns.answer();
    dns.bench.pass(4);
    assert.ok(dns.isThere, 'one of two was answered');
    dns.answer();
    within(dns.lifetime(), 2);
  });

  it('waits for every answer where queries share a socket', () => {
    const dns = new Resolver();
    for (let id = 1; id <= 3; id++) dns.ask(id);
    dns.answer();
    dns.answer();
    dns.bench.pass(4);
    assert.ok(dns.isThere, 'two of three were answered');
    dns.answer();
    within(dns.lifetime(), 2);
  });

  it('is not taken for answered by a duplicate that came before the last query', () => {
    const dns = new Resolver();
    dns.ask(1);
    dns.answer();
    dns.answer();
    dns.bench.pass(1);
    dns.ask(2);
    dns.bench.pass(4);
    assert.ok(dns.isThere, 'as many answers as queries, but the last packet was a query');
    dns.answer();
    within(dns.lifetime(), 2);
  });

  it('keeps its port for a query that follows in time', () => {
    const dns = new Resolver();
    for (let id = 0; id < 20; id++) {
      dns.ask(id);
      dns.answer();
      dns.bench.pass(1.5);
      assert.ok(dns.isThere);
    }
    within(dns.lifetime() + 1.5, 2);
  });

  it('ends so on any port, and with the timers of RFC 4787 REQ-5 on port 53 alone (REQ-5a)', () => {
    const ends = (policy: Policy, port: number): number => {
      const dns = new Resolver(policy, `198.51.100.1:${port}`);
      dns.ask();
      dns.answer();
      return dns.lifetime();
    };
    within(ends(home, 5353), 2);
    within(ends(strict, 53), 2);
    within(ends(strict, 5353), 300);
  });

  it('is the only one that ends so', () => {
    const dns = new Resolver();
    const { bench } = dns;
    const to = '198.51.100.1:9000';
    const out = bench.pass4(udp4({ from: CLIENT, to, payload: new Uint8Array(30) }));
    bench.pass4(udp4({ from: to, to: endpoints(out).from }));
    const { words } = bench.table.parts.sessions;
    assert.equal(words[S_PACKETS_OUT], words[S_PACKETS_IN], 'of the first record');
    assert.notEqual((words[S_COMMIT] >>> COMMIT_CLASS_SHIFT) & CLASS_MASK, Class.Dns);
    bench.pass(10);
    assert.ok(dns.isThere);
  });
});

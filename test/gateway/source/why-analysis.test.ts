/** Each finding from facts that are written down, at the edge where it begins, and the words for it. */
import assert from 'node:assert/strict';
import type { WhyKind } from '../../../gateway/control/api.ts';
import { analyse, concerning } from '../../../gateway/source/why-analysis.ts';
import type {
  HostFacts,
  OwnedFacts,
  PressureCause,
  RefusalFacts,
  RemoteFacts,
  SilentFacts,
  Streak,
  WhyFacts,
} from '../../../gateway/source/why-facts.ts';
import type { Finding } from '../../../gateway/source/why-finding.ts';
import { localClock } from '../../../gateway/source/why-phrases.ts';
import { summaryOf, type Words, wordsFor } from '../../../gateway/source/why-words.ts';

const NOW = Date.parse('2026-11-22T14:30:00');
const minutesAgo = (minutes: number): number => NOW - minutes * 60_000;
const clock = localClock(new Date(NOW));

const ALICE = '192.168.1.11';
const BOB = '192.168.1.12';

function facts(some: Partial<WhyFacts> = {}): WhyFacts {
  return {
    nowMs: NOW,
    startedMs: minutesAgo(600),
    portCount: 240,
    sessions: { used: 120, capacity: 1_000 },
    remotesTable: { used: 20, capacity: 1_000 },
    hostsTable: { used: 2, capacity: 1_024 },
    owned: [owned('tcp', 0), owned('udp', 0), owned('icmp', 0)],
    hosts: [host(ALICE, 100), host(BOB, 20)],
    classes: [{ class: 'quic', state: 'answered', sessions: 120 }],
    remotes: [remote('198.51.100.7', 443, 12)],
    silent: [],
    refusals: [],
    pressure: { level: 0 },
    recentSeconds: 600,
    createdByClass: [{ class: 'quic', sessions: 300 }],
    quic: { mode: 'never', rejected: 0 },
    ...some,
  };
}

const owned = (protocol: 'tcp' | 'udp' | 'icmp', count: number): OwnedFacts => ({
  protocol,
  owned: count,
  most: 180,
  hosts: count > 0 ? [{ address: ALICE, owned: count }] : [],
  classes: count > 0 ? [{ class: 'stun', owned: count }] : [],
});

const host = (address: string, sessions: number, some: Partial<HostFacts> = {}): HostFacts => ({
  address,
  lan: 'home',
  sessions,
  peak: sessions,
  mappings: sessions,
  owned: 0,
  created: sessions,
  refused: 0,
  createdRecently: sessions,
  limits: { sessions: 0, newPerSecond: 0, owned: 8 },
  classes: [{ class: 'quic', state: 'answered', sessions }],
  destinations: [{ protocol: 'udp', address: '198.51.100.7', port: 443, sessions }],
  ...some,
});

const remote = (
  address: string,
  port: number,
  sessions: number,
  some: Partial<RemoteFacts> = {},
): RemoteFacts => ({
  protocol: 'udp',
  address,
  port,
  sessions,
  hostCount: 1,
  hosts: [{ address: ALICE, sessions }],
  classes: [{ class: 'other', state: 'answered', sessions }],
  ...some,
});

const streak = (count: number, lastMinute: number, lastMs = NOW - 1_000): Streak => ({
  sinceMs: minutesAgo(28),
  lastMs,
  count,
  lastMinute,
});

/** Refused to one host, for one destination. */
const refusal = (
  reason: string,
  address: string,
  to: string,
  port: number,
  counted: Streak,
): RefusalFacts => ({
  reason,
  ...counted,
  hosts: [
    {
      address,
      told: counted.count,
      sinceMs: counted.sinceMs,
      lastMs: counted.lastMs,
      destinations: [
        { protocol: 'udp', address: to, port, told: counted.count, lastMs: counted.lastMs },
      ],
    },
  ],
});

const silent = (sessions: number, some: Partial<SilentFacts> = {}): SilentFacts => ({
  host: ALICE,
  remote: '192.0.2.7',
  ports: [59870],
  portCount: 1,
  class: 'other',
  sessions,
  externalPorts: sessions,
  sourcePorts: sessions,
  packets: sessions,
  sinceMs: minutesAgo(28),
  ...some,
});

const kinds = (some: Partial<WhyFacts>): WhyKind[] => analyse(facts(some)).map(({ kind }) => kind);

function only(some: Partial<WhyFacts>, kind: WhyKind): Finding & Words {
  const found = analyse(facts(some));
  assert.deepEqual(
    found.map((one) => one.kind),
    [kind],
  );
  return { ...found[0], ...wordsFor(found[0], clock) };
}

describe('why: findings', () => {
  it('are none where nothing is short, and the summary says what is used most', () => {
    const quiet = facts();
    assert.deepEqual(analyse(quiet), []);
    assert.equal(
      summaryOf([], quiet),
      'Nothing is short: 12 of 240 ports taken towards the busiest destination, udp 198.51.100.7:443; 120 of 1,000 sessions.',
    );
  });

  it('name the line that does not forward', () => {
    const one = only({ degraded: 'wan0 has no carrier' }, 'not-forwarding');
    assert.equal(one.severity, 'short');
    assert.equal(one.text, 'Packets do not pass: wan0 has no carrier.');
  });

  it('name the processor when the queue before the gateway was full', () => {
    const one = only({ lostAtTun: streak(900, 30) }, 'queue-full');
    assert.equal(one.severity, 'short');
    assert.match(one.text, /30 packets were lost in the last minute, 900 since 14:02\./);
    assert.match(one.text, /opened by 192\.168\.1\.11\.$/);
  });

  describe('ports towards a destination', () => {
    const full = remote('198.51.100.1', 7000, 240, {
      hostCount: 2,
      hosts: [
        { address: BOB, sessions: 200 },
        { address: ALICE, sessions: 40 },
      ],
    });
    const refused = refusal('NoPortLeft', ALICE, '198.51.100.1', 7000, streak(812, 20));

    it('are short while sessions are refused: who holds them, who is refused, since when', () => {
      const one = only({ remotes: [full], refusals: [refused] }, 'ports-towards');
      assert.equal(one.severity, 'short');
      assert.equal(one.since, new Date(minutesAgo(28)).toISOString());
      assert.equal(one.until, undefined);
      assert.deepEqual(one.hosts[0], { address: BOB, sessions: 200 });
      assert.deepEqual(one.destinations, [
        { protocol: 'udp', address: '198.51.100.1', port: 7000, sessions: 240, refused: 812 },
      ]);
      assert.equal(
        one.text,
        'All 240 external ports are taken towards udp 198.51.100.1:7000; 20 new sessions were refused in the last minute, ' +
          '812 since 14:02. 2 hosts hold them, most 192.168.1.12 (200) and 192.168.1.11 (40). They are 240 other UDP. Other ' +
          'destinations are not affected.',
      );
      assert.match(one.advice, /`portfold sessions 192\.168\.1\.12 remote=198\.51\.100\.1:7000`/);
    });

    it('were short: until when', () => {
      const past = refusal('NoPortLeft', ALICE, '198.51.100.1', 7000, streak(8, 0, minutesAgo(2)));
      const one = only({ refusals: [past] }, 'ports-towards');
      assert.equal(one.severity, 'notice');
      assert.match(one.text, /8 new sessions were refused from 14:02 to 14:28\./);
    });

    it('are nearly used up from nine tenths on, and all such destinations are one finding', () => {
      assert.deepEqual(kinds({ remotes: [remote('198.51.100.1', 7000, 215)] }), []);
      const many = [216, 230, 240].map((count, i) => remote(`198.51.100.${i}`, 7000, count));
      const one = only({ remotes: many }, 'ports-towards');
      assert.equal(one.severity, 'tight');
      assert.equal(one.destinations.length, 3);
      assert.match(one.text, /nothing is refused yet/);
    });

    it('held by what gets no answer say so', () => {
      const dead = remote('198.51.100.1', 7000, 240, {
        classes: [{ class: 'other', state: 'unanswered', sessions: 240 }],
      });
      const one = only({ remotes: [dead], refusals: [refused] }, 'ports-towards');
      assert.match(one.text, /They are 240 other UDP without an answer\./);
      assert.match(one.advice, /see whether 198\.51\.100\.1 lives/);
    });

    it('are not what is short where every port has an owner', () => {
      const all = { ...owned('udp', 240), most: 240 };
      const found = kinds({ owned: [all], refusals: [refused] });
      assert.deepEqual(found, ['owned-ports']);
    });

    it('are not what was short where a host may not share them, also when owned ports are back', () => {
      const must = { ...refused, hosts: [{ ...refused.hosts[0], ownedMost: 60 }] };
      const over = { ...must, lastMs: minutesAgo(2) };
      over.hosts[0].destinations[0].lastMs = over.lastMs;
      const one = only({ owned: [{ ...owned('udp', 20) }], refusals: [over] }, 'owned-ports');
      assert.equal(one.severity, 'notice');
      assert.equal(one.title, 'udp ports that endpoints own');
      assert.match(one.text, /^20 of the 60 udp ports .* refused from 14:02 to 14:28, most of /);
      // Others hold all ports towards that destination: then it is that.
      over.hosts[0].destinations[0].lastMs = NOW;
      assert.deepEqual(kinds({ remotes: [full], refusals: [must] }), ['ports-towards']);
    });
  });

  it('name who owns the ports from nine tenths of what may be owned', () => {
    assert.deepEqual(kinds({ owned: [owned('udp', 161)] }), []);
    const tight = only({ owned: [owned('udp', 162)] }, 'owned-ports');
    assert.equal(tight.severity, 'tight');
    const short = only(
      { owned: [owned('udp', 180)], peersWithoutPort: { ...streak(30, 6), hosts: [BOB] } },
      'owned-ports',
    );
    assert.equal(short.severity, 'short');
    assert.match(short.text, /^180 of the 180 udp ports that may have an owner have one/);
    assert.match(
      short.text,
      /owned by 192\.168\.1\.11 \(180\)\. They are for calls and games \(STUN\) \(180\)\./,
    );
    assert.match(short.text, /6 endpoints were left without in the last minute, 30 since 14:02/);
  });

  it('name a host whose games find no port of their own while there are some', () => {
    const one = only(
      {
        hosts: [host(BOB, 40, { owned: 8 })],
        peersWithoutPort: { ...streak(5, 5), hosts: [BOB] },
      },
      'peers-without-port',
    );
    assert.equal(one.severity, 'tight');
    assert.deepEqual(one.hosts, [{ address: BOB, ports: 8 }]);
    assert.match(
      one.text,
      /5 calls or games that found no port of its own since 14:02: a host owns 8/,
    );
  });

  it('name who fills the session table', () => {
    assert.deepEqual(kinds({ sessions: { used: 899, capacity: 1_000 } }), []);
    const tight = only({ sessions: { used: 900, capacity: 1_000 } }, 'session-table');
    assert.equal(tight.severity, 'tight');
    const short = only(
      {
        sessions: { used: 1_000, capacity: 1_000 },
        hosts: [host(ALICE, 980)],
        refusals: [refusal('SessionTableFull', BOB, '198.51.100.9', 443, streak(70, 70))],
      },
      'session-table',
    );
    assert.equal(short.severity, 'short');
    assert.match(
      short.text,
      /^The session table is full: 1,000 of 1,000 sessions; 70 new sessions/,
    );
    assert.match(short.text, /held by 192\.168\.1\.11 \(980\)\. They are 120 QUIC\./);
    assert.match(short.advice, /^192\.168\.1\.11 holds more than half/);
  });

  it('name the tables of destinations and of hosts', () => {
    assert.equal(
      only({ remotesTable: { used: 950, capacity: 1_000 } }, 'remote-table').severity,
      'tight',
    );
    assert.match(
      only({ hostsTable: { used: 1_024, capacity: 1_024 } }, 'host-table').text,
      /Hosts beyond them share one/,
    );
  });

  it('say whom the reserve turned away', () => {
    const one = only(
      { refusals: [refusal('ReservedForOthers', ALICE, '198.51.100.9', 443, streak(4, 4))] },
      'reserve',
    );
    assert.equal(one.severity, 'short');
    assert.match(one.text, /4 new sessions were refused since 14:02 to 192\.168\.1\.11\./);
  });

  it('name what fills the table of the NAT above: class, hosts, destinations', () => {
    const above = { used: 14_999, capacity: 20_000, reused: 4_500 };
    assert.deepEqual(kinds({ upstream: above }), []);
    const one = only(
      {
        upstream: { ...above, used: 19_000, highSinceMs: minutesAgo(5) },
        createdByClass: [
          { class: 'quic', sessions: 6_100 },
          { class: 'tcp', sessions: 3_900 },
        ],
      },
      'upstream',
    );
    assert.equal(one.severity, 'tight');
    assert.deepEqual(one.hosts[0], { address: ALICE, sessions: 100 });
    assert.deepEqual(one.destinations[0].address, '198.51.100.7');
    assert.match(one.text, /19,000 \(95 %\) must be in use by what was sent since 14:25/);
    assert.match(
      one.text,
      /In the last 10 minutes most were made for QUIC \(61 %\) and TCP \(39 %\) by 192\.168\.1\.11 \(100\) and 192\.168\.1\.12 \(20\)\./,
    );
    assert.match(one.text, /What lives here goes to udp 198\.51\.100\.7:443 most\./);
    assert.match(one.advice, /quic = "pressure"/);
    assert.match(
      wordsFor({ ...one, numbers: { ...one.numbers, quicRejected: 9 } }, clock).advice,
      /^QUIC is rejected for it \(9 packets/,
    );
    const busy = {
      sessions: { used: 1_200, capacity: 30_000 },
      upstream: { ...above, used: 19_000 },
    };
    assert.match(only(busy, 'upstream').text, /1,200 sessions live here, the others have ended/);
    const living = { ...busy, sessions: { used: 19_000, capacity: 30_000 } };
    assert.match(only(living, 'upstream').text, /all of them are of sessions that live here\./);
  });

  describe('the share of a host in the table of the NAT above', () => {
    const above = { used: 9_300, capacity: 20_000, reused: 0 };
    const refused = refusal('UpstreamFull', BOB, '198.51.100.9', 443, streak(30, 3));

    it('is what is short while the table is not', () => {
      const one = only({ upstream: above, refusals: [refused] }, 'upstream');
      assert.equal(one.severity, 'short');
      assert.equal(one.title, 'the share of 192.168.1.12 in the table of the NAT above');
      // Whose the entries are that linger there is not known.
      assert.match(
        one.text,
        /192\.168\.1\.12 holds no fewer than are left for all, .*: 3 new sessions were refused in the last minute, 30 since 14:02\./,
      );
      assert.deepEqual(
        concerning([one], ALICE).map(({ kind }) => kind),
        [],
      );
    });

    it('was met: until when', () => {
      const past = refusal('UpstreamFull', BOB, '198.51.100.9', 443, streak(8, 0, minutesAgo(2)));
      const one = only({ upstream: above, refusals: [past] }, 'upstream');
      assert.equal(one.severity, 'notice');
      assert.match(one.text, /held no fewer than were left .* refused from 14:02 to 14:28\./);
    });

    it('is told with the table where that is nearly used up, and not at all where it was full', () => {
      const high = only({ upstream: { ...above, used: 15_000 }, refusals: [refused] }, 'upstream');
      assert.equal(high.title, 'the table of the NAT above');
      // Since when it is refused is told with the refusals.
      assert.match(high.text, /must be in use by what was sent; 120 sessions live here/);
      assert.match(high.text, /in the last minute, 30 since 14:02, most of 192\.168\.1\.12\./);
      assert.match(high.text, /So far only such hosts are refused .*; the others go on\.$/);
      for (const full of [
        { ...above, used: 18_000 },
        { ...above, fullMs: NOW - 5_000 },
      ]) {
        const one = only({ upstream: full, refusals: [refused] }, 'upstream');
        assert.equal(one.title, 'the table of the NAT above');
        assert.match(one.text, /most of 192\.168\.1\.12\.$/);
      }
    });
  });

  describe('dead destinations', () => {
    it('name host, address, port, and that each packet comes from a new source port', () => {
      assert.deepEqual(kinds({ silent: [silent(2)] }), []);
      const one = only({ silent: [silent(4)], gaveWay: streak(3_410, 57) }, 'dead-destination');
      assert.equal(one.severity, 'notice');
      assert.equal(one.numbers.answered, 0);
      assert.equal(
        one.text,
        '192.168.1.11 sends UDP to 192.0.2.7 port 59870, and nothing there has answered since 14:02. Nearly each packet comes ' +
          'from a new source port, and would take a port of its own for minutes. It holds 4 of 240 external ports now; 3,410 older ' +
          'sessions have given way to newer ones, 57 of them in the last minute. It hurts nobody else.',
      );
    });

    it('are told from two sessions on while sessions give way', () => {
      assert.deepEqual(kinds({ silent: [silent(2)], gaveWay: streak(90, 9) }), [
        'dead-destination',
      ]);
      const over = streak(90, 0, minutesAgo(2));
      assert.deepEqual(kinds({ silent: [silent(2)], gaveWay: over }), []);
    });

    it('that hold a quarter of the ports are on the way to a shortage, and may be its cause', () => {
      assert.equal(only({ silent: [silent(60)] }, 'dead-destination').severity, 'tight');
      const refused = refusal('NoPortLeft', BOB, '192.0.2.7', 59870, streak(9, 9));
      const found = analyse(facts({ silent: [silent(240)], refusals: [refused] }));
      assert.deepEqual(
        found.map(({ kind, severity }) => [kind, severity]),
        [
          ['ports-towards', 'short'],
          ['dead-destination', 'short'],
        ],
      );
      const owner = analyse(
        facts({ silent: [silent(170)], owned: [owned('udp', 175)], peersWithoutPort: undefined }),
      );
      assert.deepEqual(
        owner.map(({ kind, severity }) => [kind, severity]),
        [
          ['dead-destination', 'short'],
          ['owned-ports', 'tight'],
        ],
      );
    });

    it('of one host, or of one address, are told together', () => {
      const scan = [1, 2, 3, 4].map((last) => silent(4, { remote: `192.0.2.${last}` }));
      const one = only({ silent: scan }, 'dead-destination');
      assert.equal(one.title, '192.168.1.11 gets no answer from 4 addresses');
      assert.deepEqual([one.numbers.sessions, one.numbers.addresses], [16, 4]);
      assert.match(
        one.text,
        /sends UDP to 4 addresses, and nothing there has answered since 14:02;/,
      );
      assert.match(one.text, /most are udp 192\.0\.2\.1:59870, udp 192\.0\.2\.2:59870,/);

      const hosts = [11, 12, 13].map((last) =>
        silent(3, { host: `192.168.1.${last}`, remote: '192.0.2.53', ports: [53], class: 'dns' }),
      );
      const server = only({ silent: [...hosts] }, 'dead-destination');
      assert.equal(server.title, '3 hosts get no answer from 192.0.2.53');
      assert.match(server.text, /they are 192\.168\.1\.11, 192\.168\.1\.12 and 192\.168\.1\.13\./);
      assert.match(server.advice, /^See whether the name server 192\.0\.2\.53 runs/);
      assert.deepEqual(
        analyse(facts({ silent: [...hosts, ...scan.slice(0, 2)] })).map(
          ({ numbers }) => numbers.sessions,
        ),
        [9, 4, 4],
      );
    });

    it('tell a port scan and a name server that is gone apart', () => {
      const scan = silent(200, { portCount: 200, ports: [1, 2, 3], sourcePorts: 1, packets: 200 });
      assert.match(only({ silent: [scan] }, 'dead-destination').text, /tries 200 UDP ports of 192/);
      const dns = silent(6, { class: 'dns', ports: [53] });
      const one = only({ silent: [dns] }, 'dead-destination');
      assert.match(one.text, /^192\.168\.1\.11 asks the name server 192\.0\.2\.7 port 53,/);
      assert.match(one.advice, /another name server/);
    });
  });

  describe('private destinations', () => {
    const refused = refusal('PrivateDestination', ALICE, '192.168.7.211', 59870, streak(812, 41));

    it('name host and address, and hurt nobody', () => {
      const one = only({ refusals: [refused] }, 'private-destination');
      assert.equal(one.severity, 'notice');
      assert.match(
        one.text,
        /^192\.168\.1\.11 sends to udp 192\.168\.7\.211 port 59870\. That is a private address/,
      );
      assert.match(one.text, /41 packets were refused in the last minute, 812 since 14:02\./);
    });

    it('are one finding for each host and address, with the number that was told', () => {
      const two: RefusalFacts = { ...refused, hosts: [...refused.hosts] };
      two.hosts.push({ ...refused.hosts[0], address: BOB, told: 5 });
      two.hosts[1].destinations = [{ ...refused.hosts[0].destinations[0], told: 5 }];
      const found = analyse(facts({ refusals: [two] }));
      assert.deepEqual(
        found.map(({ hosts, numbers }) => [hosts[0].address, numbers.count]),
        [
          [ALICE, 812],
          [BOB, 5],
        ],
      );
    });

    it('of one host that tries many are told together', () => {
      const places = [1, 2, 3, 4].map((last) => ({
        ...refused.hosts[0].destinations[0],
        address: `192.168.7.${last}`,
      }));
      const many = { ...refused, hosts: [{ ...refused.hosts[0], destinations: places }] };
      const one = only({ refusals: [many] }, 'private-destination');
      assert.equal(one.title, '192.168.1.11 seeks 4 private addresses');
      assert.equal(one.numbers.count, 812);
      assert.match(
        one.text,
        /^192\.168\.1\.11 sends to private addresses \(udp 192\.168\.7\.1:59870,/,
      );
    });

    it('are counted also where no event told of them', () => {
      const one = only({ refusals: [{ ...refused, hosts: [] }] }, 'private-destination');
      assert.match(one.text, /^Somebody in the LAN sends to private addresses\. Those no network/);
    });
  });

  it('name the host that met its limit, and which', () => {
    const limited = [
      host(BOB, 4_000, { limits: { sessions: 4_000, newPerSecond: 100, owned: 8 } }),
      host(ALICE, 3),
    ];
    const rate = refusal('HostRateLimit', BOB, '198.51.100.9', 443, streak(90_000, 9_000));
    const one = only({ hosts: limited, refusals: [rate] }, 'host-limit');
    assert.equal(one.severity, 'short');
    assert.match(
      one.text,
      /^192\.168\.1\.12 begins more new sessions than the 100 a second that a host/,
    );
    assert.match(one.text, /9,000 packets were refused in the last minute/);
    const most = refusal('HostSessionLimit', BOB, '198.51.100.9', 443, streak(90, 9));
    assert.match(
      only({ hosts: limited, refusals: [most] }, 'host-limit').text,
      /^192\.168\.1\.12 has met the limit of 4,000 sessions that a host may have, and holds 4,000 now:/,
    );
  });

  it('name a limit without a number where none is known', () => {
    const rate = refusal('HostRateLimit', BOB, '198.51.100.9', 443, streak(90, 9));
    const text = (some: Partial<WhyFacts>): string =>
      only({ refusals: [rate], ...some }, 'host-limit').text;
    assert.match(text({}), /^192\.168\.1\.12 begins more new sessions than a host may: 9 packets/);
    assert.match(
      text({ hosts: [] }),
      /^192\.168\.1\.12 begins more new sessions than a host may: 9/,
    );
    assert.match(
      text({ limitsSinceMs: NOW }),
      /^192\.168\.1\.12 began more new sessions than a host might then \(now as many as it likes\)/,
    );
  });

  it('name a host with many half-open connections', () => {
    const open = (count: number): HostFacts =>
      host(ALICE, 500, { classes: [{ class: 'tcp', state: 'half-open', sessions: count }] });
    assert.deepEqual(kinds({ hosts: [open(249)] }), []);
    const one = only({ hosts: [open(260)] }, 'half-open');
    assert.equal(one.severity, 'tight');
    assert.match(one.text, /has begun 260 TCP connections that nobody answers, of 500 sessions/);
  });

  it('tell what policies refuse, and under which pressure the line is', () => {
    const quic = refusal('QuicRejected', ALICE, '198.51.100.7', 443, streak(60, 6));
    const one = only({ refusals: [quic] }, 'refused-by-policy');
    assert.match(one.text, /^A policy refuses QUIC, so that browsers take TCP: 6 packets were/);
    const pressure = only(
      {
        pressure: { level: 2, cause: 'upstream', sinceMs: minutesAgo(1) },
        endedByPressure: streak(700, 100),
      },
      'pressure',
    );
    assert.equal(pressure.severity, 'tight');
    assert.match(
      pressure.text,
      /^There is pressure since 14:29, now at level 2 of 3: the table of the NAT above fills up\. .* 700 until now\.$/,
    );
    assert.equal(analyse(facts({ pressure: { level: 1 } }))[0].severity, 'notice');
  });

  it('say who takes what pressure comes from, although it is not nearly used up', () => {
    const under = (cause: PressureCause): [WhyKind, string][] =>
      analyse(
        facts({
          pressure: { level: 1, cause },
          upstream: { used: 500, capacity: 1_000, reused: 0 },
          owned: [owned('tcp', 0), owned('udp', 110), owned('icmp', 0)],
        }),
      ).map(({ kind, severity }) => [kind, severity]);
    const pressure: [WhyKind, string] = ['pressure', 'notice'];
    assert.deepEqual(under('sessions'), [['session-table', 'notice'], pressure]);
    assert.deepEqual(under('owned-ports'), [['owned-ports', 'notice'], pressure]);
    assert.deepEqual(under('destinations'), [['ports-towards', 'notice'], pressure]);
    assert.deepEqual(under('upstream'), [['upstream', 'notice'], pressure]);
  });

  it('stand worst first, and the summary names them in that order', () => {
    const some = facts({
      silent: [silent(4)],
      sessions: { used: 950, capacity: 1_000 },
      refusals: [refusal('NoPortLeft', BOB, '198.51.100.1', 53, streak(5, 5))],
    });
    const found = analyse(some).map((one) => ({ ...one, ...wordsFor(one, clock) }));
    assert.deepEqual(
      found.map(({ severity }) => severity),
      ['short', 'tight', 'notice'],
    );
    assert.equal(
      summaryOf(found, some),
      'Short: ports towards udp 198.51.100.1:53. Nearly used up: the session table. Worth knowing: 192.168.1.11 gets no answer ' +
        'from 192.0.2.7.',
    );
  });

  it('about a host are those in which it takes part, and what everybody meets', () => {
    const found = analyse(
      facts({ silent: [silent(4)], sessions: { used: 950, capacity: 1_000 }, hosts: [] }),
    );
    const of = (address: string) => concerning(found, address).map(({ kind }) => kind);
    assert.deepEqual(of(ALICE), ['session-table', 'dead-destination']);
    assert.deepEqual(of(BOB), ['session-table']);
  });
});

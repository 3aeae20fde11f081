/** The timer tables: what each preset keeps, what pressure takes, and where a number stands. */
import assert from 'node:assert/strict';
import { PROFILES_MAX } from '../../core/policy.ts';
import {
  CLASS_NAMES,
  Class,
  COMMIT_CLASS_SHIFT,
  COMMIT_PROFILE_SHIFT,
  State,
  TICKS_PER_SECOND,
  TIMERS,
} from '../../core/state.ts';
import { presetPolicy } from '../../policies/build.ts';
import { PRESET_NAMES, PRESETS, TIMER_NAMES, UDP_CLASS_NAMES } from '../../policies/settings.ts';
import { always, timerTables } from '../../policies/timers.ts';
import { Bench } from '../support/gateway.ts';
import { ACK, FIN, RST, SYN, tcp4, udp4 } from '../support/packets.ts';

/** Seconds in a table. */
const seconds = (table: Int32Array, profile: number, sessionClass: number, state: number): number =>
  table[(profile << COMMIT_PROFILE_SHIFT) | (sessionClass << COMMIT_CLASS_SHIFT) | state] /
  TICKS_PER_SECOND;

const UDP_CLASSES = UDP_CLASS_NAMES.map((name) => CLASS_NAMES.indexOf(name));
const VPN = [Class.Wireguard, Class.Ike, Class.EspInUdp, Class.Openvpn];

describe('timer tables', () => {
  it('rfc: those of RFC 4787, 5382, 5508 and 7857, whatever the class and the pressure', () => {
    for (const table of timerTables([PRESETS.rfc])) {
      for (const sessionClass of UDP_CLASSES)
        for (const state of [State.Unanswered, State.Answered])
          assert.equal(seconds(table, 0, sessionClass, state), 300, CLASS_NAMES[sessionClass]);
      assert.equal(seconds(table, 0, Class.Icmp, State.Unanswered), 60);
      assert.equal(seconds(table, 0, Class.Icmp, State.Answered), 60);
      assert.equal(seconds(table, 0, Class.Tcp, State.TcpInit), 240);
      assert.equal(seconds(table, 0, Class.Tcp, State.TcpEstablished), 7440);
      assert.equal(seconds(table, 0, Class.Tcp, State.TcpHalfClosed), 7440);
      assert.equal(seconds(table, 0, Class.Tcp, State.TcpClosing), 240);
      assert.equal(seconds(table, 0, Class.Tcp, State.TcpReset), 240);
    }
  });

  it('an unanswered UDP session has the shorter of two timers, an ICMP query its own', () => {
    const timers = { ...PRESETS.home.timers, unanswered: always(40), dns: always(7) };
    const [table] = timerTables([{ timers }]);
    assert.equal(seconds(table, 0, Class.Other, State.Unanswered), 40);
    assert.equal(seconds(table, 0, Class.Other, State.Answered), 120);
    assert.equal(seconds(table, 0, Class.Dns, State.Unanswered), 7);
    assert.equal(seconds(table, 0, Class.Icmp, State.Unanswered), 60);
  });

  it('there is one for each class of UDP that a session can have', () => {
    const classes = CLASS_NAMES.filter((name) => name !== 'tcp' && name !== 'icmp');
    assert.deepEqual([...UDP_CLASS_NAMES].sort(), [...classes].sort());
  });

  it('each profile has its own; those that are not used have the first', () => {
    const [table] = timerTables([PRESETS.home, PRESETS.event, PRESETS.rfc]);
    const other = [0, 1, 2, 3].map((n) => seconds(table, n, Class.Other, State.Answered));
    assert.deepEqual(other, [120, 60, 300, 120]);
    assert.equal(table.length, TIMERS);
    assert.equal(PROFILES_MAX, 4);
  });

  for (const name of PRESET_NAMES)
    describe(name, () => {
      const { timers } = PRESETS[name];

      it('has every timer, longer than nothing, and never longer at a higher level', () => {
        assert.deepEqual(Object.keys(timers).sort(), [...TIMER_NAMES].sort());
        for (const [key, levels] of Object.entries(timers)) {
          assert.equal(levels.length, 4);
          levels.forEach((each, level) => {
            assert.ok(each >= 1, `${key} at level ${level}`);
            assert.ok(level === 0 || each <= levels[level - 1], `${key} at level ${level}`);
          });
        }
      });

      it('keeps a VPN for five minutes at every level', () => {
        for (const table of timerTables([PRESETS[name]]))
          for (const sessionClass of VPN)
            assert.ok(seconds(table, 0, sessionClass, State.Answered) >= 300);
      });

      it('keeps established TCP long enough for what is renewed every half hour, at every level', () => {
        const least = name === 'event' ? 1800 : name === 'rfc' ? 7440 : 3600;
        for (const table of timerTables([PRESETS[name]]))
          assert.ok(seconds(table, 0, Class.Tcp, State.TcpEstablished) >= least);
      });

      it('gives whatever was answered more than the 15 s between two keep-alives (RFC 8085)', () => {
        const patient = UDP_CLASSES.filter((each) => ![Class.Dns, Class.Ntp].includes(each as 3));
        const relaxed = timerTables([PRESETS[name]])[0];
        for (const sessionClass of patient)
          assert.ok(seconds(relaxed, 0, sessionClass, State.Answered) >= 30);
      });
    });
});

describe('timers of preset home, in the engine', () => {
  const server = '198.51.100.7:7000';
  const host = '192.168.1.11:5000';
  const sessionsAfter = (bench: Bench, secondsOfSilence: number): number => {
    bench.pass(secondsOfSilence);
    return bench.table.parts.sessions.count;
  };
  const answered = (bench: Bench): void => {
    const out = bench.pass4(udp4({ from: host, to: server }));
    const port = (out[20] << 8) | out[21];
    bench.pass4(udp4({ from: server, to: `203.0.113.5:${port}` }));
  };

  it('UDP that was never answered ends after 30 s, answered UDP after two minutes', () => {
    const silent = new Bench({ policy: presetPolicy('home'), capacity: 64 });
    silent.pass4(udp4({ from: host, to: server }));
    assert.equal(sessionsAfter(silent, 29), 1);
    assert.equal(sessionsAfter(silent, 3), 0);

    const bench = new Bench({ policy: presetPolicy('home'), capacity: 64 });
    answered(bench);
    assert.equal(sessionsAfter(bench, 119), 1);
    assert.equal(sessionsAfter(bench, 3), 0);
  });

  it('a SYN without an answer ends after 30 s, an established connection after 7,440', () => {
    const bench = new Bench({ policy: presetPolicy('home'), capacity: 64 });
    bench.pass4(tcp4({ from: host, to: server, flags: SYN, seq: 100 }));
    assert.equal(sessionsAfter(bench, 29), 1);
    assert.equal(sessionsAfter(bench, 3), 0);

    const out = bench.pass4(tcp4({ from: host, to: server, flags: SYN, seq: 100 }));
    const external = `203.0.113.5:${(out[20] << 8) | out[21]}`;
    bench.pass4(tcp4({ from: server, to: external, flags: SYN | ACK, seq: 900, ack: 101 }));
    bench.pass4(tcp4({ from: host, to: server, flags: ACK, seq: 101, ack: 901 }));
    assert.equal(sessionsAfter(bench, 7439), 1);
    assert.equal(sessionsAfter(bench, 3), 0);
  });

  it('a half-closed connection ends after 240 s, a closed one after 120, a reset one after 10', () => {
    const open = (): { bench: Bench; external: string } => {
      const bench = new Bench({ policy: presetPolicy('home'), capacity: 64 });
      const out = bench.pass4(tcp4({ from: host, to: server, flags: SYN, seq: 100 }));
      const external = `203.0.113.5:${(out[20] << 8) | out[21]}`;
      bench.pass4(tcp4({ from: server, to: external, flags: SYN | ACK, seq: 900, ack: 101 }));
      bench.pass4(tcp4({ from: host, to: server, flags: ACK, seq: 101, ack: 901 }));
      return { bench, external };
    };
    const halfClosed = open();
    halfClosed.bench.pass4(tcp4({ from: host, to: server, flags: FIN | ACK, seq: 101, ack: 901 }));
    assert.equal(sessionsAfter(halfClosed.bench, 239), 1);
    assert.equal(sessionsAfter(halfClosed.bench, 3), 0);

    const closed = open();
    closed.bench.pass4(tcp4({ from: host, to: server, flags: FIN | ACK, seq: 101, ack: 901 }));
    const fin = { flags: FIN | ACK, seq: 901, ack: 102 };
    closed.bench.pass4(tcp4({ from: server, to: closed.external, ...fin }));
    assert.equal(sessionsAfter(closed.bench, 119), 1);
    assert.equal(sessionsAfter(closed.bench, 3), 0);

    const reset = open();
    reset.bench.pass4(tcp4({ from: server, to: reset.external, flags: RST, seq: 901 }));
    assert.equal(sessionsAfter(reset.bench, 9), 1);
    assert.equal(sessionsAfter(reset.bench, 3), 0);
  });
});

/**
 * The timer tables of the sweep: how many ticks of silence end a session.
 *
 *   index:  | profile 2 | class 4 | state 6 |      one table for each pressure level
 *
 * What comes to an entry:
 *
 *   TCP states             tcp-half-open, tcp-established, tcp-half-closed, tcp-closing, tcp-reset
 *   ICMP query             icmp, answered or not
 *   UDP, answered          the timer of its class
 *   UDP, never answered    the shorter one of its class and `unanswered`
 *
 * Why closing and reset connections may go early. A record in one of these states holds its external port towards one remote endpoint
 * only, and gives it to the next SYN for which that is safe (core/table/allocate.ts: RFC 6191). What the record is still good for is to
 * know whether it is: while the server may be in TIME_WAIT (60 s on Linux and BSD, up to 120 s on Windows) the record says which
 * sequence numbers it has seen. A record that goes before that costs, in the one case in hundreds that the same port is drawn towards
 * the same server again, the second after which the SYN is sent anew: the server answers with an ACK, the client with a RST, and
 * TIME_WAIT is over. After a RST that was accepted neither side remembers anything, so nothing is to be waited for.
 */
import { PROFILE_SHIFT, PROFILES_MAX } from '../core/policy.ts';
import { CLASS_NAMES, Class, STATES_MAX, State, TICKS_PER_SECOND, TIMERS } from '../core/state.ts';
import type { PolicySettings, TimerName, TimerSeconds, Timers, UdpClassName } from './settings.ts';

const CLASSES = 1 << PROFILE_SHIFT;

/** A timer that pressure does not shorten. */
export const always = (seconds: number): TimerSeconds => [seconds, seconds, seconds, seconds];

const TCP_TIMERS: readonly (readonly [state: number, name: TimerName])[] = [
  [State.TcpInit, 'tcp-half-open'],
  [State.TcpEstablished, 'tcp-established'],
  [State.TcpHalfClosed, 'tcp-half-closed'],
  [State.TcpClosing, 'tcp-closing'],
  [State.TcpReset, 'tcp-reset'],
];

/** The four tables of a policy, in ticks. Profiles that are not used have the timers of the first. */
export function timerTables(
  profiles: readonly Pick<PolicySettings, 'timers'>[],
): [Int32Array, Int32Array, Int32Array, Int32Array] {
  return [
    timerTable(profiles, 0),
    timerTable(profiles, 1),
    timerTable(profiles, 2),
    timerTable(profiles, 3),
  ];
}

function timerTable(profiles: readonly Pick<PolicySettings, 'timers'>[], level: number) {
  const table = new Int32Array(TIMERS);
  for (let profile = 0; profile < PROFILES_MAX; profile++) {
    const { timers } = profiles[profile] ?? profiles[0];
    for (let sessionClass = 0; sessionClass < CLASSES; sessionClass++) {
      const at = ((profile << PROFILE_SHIFT) | sessionClass) * STATES_MAX;
      for (const [state, name] of TCP_TIMERS) table[at + state] = ticks(timers[name][level]);
      const answered = answeredSeconds(timers, sessionClass, level);
      const unanswered =
        sessionClass === Class.Icmp ? answered : Math.min(answered, timers.unanswered[level]);
      table[at + State.Unanswered] = ticks(unanswered);
      table[at + State.Answered] = ticks(answered);
    }
  }
  return table;
}

const ticks = (seconds: number): number => seconds * TICKS_PER_SECOND;

/** The timer of a class; TCP has none of its own here, and what has no name is other. */
function answeredSeconds(timers: Timers, sessionClass: number, level: number): number {
  const name = CLASS_NAMES[sessionClass];
  const known = name !== undefined && name in timers;
  return timers[known ? (name as UdpClassName | 'icmp') : 'other'][level];
}

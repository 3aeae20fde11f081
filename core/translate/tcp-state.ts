/**
 * The TCP state of a session (RFC 7857 section 2, RFC 5382 REQ-2), from the flags that pass.
 *
 *                  SYN from outside                FIN                     FIN from the other side
 *      TcpInit ───────────────────▶ TcpEstablished ───▶ TcpHalfClosed ───────────────────────────▶ TcpClosing
 *         ▲                               │  ▲                                                          │
 *         │                     valid RST ▼  │ anything but a RST from inside                           │
 *         └──── SYN from inside ────── TcpReset                                                         │
 *         └──── SYN from inside ────────────────────────────────────────────────────────────────────────┘
 *
 * A RST counts only if its sequence number is the one expected (RFC 7857 section 2.2): others are forwarded and change nothing, so
 * that an outsider cannot end a connection. From the first FIN on, the last TSval of the internal side is kept: it tells whether a
 * new SYN may take the place of the closed session (RFC 6191).
 *
 * The caller has checked that the TCP header lies within the packet.
 */

import { Flag, State } from '../state.ts';
import { S_ACKNOWLEDGED, S_COMMIT, S_SEQUENCE_OUT, S_TIMESTAMP } from '../table/arena.ts';
import { readI32 } from '../wire/bytes.ts';
import {
  findTimestamp,
  sequenceEnd,
  TCP_ACK,
  TCP_ACKNOWLEDGEMENT,
  TCP_FIN,
  TCP_FLAGS,
  TCP_RST,
  TCP_SEQUENCE,
  TCP_SYN,
  tcpHeaderBytes,
} from '../wire/tcp.ts';

const CONTROL_FLAGS = TCP_SYN | TCP_FIN | TCP_RST;
/** Flags that a connection starts without. */
const HISTORY =
  Flag.Answered | Flag.RemoteClosedFirst | Flag.HasTimestamps | Flag.FinOut | Flag.FinIn;

function setCommit(words: Int32Array, at: number, state: number, flags: number): void {
  words[at + S_COMMIT] = (words[at + S_COMMIT] & ~(63 | (0xfff << 12))) | (flags << 12) | state;
}

const flagsOf = (commit: number): number => (commit >>> 12) & 0xfff;

/** Follows a segment from the internal side. @param at first word of the session; @param segmentBytes TCP header and payload */
export function trackOutbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  segmentBytes: number,
): void {
  const control = bytes[tcp + TCP_FLAGS];
  const state = words[at + S_COMMIT] & 63;
  const end = sequenceEnd(bytes, tcp, segmentBytes);

  if ((control & CONTROL_FLAGS) !== 0) {
    controlOutbound(words, at, bytes, tcp, control, state, end);
  } else {
    if (((end - words[at + S_SEQUENCE_OUT]) | 0) > 0) words[at + S_SEQUENCE_OUT] = end;
    if (state === State.TcpReset)
      setCommit(words, at, State.TcpEstablished, flagsOf(words[at + S_COMMIT]));
  }
  if ((control & TCP_ACK) !== 0 && (control & TCP_RST) === 0) {
    const acknowledged = readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT);
    if (((acknowledged - words[at + S_ACKNOWLEDGED]) | 0) > 0 || state === State.TcpInit)
      words[at + S_ACKNOWLEDGED] = acknowledged;
  }
  if (state === State.TcpHalfClosed || state === State.TcpClosing)
    keepTimestamp(words, at, bytes, tcp);
}

function controlOutbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  control: number,
  state: number,
  end: number,
): void {
  const flags = flagsOf(words[at + S_COMMIT]);
  if ((control & TCP_RST) !== 0) {
    const sequence = readI32(bytes, tcp + TCP_SEQUENCE);
    if (sequence === words[at + S_SEQUENCE_OUT] || state === State.TcpInit)
      setCommit(words, at, State.TcpReset, flags);
    return;
  }
  if ((control & TCP_SYN) !== 0) {
    // A SYN on a closed session opens it anew (RFC 6191); on an open one it changes nothing (RFC 5961).
    if (state === State.TcpClosing || state === State.TcpReset) {
      setCommit(words, at, State.TcpInit, flags & ~HISTORY);
      words[at + S_SEQUENCE_OUT] = end;
    } else if (state === State.TcpInit) {
      words[at + S_SEQUENCE_OUT] = end;
      if ((flags & Flag.CreatedInbound) !== 0)
        setCommit(words, at, State.TcpEstablished, flags | Flag.Answered);
    }
    return;
  }
  if (((end - words[at + S_SEQUENCE_OUT]) | 0) > 0) words[at + S_SEQUENCE_OUT] = end;
  const closed = (flags & Flag.FinIn) !== 0 ? State.TcpClosing : State.TcpHalfClosed;
  setCommit(words, at, closed, flags | Flag.FinOut);
  keepTimestamp(words, at, bytes, tcp);
}

/** Follows a segment from the remote side. */
export function trackInbound(words: Int32Array, at: number, bytes: Uint8Array, tcp: number): void {
  const control = bytes[tcp + TCP_FLAGS];
  if ((control & CONTROL_FLAGS) === 0) return;
  const commit = words[at + S_COMMIT];
  const state = commit & 63;
  const flags = flagsOf(commit);
  const sequence = readI32(bytes, tcp + TCP_SEQUENCE);

  if ((control & TCP_RST) !== 0) {
    const refusesSyn =
      state === State.TcpInit &&
      (control & TCP_ACK) !== 0 &&
      readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT) === words[at + S_SEQUENCE_OUT];
    const isExpected = state !== State.TcpInit && sequence === words[at + S_ACKNOWLEDGED];
    if (refusesSyn || isExpected) setCommit(words, at, State.TcpReset, flags);
    return;
  }
  if ((control & TCP_SYN) !== 0) {
    if (state === State.TcpInit && (flags & Flag.CreatedInbound) === 0) {
      setCommit(words, at, State.TcpEstablished, flags | Flag.Answered);
      words[at + S_ACKNOWLEDGED] = (sequence + 1) | 0;
    }
    return;
  }
  if (state !== State.TcpEstablished && state !== State.TcpHalfClosed) return;
  const first = (flags & Flag.FinOut) === 0 ? Flag.RemoteClosedFirst : 0;
  const closed = (flags & Flag.FinOut) !== 0 ? State.TcpClosing : State.TcpHalfClosed;
  setCommit(words, at, closed, flags | Flag.FinIn | first);
}

function keepTimestamp(words: Int32Array, at: number, bytes: Uint8Array, tcp: number): void {
  const option = findTimestamp(bytes, tcp, tcp + tcpHeaderBytes(bytes, tcp));
  if (option < 0) return;
  words[at + S_TIMESTAMP] = readI32(bytes, option);
  words[at + S_COMMIT] |= Flag.HasTimestamps << 12;
}

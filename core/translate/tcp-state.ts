/**
 * The TCP state of a session (RFC 7857 section 2, RFC 5382 REQ-2), from the flags that pass.
 *
 *                 our SYN is acknowledged             FIN                   FIN from the other side
 *      TcpInit ───────────────────▶ TcpEstablished ───▶ TcpHalfClosed ───────────────────────────▶ TcpClosing
 *         ▲                               │  ▲                                                          │
 *         │                     valid RST ▼  │ anything but a RST from inside                           │
 *         └── SYN from inside ──────── TcpReset                                                         │
 *         └── SYN from inside ──────────────────────────────────────────────────────────────────────────┘
 *
 * A session is established when the remote acknowledges the SYN of the internal side: by SYN-ACK, or by ACK if its own SYN crossed ours
 * (simultaneous open) or came first (to a port that the host owns). A SYN-ACK or a challenge ACK about an older connection reaches the
 * host, which answers it with a RST, and changes nothing. A SYN on an open session changes nothing either until the remote agrees to
 * it. A closed session is opened anew from inside only; a SYN from outside reaches the host, and the host's SYN-ACK opens it.
 *
 * A RST from outside counts only if its sequence number is the one expected (RFC 7857 section 2.2): others are forwarded and change
 * nothing, so that an outsider cannot end a connection. What is expected is the end of what came in order, or what the internal side
 * acknowledged if that is more. A RST from inside counts, but while a SYN is unanswered only if it is about that SYN.
 *
 * Word 12 holds the sequence number of the unanswered SYN. From the first FIN on it holds the last TSval of the internal side: it tells
 * whether a new SYN may take the place of the closed session (RFC 6191). Flag.HasTimestamps says which of the two.
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

const S_SYN = S_TIMESTAMP;
/** The answer to a SYN acknowledges it, and some of the data that came with it (RFC 7413). */
const SYN_BYTES_MAX = 65535;
/** As far from any acknowledgement as a sequence number can be: no SYN waits for its answer. */
const FAR = 1 << 31;

const CONTROL_FLAGS = TCP_SYN | TCP_FIN | TCP_RST;
/** Flags that a connection starts without. */
const HISTORY =
  Flag.Answered |
  Flag.CreatedInbound |
  Flag.RemoteClosedFirst |
  Flag.HasTimestamps |
  Flag.FinOut |
  Flag.FinIn;

function setCommit(words: Int32Array, at: number, state: number, flags: number): void {
  words[at + S_COMMIT] = (words[at + S_COMMIT] & ~(63 | (0xfff << 12))) | (flags << 12) | state;
}

/** True if both sides have closed, or one has reset. */
export const isClosed = (state: number): boolean =>
  state === State.TcpClosing || state === State.TcpReset;

const flagsOf = (commit: number): number => (commit >>> 12) & 0xfff;

/** True if `sequence` is the number after the SYN that waits for its answer, or after data that came with it. */
function isAfterSyn(words: Int32Array, at: number, sequence: number): boolean {
  if ((flagsOf(words[at + S_COMMIT]) & Flag.HasTimestamps) !== 0) return false;
  const distance = (sequence - words[at + S_SYN]) | 0;
  return distance > 0 && distance <= SYN_BYTES_MAX;
}

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
    if ((control & (TCP_SYN | TCP_RST)) !== 0) return;
  } else {
    if (((end - words[at + S_SEQUENCE_OUT]) | 0) > 0) words[at + S_SEQUENCE_OUT] = end;
    if (state === State.TcpReset)
      setCommit(words, at, State.TcpEstablished, flagsOf(words[at + S_COMMIT]));
  }
  if ((control & TCP_ACK) !== 0) {
    const acknowledged = readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT);
    if (((acknowledged - words[at + S_ACKNOWLEDGED]) | 0) > 0)
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
  const sequence = readI32(bytes, tcp + TCP_SEQUENCE);
  if ((control & TCP_RST) !== 0) {
    // While a SYN is unanswered the host refuses segments of an older connection without giving up the new one.
    const counts =
      state === State.TcpInit
        ? isAfterSyn(words, at, sequence)
        : state !== State.TcpClosing || sequence === words[at + S_SEQUENCE_OUT];
    if (counts) setCommit(words, at, State.TcpReset, flags);
    return;
  }
  if ((control & TCP_SYN) !== 0) {
    synOutbound(words, at, bytes, tcp, control, state, end);
    return;
  }
  if (((end - words[at + S_SEQUENCE_OUT]) | 0) > 0) words[at + S_SEQUENCE_OUT] = end;
  const closed = (flags & Flag.FinIn) !== 0 ? State.TcpClosing : State.TcpHalfClosed;
  setCommit(words, at, closed, flags | Flag.FinOut);
  keepTimestamp(words, at, bytes, tcp);
}

function synOutbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  control: number,
  state: number,
  end: number,
): void {
  const flags = flagsOf(words[at + S_COMMIT]);
  const sequence = readI32(bytes, tcp + TCP_SEQUENCE);
  const isAnswer = (control & TCP_ACK) !== 0;
  if (state !== State.TcpInit && !isClosed(state)) {
    // Answered by a challenge ACK (RFC 5961 section 4), or agreed to by a remote that has forgotten the connection.
    if (isAnswer) return;
    setCommit(words, at, state, flags & ~Flag.HasTimestamps);
    words[at + S_SYN] = sequence;
    return;
  }
  if (isClosed(state)) {
    const createdInbound = isAnswer ? Flag.CreatedInbound : 0;
    setCommit(words, at, State.TcpInit, (flags & ~HISTORY) | createdInbound);
    words[at + S_SEQUENCE_OUT] = end;
  } else if (sequence !== words[at + S_SYN] || ((end - words[at + S_SEQUENCE_OUT]) | 0) > 0)
    words[at + S_SEQUENCE_OUT] = end;
  words[at + S_SYN] = sequence;
  if (isAnswer) words[at + S_ACKNOWLEDGED] = readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT);
}

/** Follows a segment from the remote side. Parameters as of `trackOutbound`. */
export function trackInbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  segmentBytes: number,
): void {
  const control = bytes[tcp + TCP_FLAGS];
  const sequence = readI32(bytes, tcp + TCP_SEQUENCE);
  if ((control & CONTROL_FLAGS) === 0 && (words[at + S_COMMIT] & 63) !== State.TcpInit) {
    if (sequence === words[at + S_ACKNOWLEDGED])
      words[at + S_ACKNOWLEDGED] = (sequence + segmentBytes - tcpHeaderBytes(bytes, tcp)) | 0;
    return;
  }
  if ((control & TCP_RST) !== 0) {
    resetInbound(words, at, bytes, tcp, control, sequence);
    return;
  }
  const end = sequenceEnd(bytes, tcp, segmentBytes);
  if ((control & TCP_SYN) !== 0) {
    synInbound(words, at, bytes, tcp, control, end);
    return;
  }
  if ((words[at + S_COMMIT] & 63) === State.TcpInit)
    acknowledgedInbound(words, at, bytes, tcp, control);
  if (sequence === words[at + S_ACKNOWLEDGED]) words[at + S_ACKNOWLEDGED] = end;
  if ((control & TCP_FIN) === 0) return;

  const commit = words[at + S_COMMIT];
  const state = commit & 63;
  if (state !== State.TcpEstablished && state !== State.TcpHalfClosed) return;
  const flags = flagsOf(commit);
  const first = (flags & Flag.FinOut) === 0 ? Flag.RemoteClosedFirst : 0;
  const closed = (flags & Flag.FinOut) !== 0 ? State.TcpClosing : State.TcpHalfClosed;
  setCommit(words, at, closed, flags | Flag.FinIn | first);
}

function resetInbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  control: number,
  sequence: number,
): void {
  const state = words[at + S_COMMIT] & 63;
  const flags = flagsOf(words[at + S_COMMIT]);
  const refusesSyn =
    (control & TCP_ACK) !== 0 && isAfterSyn(words, at, readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT));
  const hasNumbers =
    state !== State.TcpInit || (flags & (Flag.Answered | Flag.CreatedInbound)) !== 0;
  if (refusesSyn || (hasNumbers && sequence === words[at + S_ACKNOWLEDGED]))
    setCommit(words, at, State.TcpReset, flags);
}

function synInbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  control: number,
  end: number,
): void {
  const state = words[at + S_COMMIT] & 63;
  const flags = flagsOf(words[at + S_COMMIT]);
  if (isClosed(state)) return;
  if ((control & TCP_ACK) === 0) {
    if (state !== State.TcpInit) return;
    setCommit(words, at, State.TcpInit, flags | Flag.Answered);
    words[at + S_ACKNOWLEDGED] = end;
    return;
  }
  const acknowledged = readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT);
  if (!isAfterSyn(words, at, acknowledged)) return;
  // On an open session the remote has agreed to the SYN of a new connection, whose numbers count from here.
  if (state !== State.TcpInit) words[at + S_SEQUENCE_OUT] = acknowledged;
  words[at + S_ACKNOWLEDGED] = end;
  establish(words, at, (flags & ~HISTORY) | (flags & Flag.CreatedInbound));
}

/** An ACK to the SYN of the internal side, where the SYN of the remote came before. */
function acknowledgedInbound(
  words: Int32Array,
  at: number,
  bytes: Uint8Array,
  tcp: number,
  control: number,
): void {
  const flags = flagsOf(words[at + S_COMMIT]);
  if ((control & TCP_ACK) === 0 || (flags & (Flag.Answered | Flag.CreatedInbound)) === 0) return;
  if (isAfterSyn(words, at, readI32(bytes, tcp + TCP_ACKNOWLEDGEMENT))) establish(words, at, flags);
}

function establish(words: Int32Array, at: number, flags: number): void {
  setCommit(words, at, State.TcpEstablished, flags | Flag.Answered);
  words[at + S_SYN] = words[at + S_SEQUENCE_OUT] ^ FAR;
}

function keepTimestamp(words: Int32Array, at: number, bytes: Uint8Array, tcp: number): void {
  const option = findTimestamp(bytes, tcp, tcp + tcpHeaderBytes(bytes, tcp));
  if (option < 0) return;
  words[at + S_TIMESTAMP] = readI32(bytes, option);
  words[at + S_COMMIT] |= Flag.HasTimestamps << 12;
}

/**
 * Under the external 5-tuple of a session nobody else sends: neither a packet, nor an ICMP error about what came in. Judged as soon as
 * it leaves, since the remote may never answer; but what an answer shows is judged too (twins.ts), by what was seen and not by records.
 */
import { S_INTERNAL_ADDRESS, S_PORTS } from '../../core/table/arena.ts';
import { SESSION_SHIFT, type Sessions } from '../../core/table/sessions.ts';
import { headerBytes, i32, u16 } from './build.ts';
import { EXTERNAL, isInternal } from './world.ts';

const OFFSET_BITS = 0x1fff;
const ERRORS = [3, 4, 5, 11, 12];

/** What is wrong with the sender of what left for the line, or undefined. @param input the packet as it came from the LAN */
export function senderFault(
  sessions: Sessions,
  input: Uint8Array,
  output: Uint8Array,
): string | undefined {
  if (i32(output, 12) !== EXTERNAL || isInternal(i32(output, 16))) return undefined;
  if (!isInternal(i32(input, 12)) || (u16(output, 6) & OFFSET_BITS) !== 0) return undefined;
  const before = headerBytes(input);
  const after = headerBytes(output);
  if (output[9] !== 1 || !ERRORS.includes(output[after]))
    return isOwn(sessions, input, output, 0) ? undefined : 'sent in the name of another';
  const isLong = Math.min(input.length - before, output.length - after) >= 36;
  return !isLong || isOwn(sessions, input.subarray(before + 8), output.subarray(after + 8), 1)
    ? undefined
    : 'an error about what another has got';
}

/** True if no session of another has the 5-tuple of `after`. @param side of the internal endpoint: 0 source, 1 destination */
function isOwn(sessions: Sessions, before: Uint8Array, after: Uint8Array, side: 0 | 1): boolean {
  const protocol = after[9];
  const [address, remote] = [12 + 4 * side, 16 - 4 * side];
  const isEcho = protocol === 1;
  const portAt = (packet: Uint8Array): number => headerBytes(packet) + (isEcho ? 4 : 2 * side);
  const remotePort = isEcho ? 0 : u16(after, headerBytes(after) + 2 * (1 - side));
  const external = (u16(after, portAt(after)) << 16) | protocol;
  const session = sessions.findExternal(external, i32(after, remote), remotePort);
  if (session < 0) return true;
  const s = session << SESSION_SHIFT;
  return (
    sessions.words[s + S_INTERNAL_ADDRESS] === i32(before, address) &&
    sessions.words[s + S_PORTS] >>> 16 === u16(before, portAt(before))
  );
}

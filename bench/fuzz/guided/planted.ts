/**
 * Faults to be planted into a build of the engine, to see that the guided fuzzer finds what plausible traffic and blind mutation do
 * not. Each stands behind several conditions, and a right checksum or an earlier packet behind those.
 */
import type { Plant } from './load.ts';

export interface PlantedFault extends Plant {
  name: string;
  /** What the fuzzer says when it has found it. */
  message: RegExp;
}

export const PLANTED: readonly PlantedFault[] = [
  {
    name: 'an answer whose payload begins with a magic word is spoiled',
    file: 'core/translate/inbound.ts',
    find: '  const deltas = words[s + S_DELTAS];\n',
    replace:
      '  if (protocol === PROTOCOL_UDP && l4Bytes >= 12 && readI32(bytes, l4 + 8) === 0x4d616763)\n' +
      '    bytes[l4 + 8] ^= 1;\n' +
      '  const deltas = words[s + S_DELTAS];\n',
    message: /wrong (transport|partial) checksum/,
  },
  {
    name: 'an error about the last words of a connection that the inside has closed throws',
    file: 'core/translate/icmp-error.ts',
    find: '  const internalAddress = words[s + S_INTERNAL_ADDRESS];\n  const { line } = ctx;\n  const end',
    replace:
      '  if (((words[s + 4] >>> 12) & 128) !== 0)\n' +
      '    if (bytes[icmp] === 12)\n' +
      "      if (bytes[icmp + 1] === 7) throw new RangeError('planted');\n" +
      '  const internalAddress = words[s + S_INTERNAL_ADDRESS];\n  const { line } = ctx;\n  const end',
    message: /an exception: planted/,
  },
  {
    name: 'a hairpin to an owner, of one service class and hop count and with one byte, is spoiled',
    file: 'core/translate/inbound.ts',
    find: '  const m = owner << MAPPING_SHIFT;\n',
    replace:
      '  if (isHairpin)\n' +
      '    if (bytes[at + 1] === 0xb8)\n' +
      '      if (bytes[at + 8] === 77)\n' +
      '        if (l4Bytes === 9) bytes[l4] ^= 1;\n' +
      '  const m = owner << MAPPING_SHIFT;\n',
    message: /./,
  },
];

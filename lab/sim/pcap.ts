/**
 * Reads recorded packets: pcap and pcapng files, as tcpdump, dumpcap and Wireshark write them.
 *
 *   pcap    | magic 4 | version 4 | … | snaplen 4 | link type 4 |   then   | seconds | fraction | kept | length | bytes … |
 *   pcapng  | block type 4 | length 4 | … | length 4 |              blocks: section 0x0A0D0D0A, interface 1, packet 6, simple packet 3
 *
 * Both come in either byte order. What is needed of a packet is its time and its IPv4 header with what follows; other packets are
 * left out and counted by what they are, and a file that is cut off at its end is read up to there.
 */
import { readFileSync } from 'node:fs';
import { IPV4_HEADER_BYTES } from '../../core/wire/ipv4.ts';
import { UsageError } from '../../gateway/config/errors.ts';

/** An IPv4 packet within the file's bytes. */
export interface RecordedPacket {
  timeMs: number;
  /** Offset of the IPv4 header in the file, and how many bytes of the packet were kept. */
  at: number;
  kept: number;
}

export interface Recording {
  bytes: Uint8Array;
  packets: RecordedPacket[];
  /** How many packets are not IPv4, or not behind headers that are read here, by what they are: "IPv6". */
  others: Map<string, number>;
}

const PCAP_MICROSECONDS = 0xa1b2c3d4;
const PCAP_NANOSECONDS = 0xa1b23c4d;
const PCAP_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const SECTION_BLOCK = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_BLOCK = 1;
const SIMPLE_PACKET_BLOCK = 3;
const PACKET_BLOCK = 6;
const OPTION_TIME_RESOLUTION = 9;
const MICROSECONDS_A_SECOND = 1e6;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_VLAN = [0x8100, 0x88a8];
/** Link types (tcpdump.org/linktypes.html), and where IPv4 begins behind each. */
const LINK_NULL = 0;
const LINK_ETHERNET = 1;
const LINK_RAW = [12, 14, 101, 228];
const LINK_SLL = 113;
const LINK_SLL2 = 276;
/** What is not read, for people: link types and EtherTypes. */
const LINK_NAMES: Record<number, string> = {
  9: 'PPP',
  50: 'PPP',
  51: 'PPPoE',
  105: 'Wi-Fi',
  119: 'Wi-Fi',
  127: 'Wi-Fi',
  163: 'Wi-Fi',
};
const ETHERTYPE_NAMES: Record<number, string> = {
  2054: 'ARP',
  34915: 'PPPoE',
  34916: 'PPPoE',
  34525: 'IPv6',
};
const CUT_SHORT = 'cut short';

export function readRecording(path: string): Recording {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_FS_FILE_TOO_LARGE')
      throw captureError(
        path,
        'is larger than 2 GiB',
        'cut it, for instance with `editcap -c 1000000`',
      );
    throw captureError(path, `cannot be read (${code})`, 'check the path');
  }
  return parseRecording(bytes, path);
}

/** @param path is only named in messages */
export function parseRecording(bytes: Uint8Array, path: string): Recording {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = new Reader(view, bytes);
  if (bytes.length >= PCAP_HEADER_BYTES)
    for (const littleEndian of [true, false]) {
      const magic = view.getUint32(0, littleEndian);
      if (magic === PCAP_MICROSECONDS || magic === PCAP_NANOSECONDS)
        return reader.pcap(littleEndian, magic === PCAP_NANOSECONDS ? 1e6 : 1e3);
      if (magic === SECTION_BLOCK) return reader.pcapng();
    }
  throw captureError(
    path,
    'is neither a pcap nor a pcapng file',
    'record one with `tcpdump -w FILE`',
  );
}

const captureError = (path: string, what: string, hint: string): UsageError =>
  new UsageError('SIM_BAD_CAPTURE', `${path} ${what}; ${hint}`);

class Reader {
  private readonly view: DataView;
  private readonly recording: Recording;

  constructor(view: DataView, bytes: Uint8Array) {
    this.view = view;
    this.recording = { bytes, packets: [], others: new Map() };
  }

  /** @param perMs fractions of a second in a millisecond */
  pcap(littleEndian: boolean, perMs: number): Recording {
    const { view } = this;
    const link = view.getUint32(20, littleEndian) & 0xffff;
    let at = PCAP_HEADER_BYTES;
    while (at + RECORD_HEADER_BYTES <= view.byteLength) {
      const seconds = view.getUint32(at, littleEndian);
      const fraction = view.getUint32(at + 4, littleEndian);
      const kept = view.getUint32(at + 8, littleEndian);
      at += RECORD_HEADER_BYTES;
      if (at + kept > view.byteLength) break;
      this.take(link, seconds * 1000 + fraction / perMs, at, kept);
      at += kept;
    }
    return this.recording;
  }

  pcapng(): Recording {
    const { view } = this;
    let littleEndian = true;
    let interfaces: { link: number; perSecond: number }[] = [];
    for (let at = 0; at + 12 <= view.byteLength; ) {
      const type = view.getUint32(at, littleEndian);
      if (type === SECTION_BLOCK) {
        littleEndian = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
        interfaces = [];
      }
      const length = view.getUint32(at + 4, littleEndian);
      if (length < 12 || at + length > view.byteLength) break;
      if (type === INTERFACE_BLOCK && length >= 20)
        interfaces.push(this.interfaceAt(at, length, littleEndian));
      else if (type === PACKET_BLOCK && length >= 32) {
        const from = interfaces[view.getUint32(at + 8, littleEndian)];
        const kept = view.getUint32(at + 20, littleEndian);
        const high = view.getUint32(at + 12, littleEndian);
        const time = high * 2 ** 32 + view.getUint32(at + 16, littleEndian);
        if (from !== undefined && kept <= length - 32)
          this.take(from.link, (time / from.perSecond) * 1000, at + 28, kept);
      } else if (type === SIMPLE_PACKET_BLOCK) this.leave('without a time');
      at += length;
    }
    return this.recording;
  }

  private interfaceAt(
    at: number,
    length: number,
    littleEndian: boolean,
  ): { link: number; perSecond: number } {
    const { view } = this;
    let perSecond = MICROSECONDS_A_SECOND;
    for (let option = at + 16; option + 4 <= at + length - 4; ) {
      const code = view.getUint16(option, littleEndian);
      const bytes = view.getUint16(option + 2, littleEndian);
      if (code === OPTION_TIME_RESOLUTION && bytes > 0) {
        const resolution = view.getUint8(option + 4);
        perSecond = (resolution & 0x80) === 0 ? 10 ** resolution : 2 ** (resolution & 0x7f);
      }
      if (code === 0) break;
      option += 4 + ((bytes + 3) & ~3);
    }
    return { link: view.getUint16(at + 8, littleEndian), perSecond };
  }

  private take(link: number, timeMs: number, at: number, kept: number): void {
    const header = this.headerBytes(link, at, kept);
    if (typeof header === 'string') {
      this.leave(header);
      return;
    }
    const packet = { timeMs, at: at + header, kept: kept - header };
    const other = this.otherThanIpv4(packet.at, packet.kept);
    if (other === undefined) this.recording.packets.push(packet);
    else this.leave(other);
  }

  private otherThanIpv4(at: number, kept: number): string | undefined {
    if (kept < IPV4_HEADER_BYTES) return CUT_SHORT;
    const version = this.view.getUint8(at) >>> 4;
    if (version === 4) return undefined;
    return version === 6 ? 'IPv6' : 'not IP';
  }

  private leave(kind: string): void {
    const { others } = this.recording;
    others.set(kind, (others.get(kind) ?? 0) + 1);
  }

  /** Bytes of the link's header in front of an IPv4 packet, or what it is that is not one. */
  private headerBytes(link: number, at: number, kept: number): number | string {
    if (LINK_RAW.includes(link)) return 0;
    if (link === LINK_NULL) return 4;
    if (link === LINK_SLL) return this.behindType(at, kept, 14, 16);
    if (link === LINK_SLL2) return this.behindType(at, kept, 0, 20);
    if (link !== LINK_ETHERNET) {
      const name = LINK_NAMES[link];
      return name === undefined ? `link type ${link}` : `${name} (link type ${link})`;
    }
    let type = 12;
    while (type + 6 <= kept && ETHERTYPE_VLAN.includes(this.view.getUint16(at + type))) type += 4;
    return this.behindType(at, kept, type, type + 2);
  }

  /** @param type where the EtherType is; @param header bytes of the link's header */
  private behindType(at: number, kept: number, type: number, header: number): number | string {
    if (header > kept) return CUT_SHORT;
    const found = this.view.getUint16(at + type);
    if (found === ETHERTYPE_IPV4) return header;
    return ETHERTYPE_NAMES[found] ?? `EtherType 0x${found.toString(16).padStart(4, '0')}`;
  }
}

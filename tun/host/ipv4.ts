/**
 * IPv4 networks of the host as numbers: just enough to sort prefixes and to tell which contains
 * which.
 *
 * Addresses are unsigned here: they are compared and sorted, never used on the packet path.
 */
export interface Ipv4Network {
  base: number;
  length: number;
}

/** The address as an unsigned number; NaN for what is not a dotted quad. */
export function parseIpv4(text: string): number {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || +part > 255))
    return NaN;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export const formatIpv4 = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;

/** Reads "192.168.1.0/24" or a bare address; host bits are cleared. Undefined for anything else. */
export function parseNetwork(text: string): Ipv4Network | undefined {
  const [address, lengthText = '32'] = text === 'default' ? ['0.0.0.0', '0'] : text.split('/');
  const value = parseIpv4(address);
  const length = Number(lengthText);
  if (Number.isNaN(value) || !/^\d{1,2}$/.test(lengthText) || length > 32) return undefined;
  return { base: (value & maskOf(length)) >>> 0, length };
}

export const formatNetwork = (network: Ipv4Network): string =>
  `${formatIpv4(network.base)}/${network.length}`;

/** True if every address of `inner` lies in `outer`. */
export const containsNetwork = (outer: Ipv4Network, inner: Ipv4Network): boolean =>
  outer.length <= inner.length && (inner.base & maskOf(outer.length)) >>> 0 === outer.base;

/** True if the address lies in the network. */
export const containsAddress = (outer: Ipv4Network, address: number): boolean =>
  containsNetwork(outer, { base: address, length: 32 });

/** A shift by 32 shifts by 0 in JavaScript, hence the case of its own. */
const maskOf = (length: number): number => (length === 0 ? 0 : (-1 << (32 - length)) >>> 0);

/** What the killer and its victim agree on. */
import { parseIpv4 } from '../../core/wire/ipv4.ts';

export const EXTERNAL_ADDRESS = parseIpv4('203.0.113.5');
export const SHAPE = { capacity: 1 << 18, portCount: 240, externalCount: 1 };
/** Endpoints from here on come and go. */
export const SHORT_LIVED_FIRST = 1_000_000;

const REMOTES = 1158;

/** The n-th endpoint and its remote. */
export const endpointOf = (n: number): { address: number; port: number; remote: number } => ({
  address: (10 << 24) | Math.floor(n / 60),
  port: 1024 + (n % 60),
  remote: parseIpv4('198.18.0.1') + (n % REMOTES),
});

/** Everything that people do, through one IPv4 address that the provider routes to the gateway. */
import { SERVER } from '../../lab/topology.ts';
import { defineForwarding, FORWARDING_PROGRAMS } from './forwarding.ts';
import { withBed } from './support.ts';

describe('forwarding on an address line', () => {
  const bed = withBed({ line: 'address', programs: FORWARDING_PROGRAMS });
  defineForwarding(bed, 'address', ['192.168.7.1', '192.0.2.1', '192.0.2.6', SERVER]);
});

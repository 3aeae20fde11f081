/** Everything that people do, through the project's own border relay. */
import { SERVER } from '../../lab/topology.ts';
import { defineForwarding, FORWARDING_PROGRAMS } from './forwarding.ts';
import { withBed } from './support.ts';

describe('forwarding on a MAP-E line, relay by portfold br', () => {
  const bed = withBed({ line: 'map-e', relay: 'portfold', programs: FORWARDING_PROGRAMS });
  defineForwarding(bed, 'map-e', ['192.168.7.1', '192.0.2.9', SERVER]);
});

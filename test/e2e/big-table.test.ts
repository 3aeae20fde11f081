/**
 * As many sessions as the table is made for, and what they cost. Runs compiled code, since memory
 * is what is measured.
 */
import assert from 'node:assert/strict';
import { flowsText, startEcho, startTcpServer, tcpHold, udpFlows } from '../../lab/flows.ts';
import { portRanges } from '../../lab/lines.ts';
import { withBed } from './support.ts';

const RESIDENT_BYTES_MAX = 200e6;
const PORT_RANGES = portRanges('map-e').map(([first, last]) => `${first}-${last}`);

describe('250,000 UDP sessions at once', () => {
  const bed = withBed({ line: 'map-e', gateway: { compiled: true } });

  it('each answered twice at one port, in less than 200 MB', async () => {
    await startEcho(bed.lab.internet);
    const result = await udpFlows(bed.lab.load, {
      flows: 250_000,
      addresses: 1000,
      remotes: 1042,
      rounds: 2,
      ratePerSecond: 25_000,
    });
    const status = await bed.gateway.control.status();
    const resident = bed.gateway.residentBytes();
    console.log(`      ${(resident / 1e6).toFixed(0)} MB resident; ${flowsText(result)}`);
    assert.equal(result.samePort, 250_000, JSON.stringify(result));
    assert.deepEqual(result.externalPortRanges, PORT_RANGES);
    assert.ok(status.sessions.udp >= 250_000, `${status.sessions.udp} sessions at once`);
    assert.equal(status.counters.sessionsRefused, 0);
    assert.ok(resident < RESIDENT_BYTES_MAX, `${resident} bytes resident`);
    assert.ok(Math.abs(status.memory.residentBytes - resident) < 30e6);
  });
});

describe('20,000 TCP connections at once', () => {
  const bed = withBed({ line: 'map-e' });

  it('over 100 remotes, and all of them talk twice', async () => {
    await startTcpServer(bed.lab.internet);
    const result = await tcpHold(bed.lab.load, {
      connections: 20_000,
      addresses: 200,
      remotes: 100,
      holdSeconds: 2,
    });
    assert.equal(result.answeredTwice, 20_000, JSON.stringify(result));
    assert.equal(result.externalPorts, 240);
    assert.deepEqual(result.externalPortRanges, PORT_RANGES);
    const status = await bed.gateway.control.status();
    assert.equal(status.counters.sessionsRefused, 0);
  });
});

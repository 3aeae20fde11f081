/** The load generator counts what it had to ask twice for, against a server that loses on purpose. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { type FlowsResult, flowsText } from '../../lab/flows.ts';
import { builtProgram } from '../../lab/programs.ts';

const FLOWS = 20;
/** Where lab/native/payload.h has them. */
const PAYLOAD_FLOW = 8;
const PAYLOAD_ROUND = 12;
const PAYLOAD_SEEN_ADDRESS = 16;
const PAYLOAD_SEEN_PORT = 20;

/** Answers as the echo server does, but only to datagrams that `takes` accepts. */
async function startLossyEcho(takes: (flow: number, round: number) => boolean): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, peer) => {
    if (!takes(bytes.readUInt32BE(PAYLOAD_FLOW), bytes.readUInt32BE(PAYLOAD_ROUND))) return;
    bytes.writeUInt32BE(0x7f000001, PAYLOAD_SEEN_ADDRESS);
    bytes.writeUInt16BE(peer.port, PAYLOAD_SEEN_PORT);
    socket.send(bytes, peer.port, peer.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** Sockets of the generator bind to ports from here on: below those that the kernel gives out. */
const SOURCE_PORT = 23_000;

async function flowsTo(
  server: Socket,
  { retries, timeoutMs }: { retries: number; timeoutMs: number },
): Promise<FlowsResult> {
  const words =
    `udp-flows --flows ${FLOWS} --from 127.0.0.1 --addresses 1 --to 127.0.0.1 ` +
    `--port ${server.address().port} --source-port ${SOURCE_PORT} --rounds 2 ` +
    `--retries ${retries} --timeout ${timeoutMs}`;
  const { stdout } = await promisify(execFile)(builtProgram('flows'), words.split(' '));
  return JSON.parse(stdout) as FlowsResult;
}

describe('flows', () => {
  it('counts what had to be sent again in each round', async () => {
    const asked = new Set<string>();
    const server = await startLossyEcho((flow, round) => {
      // Of the second round every flow loses its first datagram, of the first none does.
      const isSecond = asked.has(`${flow}/${round}`);
      asked.add(`${flow}/${round}`);
      return round === 1 || isSecond;
    });
    const result = await flowsTo(server, { retries: 3, timeoutMs: 1500 });
    server.close();
    assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    assert.deepEqual(
      result.rounds.map((round) => [round.answered, round.sent, round.retries]),
      [
        [FLOWS, FLOWS, 0],
        [FLOWS, 2 * FLOWS, FLOWS],
      ],
    );
    assert.equal(result.retries, FLOWS);
    assert.match(
      flowsText(result),
      /^20 of 20 flows at one port in every round \(.* s with 0 retries, .* s with 20 retries\), 0 at another$/,
    );
  });

  it('gives up after as many retries as it was told, and counts them all', async () => {
    const server = await startLossyEcho((flow) => flow !== 7);
    const result = await flowsTo(server, { retries: 2, timeoutMs: 500 });
    server.close();
    assert.deepEqual(
      result.rounds.map((round) => [round.answered, round.lost, round.retries]),
      [
        [FLOWS - 1, 1, 2],
        [FLOWS - 1, 1, 2],
      ],
    );
    assert.equal(result.samePort, FLOWS - 1);
  });
});

/**
 * Two browsers behind two gateways with 240 ports each, and 10,000 client flows beside each of them: a WebRTC data channel
 * comes up by STUN alone and stays.
 *
 *   h1 192.168.7.11 ── gw  240b:10:1234:5600::/56 ─┐                       ┌─ coturn as STUN server, no TURN
 *   10.64.0.0/16                                   ├─ provider ── relay ── inet
 *   h 192.168.7.11 ── gw1  240b:10:1235:5600::/56 ─┘                       └─ routes what goes from house to house
 *   10.65.0.0/16
 *
 * The pages signal through the test, which carries their descriptions. The selected pair must be server-reflexive on both
 * sides: each browser's port is its own, as the STUN server told it. Three seconds, and five minutes with PORTFOLD_TEST_FULL=1.
 */
import assert from 'node:assert/strict';
import { Browser } from '../../lab/browser.ts';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { Gateway } from '../../lab/gateway.ts';
import { configuration, MAP_E } from '../../lab/lines.ts';
import { addNeighbour, NEXT_DOOR } from '../../lab/neighbours.ts';
import { until } from '../../lab/netns.ts';
import { startStun } from '../../lab/services.ts';
import { buildLab, type Lab, SERVER } from '../../lab/topology.ts';
import { requirePrograms } from './support.ts';

const IS_FULL = process.env.PORTFOLD_TEST_FULL === '1';
const CALL_SECONDS = IS_FULL ? 300 : 3;
const FLOWS = 10_000;
/** 240 ports towards 100 remotes hold 24,000. */
const REMOTES = 100;
const ROUND_SECONDS = 25;
const ROUNDS = IS_FULL ? 1 + Math.ceil(CALL_SECONDS / ROUND_SECONDS) : 2;
const PAUSE_SECONDS = IS_FULL ? ROUND_SECONDS : CALL_SECONDS;
const MESSAGE_EVERY_MS = 100;
/** A data channel is reliable: what is on the way when the call ends comes still. */
const SILENCE_MS_MAX = 5000;
/** For what comes before the call and after it. */
const BESIDE_SECONDS = 180;
const SECOND_LOAD_FIRST = '10.65.0.0';

/** What runs in each page: one peer connection, one channel, and a count of what passed. */
const PAGE = `
  const peer = new RTCPeerConnection({ iceServers: [{ urls: 'stun:${SERVER}:3478' }] });
  const call = { sent: 0, received: 0, echoed: 0, lastAt: 0, silenceMs: 0, states: [] };
  peer.onconnectionstatechange = () => call.states.push(peer.connectionState);
  const take = (channel) => {
    channel.onmessage = ({ data }) => {
      const now = performance.now();
      if (call.lastAt > 0) call.silenceMs = Math.max(call.silenceMs, now - call.lastAt);
      call.lastAt = now;
      call.received++;
      if (data.startsWith('ask ')) channel.send('answer ' + data.slice(4));
      else if (data === 'answer ' + call.echoed) call.echoed++;
    };
    call.channel = channel;
  };
  peer.ondatachannel = ({ channel }) => take(channel);
  const gathered = () => new Promise((resolve) => {
    if (peer.iceGatheringState === 'complete') resolve();
    else peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && resolve();
  });
  const opened = () => new Promise((resolve, reject) => {
    const give = setTimeout(() => reject(new Error('no channel')), 15000);
    const look = setInterval(() => {
      if (call.channel?.readyState !== 'open') return;
      clearTimeout(give);
      clearInterval(look);
      resolve();
    }, 20);
  });
  const talk = (milliseconds) => new Promise((resolve) => {
    const turn = setInterval(() => call.channel.send('ask ' + call.sent++), ${MESSAGE_EVERY_MS});
    setTimeout(() => { clearInterval(turn); resolve(); }, milliseconds);
  });
  const selected = async () => {
    const stats = await peer.getStats();
    const transport = [...stats.values()].find((item) => item.type === 'transport');
    const pair = stats.get(transport?.selectedCandidatePairId);
    if (pair === undefined) return {};
    const side = ({ candidateType, address, port, protocol }) =>
      ({ candidateType, address, port, protocol });
    return {
      local: side(stats.get(pair.localCandidateId)),
      remote: side(stats.get(pair.remoteCandidateId)),
    };
  };
  const said = async () => ({
    sent: call.sent, received: call.received, echoed: call.echoed, states: call.states,
    silenceMs: Math.max(call.silenceMs, performance.now() - call.lastAt),
    ice: peer.iceConnectionState, connection: peer.connectionState,
    channel: call.channel?.readyState, ...await selected(),
  });
  true`;

interface Side {
  candidateType: string;
  address: string;
  port: number;
  protocol: string;
}

interface Call {
  sent: number;
  received: number;
  echoed: number;
  states: string[];
  silenceMs: number;
  ice: string;
  connection: string;
  channel?: string;
  /** Absent while no candidate pair is selected. */
  local?: Side;
  remote?: Side;
}

type CompleteCall = Required<Call>;

interface House {
  lab: Lab;
  gateway: Gateway;
}

/** What becomes of the call on each side, and what that side's gateway dropped: for when it is not as it should be. */
async function told(pages: readonly Browser[], houses: readonly House[]): Promise<string> {
  const lines = pages.map(async (page, i) => {
    const [call, dropped] = await Promise.all([
      page.evaluate<Call>('said()').then(
        (said) => `ICE ${said.ice}, connection ${said.connection}: ${JSON.stringify(said)}`,
        ({ message }: Error) => `the page says nothing, ${message}`,
      ),
      houses[i].gateway.control.list('drops').then(
        ({ items }) =>
          items.flatMap(({ reason, packets }) => (packets > 0 ? `${reason} ${packets}` : [])),
        ({ message }: Error) => [`nothing it could say, ${message}`],
      ),
    ]);
    return `side ${i + 1}: ${call}; its gateway dropped ${dropped.join(', ') || 'nothing'}`;
  });
  return (await Promise.all(lines)).join('\n');
}

/** Offer, answer and candidates, carried by hand. */
async function connect(one: Browser, other: Browser): Promise<void> {
  const offer = await one.evaluate<string>(`(async () => {
    take(peer.createDataChannel('call'));
    await peer.setLocalDescription();
    await gathered();
    return JSON.stringify(peer.localDescription);
  })()`);
  const answer = await other.evaluate<string>(`(async () => {
    await peer.setRemoteDescription(${offer});
    await peer.setLocalDescription();
    await gathered();
    return JSON.stringify(peer.localDescription);
  })()`);
  await one.evaluate(`peer.setRemoteDescription(${answer})`);
  await Promise.all([one.evaluate('opened()'), other.evaluate('opened()')]);
}

/** The whole call, up to the last answer; what each page says of it then. */
async function callOf(one: Browser, other: Browser): Promise<CompleteCall[]> {
  const pages = [one, other];
  await connect(one, other);
  const talked = CALL_SECONDS * 1000;
  await Promise.all(pages.map((page) => page.evaluate(`talk(${talked})`, talked + 30_000)));
  return until('the last answers, over a selected pair', async () => {
    const said = await Promise.all(pages.map((page) => page.evaluate<Call>('said()')));
    return said.every(isComplete) ? said : undefined;
  });
}

const isComplete = (call: Call): call is CompleteCall =>
  call.sent === call.echoed && call.local !== undefined && call.remote !== undefined;

/** Before the call begins, so that it finds every port in use. */
const allStand = (gateway: Gateway): Promise<boolean> =>
  until(
    'all flows to stand',
    async () => (await gateway.control.status()).sessions.udp >= FLOWS,
    30_000,
  );

describe('a WebRTC call between two houses with 240 ports each', () => {
  let lab: Lab;
  const houses: House[] = [];

  before(async function () {
    requirePrograms(this, ['chromium', 'turnserver']);
    lab = await buildLab({ line: 'map-e', hosts: 1 });
    const nextDoor = await addNeighbour(lab, 1, NEXT_DOOR);
    // What goes from house to house turns in the internet and comes back to the relay.
    await lab.internet.sysctl({ 'net.ipv4.ip_forward': 1 });
    await nextDoor.gateway.ip(['route add 10.65.0.0/16 via 192.168.7.11']);
    await nextDoor.hosts[0].ip(['route add local 10.65.0.0/16 dev lo']);
    await startEcho(lab.internet);
    await startStun(lab.internet, lab.folder);
    const config = configuration('map-e', { runtimeDirectory: 'DIR' });
    for (const one of [lab, nextDoor]) {
      const prefix = one === lab ? MAP_E.prefix : NEXT_DOOR.prefix;
      const gateway = new Gateway(one, { config: config.replace(MAP_E.prefix, prefix) });
      houses.push({ lab: one, gateway });
    }
    await Promise.all(houses.map(({ gateway }) => gateway.start()));
  });

  after(async () => {
    if (lab === undefined) return;
    const results = await Promise.all(
      houses.filter(({ gateway }) => gateway.running).map(({ gateway }) => gateway.stop()),
    );
    lab.remove();
    for (const { code, stderr } of results) assert.equal(code, 0, stderr);
  });

  it(`a data channel lives ${CALL_SECONDS} s beside ${FLOWS} flows on each side, by STUN alone`, async function () {
    this.timeout((CALL_SECONDS + BESIDE_SECONDS) * 1000);
    const loads = houses.map((house, i) =>
      udpFlows(house.lab.load, {
        flows: FLOWS,
        addresses: 100,
        remotes: REMOTES,
        ...(i === 0 ? {} : { from: SECOND_LOAD_FIRST }),
        rounds: ROUNDS,
        pauseSeconds: PAUSE_SECONDS,
        ratePerSecond: 10_000,
        runSecondsMax: CALL_SECONDS + 120,
      }),
    );
    const [one, other] = await Promise.all(
      houses.map(async (house) => {
        await allStand(house.gateway);
        return Browser.start(house.lab.hosts[0], lab.folder);
      }),
    );
    const pages = [one, other];
    await Promise.all(pages.map((page) => page.evaluate(PAGE)));
    // A call of which nothing stands is told of as well.
    const before = await told(pages, houses);
    assert.match(
      before,
      /^side 1: ICE new, connection new: .*; its gateway dropped .*\nside 2: ICE new/,
    );
    const calls = await callOf(one, other).catch(async ({ message }: Error) => {
      throw new Error(`${message}\n${await told(pages, houses)}`);
    });
    for (const [i, call] of calls.entries()) {
      assert.deepEqual(call.states, ['connecting', 'connected'], JSON.stringify(call));
      assert.equal(call.local.candidateType, 'srflx', JSON.stringify(call));
      assert.equal(call.remote.candidateType, 'srflx', JSON.stringify(call));
      assert.equal(call.local.address, i === 0 ? MAP_E.externalAddress : NEXT_DOOR.externalAddress);
      assert.ok(call.sent > (CALL_SECONDS * 1000) / MESSAGE_EVERY_MS / 2, `${call.sent} sent`);
      assert.ok(call.silenceMs < SILENCE_MS_MAX, `${call.silenceMs} ms of silence`);
      console.log(
        `      ${call.local.address}:${call.local.port} ⇄ ${call.remote.address}:${call.remote.port}: ` +
          `${call.sent} sent, ${call.echoed} answered, longest silence ${Math.round(call.silenceMs)} ms`,
      );
    }
    // Each side knows the other by the very endpoint that the other's STUN server told it.
    assert.equal(calls[0].local.port, calls[1].remote.port);
    assert.equal(calls[1].local.port, calls[0].remote.port);
    const results = await Promise.all(loads);
    for (const result of results) assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    await Promise.all([one.stop(), other.stop()]);
  });
});

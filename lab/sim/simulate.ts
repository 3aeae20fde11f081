/**
 * One run: makes the router of a plan and the users of a scenario, and lets the virtual time pass.
 *
 *   LAN 10.0.0.0/8 ── router ── Internet            or     LAN ── portfold ── 192.168.100.2 ── router above ── Internet
 *
 * The users of a run depend on the scenario and its seed alone, so that every router is asked by the same people.
 */
import { UPSTREAM_ENTRIES_MAX, type UpstreamSettings } from '../../core/table/upstream.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { buildPolicy } from '../../policies/build.ts';
import { type PolicySettings, PRESETS } from '../../policies/settings.ts';
import { UPSTREAM_MODELS, UPSTREAM_SECONDS_UNKNOWN } from '../../policies/upstream-models.ts';
import { Below } from './below.ts';
import { replay } from './capture.ts';
import type { RouterModel } from './model.ts';
import { Payloads } from './payloads.ts';
import { PortfoldModel } from './portfold-model.ts';
import { Random } from './random.ts';
import { PORTFOLD, ROUTERS } from './routers.ts';
import type { ModelPlan, Scenario } from './scenario.ts';
import type { Tally } from './tally.ts';
import { kindOf } from './users/kinds.ts';
import { World } from './world.ts';

/** The public address of the line, and a private one below another router. */
const PUBLIC_ADDRESS = parseIpv4('203.0.113.5');
const PRIVATE_ADDRESS = parseIpv4('192.168.100.2');
const LAN = { address: 10 << 24, mask: -1 << 24, gatewayAddress: (10 << 24) | 1 };
/** A quarter of the gateway's own default: enough for every scenario, and virtual time passes faster. */
const CAPACITY_DEFAULT = 65_536;
const PORT_FIRST = 4096;
const PORT_LAST = 65_534;
/** Numbers from which the generators of a run are made: the router's and the users' must not be the same. */
const ROUTER_KEY = 1;
const ABOVE_KEY = 2;
const USERS_KEY = 3;

export interface Run {
  plan: ModelPlan;
  tally: Tally;
  /** What the tables hold at most; of the router above too, where there is one. */
  capacity: number;
  portCount: number;
  aboveCapacity?: number;
  elapsedMs: number;
}

interface Routers {
  model: RouterModel;
  above?: RouterModel;
}

/** @param nowMs a real clock, for how long it took; @param progress hears the share that is done, now and then */
export function simulate(
  scenario: Scenario,
  plan: ModelPlan,
  seed: number,
  nowMs: () => number,
  progress: (share: number) => void = () => {},
): Run {
  const startedMs = nowMs();
  const random = new Random(seed);
  const payloads = new Payloads();
  const { model, above } = makeRouters(plan, payloads, random);
  const world = new World({
    model,
    ...(above === undefined ? {} : { above }),
    payloads,
    random: random.fork(USERS_KEY),
    durationMs: scenario.durationMs,
    servers: scenario.servers,
    popularity: scenario.popularity,
    samples: scenario.samples,
  });
  if (scenario.capture !== undefined) replay(world, scenario.capture);
  else
    scenario.users.forEach(({ kind, options }, n) => {
      kindOf(kind).begin(world, options, random.fork(USERS_KEY, n));
    });
  world.run(progress);
  return {
    plan,
    tally: world.tally,
    capacity: model.capacity,
    portCount: model.portCount,
    ...(above === undefined ? {} : { aboveCapacity: above.capacity }),
    elapsedMs: nowMs() - startedMs,
  };
}

function makeRouters(plan: ModelPlan, payloads: Payloads, random: Random): Routers {
  if (plan.below === undefined) return { model: makeRouter(plan, payloads, random) };
  const draw = random.fork(ABOVE_KEY);
  const above = ROUTERS[plan.below]({
    ports: plan.ports,
    random: () => draw.next(),
    ...(plan.belowEntries === undefined ? {} : { entries: plan.belowEntries }),
  });
  const guard = plan.guard ? upstreamOf(plan.below, above) : undefined;
  const lower = makePortfold(plan, payloads, random, ownPorts(), PRIVATE_ADDRESS, guard);
  return { model: new Below(lower, above, PRIVATE_ADDRESS), above };
}

function makeRouter(plan: ModelPlan, payloads: Payloads, random: Random): RouterModel {
  const { router, ports, entries } = plan;
  if (router === PORTFOLD) return makePortfold(plan, payloads, random, ports, PUBLIC_ADDRESS);
  const draw = random.fork(ROUTER_KEY);
  return ROUTERS[router]({
    ports,
    random: () => draw.next(),
    ...(entries === undefined ? {} : { entries }),
  });
}

function makePortfold(
  plan: ModelPlan,
  payloads: Payloads,
  random: Random,
  ports: Uint16Array,
  externalAddress: number,
  upstream?: UpstreamSettings,
): PortfoldModel {
  const capacity = plan.entries ?? CAPACITY_DEFAULT;
  const settings: PolicySettings = {
    ...PRESETS[plan.preset],
    ...(upstream === undefined ? {} : { upstream }),
  };
  const draw = random.fork(ROUTER_KEY);
  return new PortfoldModel({
    name: plan.name,
    policy: buildPolicy({ profiles: [settings], profileOfLan: [0], externalAddress, capacity }),
    ports,
    capacity,
    payloads,
    random: () => draw.next(),
    externalAddress,
    lans: [LAN],
  });
}

/** What the gateway is told of the router above it: the timers that are published of that model, and the size that its table has here. */
function upstreamOf(name: string, above: RouterModel): UpstreamSettings {
  const entries = Math.min(above.capacity, UPSTREAM_ENTRIES_MAX);
  const seconds = UPSTREAM_SECONDS_UNKNOWN;
  const unknown = { entries, udpSeconds: seconds, tcpSeconds: seconds, icmpSeconds: seconds };
  return { ...(UPSTREAM_MODELS[name] ?? unknown), entries };
}

const ownPorts = (): Uint16Array =>
  Uint16Array.from({ length: PORT_LAST - PORT_FIRST + 1 }, (_, i) => PORT_FIRST + i);

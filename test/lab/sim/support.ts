/** Scenarios from a text, run with one model; and a router that says what passes. */
import { Drop } from '../../../core/verdict.ts';
import { type RouterModel, refused, TOLD } from '../../../lab/sim/model.ts';
import { Payloads } from '../../../lab/sim/payloads.ts';
import { Random } from '../../../lab/sim/random.ts';
import { parseScenario, type Scenario } from '../../../lab/sim/scenario.ts';
import { type Run, simulate } from '../../../lab/sim/simulate.ts';
import { World } from '../../../lab/sim/world.ts';

export const scenarioOf = (text: string): Scenario => parseScenario(text, 'test.toml');

/** A clock of its own, so that no run depends on the machine's. */
const noClock = (): number => 0;

/** Runs every model of a scenario; runs by the names of their models. */
export function runAll(scenario: Scenario, seed = scenario.seed): Record<string, Run> {
  return Object.fromEntries(
    scenario.models.map((plan) => [plan.name, simulate(scenario, plan, seed, noClock)]),
  );
}

/** Lets everything through but what `refuses` objects to, and keeps a line of each packet. */
export class FakeRouter implements RouterModel {
  readonly name = 'fake';
  readonly capacity = 1000;
  readonly portCount = 1000;
  internalAddress = 0;
  readonly lines: string[] = [];
  /** Asked about each packet, by its line: 'told', 'silent' or nothing. */
  refuses: (line: string) => 'told' | 'silent' | undefined = () => undefined;
  private readonly endpoints: { address: number; port: number }[] = [];

  outbound(
    _protocol: number,
    internalAddress: number,
    internalPort: number,
    _remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
    nowMs: number,
  ): number {
    const line = `${nowMs} > ${remotePort} ${tcpFlags} ${payload}`;
    this.lines.push(line);
    const refusal = this.refuses(line);
    if (refusal !== undefined) return refused(Drop.NoPortLeft | (refusal === 'told' ? TOLD : 0));
    const known = this.endpoints.findIndex(
      ({ address, port }) => address === internalAddress && port === internalPort,
    );
    if (known >= 0) return known + 1;
    return this.endpoints.push({ address: internalAddress, port: internalPort });
  }

  inbound(
    _protocol: number,
    externalPort: number,
    _remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    payload: number,
    nowMs: number,
  ): number {
    const line = `${nowMs} < ${remotePort} ${tcpFlags} ${payload}`;
    this.lines.push(line);
    if (this.refuses(line) !== undefined) return refused(Drop.NoSession);
    const { address, port } = this.endpoints[externalPort - 1];
    this.internalAddress = address;
    return port;
  }

  advance(): void {}
  sessions = (): number => this.endpoints.length;
  portsUsed = (): number => this.endpoints.length;
}

export const worldOf = (model: RouterModel, durationMs: number): World =>
  new World({
    model,
    payloads: new Payloads(),
    random: new Random(1),
    durationMs,
    servers: 10,
    popularity: 1,
    samples: 10,
  });

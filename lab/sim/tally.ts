/**
 * What came of it: what users wanted and did not get, what the router refused and why, and how full it was over time.
 *
 *   action    something a person notices: a page, a call, a request of an agent
 *   failure   an action that did not come about, by what was missing
 *   refusal   a packet from the LAN that was not forwarded, by its reason; an action may survive many
 */
import { DROP_COUNT, DROP_MEANING } from '../../core/verdict.ts';
import { type RouterModel, reasonOf, wasTold } from './model.ts';

/** How things stood at one moment; counts are from the start on. */
export interface Sample {
  seconds: number;
  sessions: number;
  ports: number;
  refusals: number;
  actions: number;
  failures: number;
  /** Entries of the router above, where there is one. */
  above?: number;
}

/** What became of one kind of action. */
export interface Actions {
  kind: string;
  actions: number;
  failures: number;
  /** Failures by what was missing, for people: "no address", "no connection". */
  missing: Record<string, number>;
}

export class Tally {
  readonly samples: Sample[] = [];
  packets = 0;
  /** Flows whose first packet went through, and those of them that moved eight packets or more. */
  sessions = 0;
  longSessions = 0;
  quicAttempts = 0;
  quicRefused = 0;
  peakSessions = 0;
  peakPorts = 0;
  peakAbove = 0;
  actions = 0;
  failures = 0;
  refusals = 0;
  /** Answers from outside that did not get in. */
  lostInbound = 0;
  /** The sender was told of these. */
  refusalsTold = 0;
  private readonly byReason = new Float64Array(DROP_COUNT);
  private readonly byKind = new Map<string, Actions>();

  began(kind: string): void {
    this.actions++;
    this.kindOf(kind).actions++;
  }

  failed(kind: string, missing: string): void {
    const found = this.kindOf(kind);
    this.failures++;
    found.failures++;
    found.missing[missing] = (found.missing[missing] ?? 0) + 1;
  }

  refused(result: number): void {
    this.refusals++;
    if (wasTold(result)) this.refusalsTold++;
    this.byReason[reasonOf(result)]++;
  }

  /** Notes how full the router is. */
  look(model: RouterModel, above: RouterModel | undefined): void {
    this.peakSessions = Math.max(this.peakSessions, model.sessions());
    this.peakPorts = Math.max(this.peakPorts, model.portsUsed());
    if (above !== undefined) this.peakAbove = Math.max(this.peakAbove, above.sessions());
  }

  sample(nowMs: number, model: RouterModel, above: RouterModel | undefined): void {
    this.samples.push({
      seconds: nowMs / 1000,
      sessions: model.sessions(),
      ports: model.portsUsed(),
      refusals: this.refusals,
      actions: this.actions,
      failures: this.failures,
      ...(above === undefined ? {} : { above: above.sessions() }),
    });
  }

  /** Refusals by the name of their reason, the most frequent first. */
  reasons(): Record<string, number> {
    const found = DROP_MEANING.map(([name], reason) => [name, this.byReason[reason]] as const);
    const most = found.filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
    return Object.fromEntries(most);
  }

  kinds(): Actions[] {
    return [...this.byKind.values()];
  }

  private kindOf(kind: string): Actions {
    let found = this.byKind.get(kind);
    if (found === undefined) {
      found = { kind, actions: 0, failures: 0, missing: {} };
      this.byKind.set(kind, found);
    }
    return found;
  }
}

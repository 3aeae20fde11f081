/**
 * Flows: what one socket says to one remote endpoint and hears from it, packet by packet.
 *
 *   TCP    SYN ─▶ ◀─ SYN-ACK   (request ─▶ ◀─ answer) × rounds   ACK ─▶   … idle …   FIN ─▶ ◀─ FIN   ACK ─▶
 *   UDP    first ─▶ ◀─ answer  (packet  ─▶ ◀─ packet) × rounds
 *
 * One event is what a flow does at one moment: it takes what came in, and sends what is next. A first packet that is lost, or refused in
 * silence, is sent again, each time after twice the time; of a refusal by ICMP the owner hears at once. The remote answers to the
 * external port that the packet came from, as the router gave it.
 *
 * Fields of a flow lie in typed arrays, for there may be a hundred thousand at once; its number is used again when it has ended.
 */
import { PROTOCOL_TCP } from '../../core/wire/ipv4.ts';
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../../core/wire/tcp.ts';
import { wasTold } from './model.ts';
import { Payload } from './payloads.ts';
import type { Host, World } from './world.ts';

/** Whoever began a flow, and hears what becomes of it. Each flow ends with `failed` or `ended`, once. */
export interface FlowOwner {
  /** The first answer is there. @param tag as in the plan */
  opened?(tag: number, flow: number): void;
  /** It never came to an answer. @param told the router said so, by ICMP */
  failed?(tag: number, told: boolean): void;
  /** @param broken a packet in the middle was refused, so that the flow ended too soon */
  ended?(tag: number, broken: boolean): void;
}

export interface FlowPlan {
  protocol: number;
  host: Host;
  /** Absent: a fresh one. */
  internalPort?: number;
  remoteAddress: number;
  remotePort: number;
  /** Payloads of UDP: the first packet, its answer, and what follows. */
  first?: number;
  answer?: number;
  later?: number;
  laterIn?: number;
  /** Nobody answers. */
  isDead?: boolean;
  /** Exchanges after the first. */
  rounds: number;
  rttMs: number;
  /** From one exchange to the next; not below the round trip. */
  gapMs: number;
  /** TCP: how long the connection stays open unused, and who closes it. */
  idleMs?: number;
  remoteCloses?: boolean;
  /** How often the first packet is sent again, and the first pause. */
  retries?: number;
  retryMs?: number;
  owner?: FlowOwner;
  tag?: number;
}

const Step = { First: 0, Answer: 1, Round: 2, Close: 3, Closing: 4 } as const;
const LOST_MAX = 3;
const LONG_PACKETS = 8;
const RETRY_MS = 1000;

export class Flows {
  private readonly world: World;
  private readonly plans: (FlowPlan | undefined)[] = [];
  private readonly free: number[] = [];
  private step = new Uint8Array(1024);
  private lost = new Uint8Array(1024);
  private internalPorts = new Uint16Array(1024);
  private externalPorts = new Uint16Array(1024);
  private left = new Int32Array(1024);
  private packets = new Int32Array(1024);

  constructor(world: World) {
    this.world = world;
  }

  /** Flows that have not ended. */
  get count(): number {
    return this.plans.length - this.free.length;
  }

  /** Begins a flow after `delayMs`, and returns its number. */
  begin(plan: FlowPlan, delayMs = 0): number {
    const flow = this.free.pop() ?? this.plans.length;
    if (flow === this.step.length) this.grow();
    this.plans[flow] = plan;
    this.step[flow] = Step.First;
    this.lost[flow] = 0;
    this.internalPorts[flow] = plan.internalPort ?? plan.host.takePort();
    this.externalPorts[flow] = 0;
    this.left[flow] = plan.rounds;
    this.packets[flow] = 0;
    this.world.timeline.add(flow * 2, this.world.timeline.nowMs + delayMs);
    return flow;
  }

  /** The external port that the router gave to the flow's last packet. */
  externalPort(flow: number): number {
    return this.externalPorts[flow];
  }

  internalPort(flow: number): number {
    return this.internalPorts[flow];
  }

  /** What flow number `flow` does now. */
  happen(flow: number): void {
    const plan = this.plans[flow] as FlowPlan;
    switch (this.step[flow]) {
      case Step.First:
        this.sendFirst(flow, plan);
        break;
      case Step.Answer:
        this.takeAnswer(flow, plan);
        break;
      case Step.Round:
        this.nextRound(flow, plan);
        break;
      case Step.Close:
        this.beginClose(flow, plan);
        break;
      default:
        this.finishClose(flow, plan);
    }
  }

  private sendFirst(flow: number, plan: FlowPlan): void {
    const result = this.send(flow, plan, TCP_SYN, plan.first ?? Payload.None);
    if (result < 0) {
      if (wasTold(result)) this.fail(flow, plan, true);
      else this.sayAgain(flow, plan);
      return;
    }
    if (this.packets[flow] === 1) this.world.tally.sessions++;
    if (plan.isDead === true) this.sayAgain(flow, plan);
    else this.later(flow, Step.Answer, plan.rttMs);
  }

  private sayAgain(flow: number, plan: FlowPlan): void {
    const lost = ++this.lost[flow];
    if (lost > (plan.retries ?? 0)) this.fail(flow, plan, false);
    else this.later(flow, Step.First, (plan.retryMs ?? RETRY_MS) * 2 ** (lost - 1));
  }

  private takeAnswer(flow: number, plan: FlowPlan): void {
    if (this.receive(flow, plan, TCP_SYN | TCP_ACK, plan.answer ?? Payload.None) < 0) {
      this.sayAgain(flow, plan);
      return;
    }
    this.lost[flow] = 0;
    plan.owner?.opened?.(plan.tag ?? 0, flow);
    this.continue(flow, plan);
  }

  /** An answer has come in; sends the next request, or ends. */
  private continue(flow: number, plan: FlowPlan): void {
    if (this.left[flow] > 0) {
      if (this.send(flow, plan, TCP_ACK, plan.later ?? Payload.None) < 0)
        this.end(flow, plan, true);
      else this.later(flow, Step.Round, plan.gapMs);
      return;
    }
    if (plan.protocol !== PROTOCOL_TCP) this.end(flow, plan, false);
    else if (this.send(flow, plan, TCP_ACK, Payload.None) < 0) this.end(flow, plan, true);
    else this.later(flow, Step.Close, plan.idleMs ?? 0);
  }

  private nextRound(flow: number, plan: FlowPlan): void {
    const payload = plan.laterIn ?? plan.later ?? Payload.None;
    if (this.receive(flow, plan, TCP_ACK, payload) >= 0) {
      this.left[flow]--;
      this.lost[flow] = 0;
    } else if (++this.lost[flow] > LOST_MAX) {
      this.end(flow, plan, true);
      return;
    }
    this.continue(flow, plan);
  }

  /** A connection that cannot be closed any more is nothing that a person notices. */
  private beginClose(flow: number, plan: FlowPlan): void {
    if (plan.remoteCloses === true) this.receive(flow, plan, TCP_FIN | TCP_ACK, Payload.None);
    if (this.send(flow, plan, TCP_FIN | TCP_ACK, Payload.None) < 0) this.end(flow, plan, false);
    else this.later(flow, Step.Closing, plan.rttMs);
  }

  private finishClose(flow: number, plan: FlowPlan): void {
    const flags = plan.remoteCloses === true ? TCP_ACK : TCP_FIN | TCP_ACK;
    const isIn = this.receive(flow, plan, flags, Payload.None) >= 0;
    if (isIn && plan.remoteCloses !== true) this.send(flow, plan, TCP_ACK, Payload.None);
    this.end(flow, plan, false);
  }

  private send(flow: number, plan: FlowPlan, tcpFlags: number, payload: number): number {
    const result = this.world.send(
      plan.protocol,
      plan.host.address,
      this.internalPorts[flow],
      plan.remoteAddress,
      plan.remotePort,
      plan.protocol === PROTOCOL_TCP ? tcpFlags : 0,
      payload,
    );
    if (result > 0) {
      this.externalPorts[flow] = result;
      this.packets[flow]++;
    }
    return result;
  }

  private receive(flow: number, plan: FlowPlan, tcpFlags: number, payload: number): number {
    const result = this.world.receive(
      plan.protocol,
      this.externalPorts[flow],
      plan.remoteAddress,
      plan.remotePort,
      plan.protocol === PROTOCOL_TCP ? tcpFlags : 0,
      payload,
    );
    if (result >= 0) this.packets[flow]++;
    return result;
  }

  private later(flow: number, step: number, delayMs: number): void {
    this.step[flow] = step;
    this.world.timeline.add(flow * 2, this.world.timeline.nowMs + delayMs);
  }

  private fail(flow: number, plan: FlowPlan, told: boolean): void {
    this.release(flow);
    plan.owner?.failed?.(plan.tag ?? 0, told);
  }

  private end(flow: number, plan: FlowPlan, broken: boolean): void {
    if (this.packets[flow] >= LONG_PACKETS) this.world.tally.longSessions++;
    this.release(flow);
    plan.owner?.ended?.(plan.tag ?? 0, broken);
  }

  private release(flow: number): void {
    this.plans[flow] = undefined;
    this.free.push(flow);
  }

  private grow(): void {
    const size = this.step.length * 2;
    const wider = <T extends Uint8Array | Uint16Array | Int32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.step = wider(this.step, new Uint8Array(size));
    this.lost = wider(this.lost, new Uint8Array(size));
    this.internalPorts = wider(this.internalPorts, new Uint16Array(size));
    this.externalPorts = wider(this.externalPorts, new Uint16Array(size));
    this.left = wider(this.left, new Int32Array(size));
    this.packets = wider(this.packets, new Int32Array(size));
  }
}

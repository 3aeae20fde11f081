/**
 * Packets that the kernel had for the gateway and threw away, since the queue of the TUN was full. No code of ours
 * ever sees them, so that they are counted by the kernel alone: as `drop` of the transmitting side.
 *
 * /proc/net/dev shows the network namespace of the process that reads; /sys shows that of whoever mounted it.
 */
import { readFileSync } from 'node:fs';
import type { DropItem } from '../control/api.ts';

const FILE = '/proc/self/net/dev';
/** Column behind the name: eight of receiving, then bytes, packets, errors, drops. */
const TRANSMIT_DROP = 11;

export const TUN_QUEUE_FULL = 'TunQueueFull';
const MEANING = 'the queue towards the gateway was full';

export class TunLosses {
  private readonly tun: string;
  private before = 0;

  constructor(tun: string) {
    this.tun = tun;
  }

  /** From here on; the device may be older than this gateway. */
  begin(): void {
    this.before = this.read();
  }

  /** Since the start. */
  count(): number {
    return Math.max(0, this.read() - this.before);
  }

  item(): DropItem {
    return { reason: TUN_QUEUE_FULL, meaning: MEANING, packets: this.count() };
  }

  private read(): number {
    return transmitDrops(readFileSync(FILE, 'utf8'), this.tun);
  }
}

/** Of one device, from the text of /proc/net/dev; 0 if it is not there. */
export function transmitDrops(text: string, device: string): number {
  for (const line of text.split('\n')) {
    const at = line.indexOf(':');
    if (at < 0 || line.slice(0, at).trim() !== device) continue;
    return Number(
      line
        .slice(at + 1)
        .trim()
        .split(/\s+/)[TRANSMIT_DROP],
    );
  }
  return 0;
}

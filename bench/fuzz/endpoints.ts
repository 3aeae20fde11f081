/**
 * Which internal endpoint sent under which external 5-tuple: a table of numbers, since string keys cost more than the engine.
 *
 *   4 words:  0 external port<<16 | remote port   1 remote address   2 internal address   3 internal port<<16 | protocol<<8 | in use
 *
 * What is noted last counts. When the table is three quarters full it forgets everything: it then knows less, never anything wrong.
 */
const SLOTS = 1 << 15;
const WORDS = 4;
const FULL = (SLOTS * 3) / 4;
const IN_USE = 1;

export class Endpoints {
  private readonly words = new Int32Array(SLOTS * WORDS);
  private count = 0;

  /** Notes that `address`:`port` has sent under this 5-tuple. */
  note(
    protocol: number,
    externalPort: number,
    remote: number,
    remotePort: number,
    address: number,
    port: number,
  ): void {
    if (this.count >= FULL) this.forget();
    const { words } = this;
    const at = this.slotOf(protocol, externalPort, remote, remotePort);
    if (words[at + 3] === 0) this.count++;
    words[at] = (externalPort << 16) | remotePort;
    words[at + 1] = remote;
    words[at + 2] = address;
    words[at + 3] = (port << 16) | (protocol << 8) | IN_USE;
  }

  /** First word of what is known of this 5-tuple, or -1. */
  find(protocol: number, externalPort: number, remote: number, remotePort: number): number {
    const at = this.slotOf(protocol, externalPort, remote, remotePort);
    return this.words[at + 3] === 0 ? -1 : at;
  }

  address(at: number): number {
    return this.words[at + 2];
  }

  port(at: number): number {
    return this.words[at + 3] >>> 16;
  }

  forget(): void {
    this.words.fill(0);
    this.count = 0;
  }

  /** Where the 5-tuple is, or would go. */
  private slotOf(
    protocol: number,
    externalPort: number,
    remote: number,
    remotePort: number,
  ): number {
    const { words } = this;
    const ports = (externalPort << 16) | remotePort;
    let hash = Math.imul(ports ^ Math.imul(remote, 0x9e3779b1), 0x85ebca6b) ^ protocol;
    hash ^= hash >>> 15;
    for (let slot = hash & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const at = slot * WORDS;
      const state = words[at + 3];
      if (state === 0) return at;
      if (words[at] === ports && words[at + 1] === remote && ((state >> 8) & 0xff) === protocol)
        return at;
    }
  }
}

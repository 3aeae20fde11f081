/**
 * The port set: the external ports that the gateway may use, in ascending order, and their numbers 0 … count - 1.
 *
 * One range, or the blocks of a MAP-E PSID: the table makes them alike. ICMP query identifiers come from the same set (RFC 7597
 * section 8.2).
 */
export class PortSet {
  /** Port by number. */
  readonly ports: Uint16Array;
  readonly count: number;
  /** Words of a bit row with one bit a port. */
  readonly rowWords: number;
  private readonly numbers = new Int32Array(65536).fill(-1);

  /** @param ports ascending and without repetition */
  constructor(ports: Uint16Array) {
    if (ports.length === 0) throw new RangeError('the port set is empty');
    this.ports = ports;
    this.count = ports.length;
    this.rowWords = (ports.length + 31) >> 5;
    for (let number = 0; number < ports.length; number++) {
      if (number > 0 && ports[number] <= ports[number - 1])
        throw new RangeError(`the port set is not in ascending order at ${ports[number]}`);
      this.numbers[ports[number]] = number;
    }
  }

  /** Number of a port, or -1 if it is not ours. */
  numberOf(port: number): number {
    return this.numbers[port];
  }
}

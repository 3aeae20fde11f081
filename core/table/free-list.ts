/**
 * A free list threaded through the records themselves: word 0 of a free record holds the next free record + 1.
 *
 * Last in, first out: a record just freed is warm in the cache. Derived state: the head is made anew at start.
 */
export class FreeList {
  private readonly words: Int32Array;
  private readonly shift: number;
  private head = 0;
  /** Records on the list. */
  length = 0;

  /** @param wordsPerRecord a power of two */
  constructor(words: Int32Array, wordsPerRecord: number) {
    this.words = words;
    this.shift = Math.log2(wordsPerRecord);
  }

  /** Takes a record, or -1 when none is left. */
  take(): number {
    const record = this.head - 1;
    if (record < 0) return -1;
    this.head = this.words[record << this.shift];
    this.length--;
    return record;
  }

  give(record: number): void {
    this.words[record << this.shift] = this.head;
    this.head = record + 1;
    this.length++;
  }

  clear(): void {
    this.head = 0;
    this.length = 0;
  }

  /** The records on the list, for checks. */
  *records(): Generator<number> {
    for (let record = this.head - 1; record >= 0; record = this.words[record << this.shift] - 1)
      yield record;
  }
}

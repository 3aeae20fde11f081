/** What the benchmarks feed on: numbers from a seed, and the ports of one line. */

/** A seeded generator of 32-bit numbers (xorshift), so that a run can be repeated. */
export function seeded(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** The 240 ports of a v6 Plus line. */
export function mapEPorts(psid = 86): Uint16Array {
  return Uint16Array.from(
    { length: 240 },
    (_, i) => ((1 + (i >> 4)) << 12) | (psid << 4) | (i & 15),
  );
}

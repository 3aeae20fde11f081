/** What a fuzz run is asked for, what it tells, and how it fails. */
export interface FuzzOptions {
  seed: number;
  packets: number;
  /** Out of a hundred packets, how many are mutated. */
  mutatedPercent?: number;
  /** Looks at the whole of both buffers after each batch. */
  looksAfterEachBatch?: boolean;
  onProgress?: (packets: number) => void;
}

export interface FuzzResult {
  packets: number;
  forwarded: number;
  answered: number;
  dropped: number;
  appended: number;
  datagramsJoined: number;
  sessionsMax: number;
  /** Packets that went into the tunnel here, and that came out of it. */
  encapsulated: number;
  decapsulated: number;
  restarts: number;
  /** Packets by drop reason. */
  reasons: Map<number, number>;
}

/** A packet after which something did not hold. */
export class FuzzFailure extends Error {
  readonly seed: number;
  readonly index: number;

  constructor(seed: number, index: number, what: string, dump: string) {
    super(`seed ${seed}, packet ${index}: ${what}\n${dump}`);
    this.seed = seed;
    this.index = index;
  }
}

export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.length, 512); at += 16)
    lines.push(
      `  ${at.toString(16).padStart(4, '0')}  ${Buffer.from(bytes.subarray(at, at + 16)).toString('hex')}`,
    );
  if (bytes.length > 512) lines.push(`  … ${bytes.length} bytes`);
  return lines.join('\n');
}

/**
 * What the compiler is told for the packet path.
 *
 * V8 puts the machine code of small functions into that of their caller, until the caller's share of it is used up. The packet path is
 * many small functions in each other, and more than a share: policies took it from the look-ups. With a larger one there are a tenth more
 * packets a second where nothing waits for memory, and a seventh more new sessions in a full table (docs/performance.md, `portfold bench inlining`).
 */
import { setFlagsFromString } from 'node:v8';

/** Bytes of bytecode; V8 has 920 by itself. */
const INLINED_BYTES_MAX = 2500;

/** Gives hot functions of this process a larger share. Before they are hot: what is compiled already stays as it is. */
export function preferInlining(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTES_MAX}`);
}

/**
 * Puts an object and all that hangs on it back to how it was: numbers, strings, booleans and references in their fields, and the contents
 * of typed arrays. So an engine is made once and is as new before each of some thousand cases a second.
 *
 * Functions are not entered: what a closure holds must be named as a root of its own. Buffers in `constant` are left alone: tables that
 * nobody writes, and stores of bytes whose contents mean nothing without the words that describe them.
 */
interface Field {
  owner: Record<string, unknown>;
  name: string;
  value: unknown;
}

interface Contents {
  live: Uint8Array;
  copy: Uint8Array;
}

export class Snapshot {
  private readonly fields: Field[] = [];
  private readonly contents: Contents[] = [];
  private readonly seen = new Set<object>();

  constructor(roots: readonly object[], constant: readonly ArrayBufferLike[] = []) {
    for (const buffer of constant) this.seen.add(buffer);
    for (const root of roots) this.enter(root);
  }

  restore(): void {
    for (const { owner, name, value } of this.fields)
      if (owner[name] !== value) owner[name] = value;
    for (const { live, copy } of this.contents) live.set(copy);
  }

  private enter(object: object): void {
    if (this.seen.has(object)) return;
    this.seen.add(object);
    if (ArrayBuffer.isView(object)) {
      this.keep(object.buffer);
      return;
    }
    if (object instanceof Map || object instanceof Set)
      throw new TypeError('a snapshot knows no Map and no Set');
    for (const [name, value] of Object.entries(object)) {
      if (!Object.isFrozen(object))
        this.fields.push({ owner: object as Record<string, unknown>, name, value });
      if (typeof value === 'object' && value !== null) this.enter(value);
    }
  }

  private keep(buffer: ArrayBufferLike): void {
    if (this.seen.has(buffer)) return;
    this.seen.add(buffer);
    const live = new Uint8Array(buffer);
    this.contents.push({ live, copy: live.slice() });
  }
}

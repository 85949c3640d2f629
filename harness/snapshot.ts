// SPDX-License-Identifier: GPL-2.0-only
/**
 * Takes a picture of an object graph and puts it back in place, any number of times: every object keeps its
 * identity, so nothing that refers into the graph has to be rewired. A machine holds all of its state, so a
 * picture of it is a picture of everything.
 *
 * Handled: plain objects and class instances (own data properties), arrays, Map, Set, typed arrays. Functions are
 * left alone; a class with #private state cannot be seen into and must not be part of the graph.
 */

interface Saved {
  restore(): void;
}

class SavedBuffer implements Saved {
  private readonly live: Uint8Array;
  private readonly copy: Uint8Array;
  constructor(buffer: ArrayBuffer) {
    this.live = new Uint8Array(buffer);
    this.copy = this.live.slice();
  }
  restore(): void {
    this.live.set(this.copy);
  }
}

class SavedArray implements Saved {
  private readonly live: unknown[];
  private readonly copy: unknown[];
  constructor(live: unknown[]) {
    this.live = live;
    this.copy = live.slice();
  }
  restore(): void {
    const { live, copy } = this;
    if (live.length !== copy.length) live.length = copy.length;
    for (let i = 0; i < copy.length; i++) if (live[i] !== copy[i]) live[i] = copy[i];
  }
}

class SavedMap implements Saved {
  private readonly live: Map<unknown, unknown>;
  private readonly copy: [unknown, unknown][];
  constructor(live: Map<unknown, unknown>) {
    this.live = live;
    this.copy = [...live];
  }
  restore(): void {
    if (this.same()) return;
    this.live.clear();
    for (const [key, value] of this.copy) this.live.set(key, value);
  }
  private same(): boolean {
    if (this.live.size !== this.copy.length) return false;
    let i = 0;
    for (const [key, value] of this.live) {
      const was = this.copy[i++]!;
      if (was[0] !== key || was[1] !== value) return false;
    }
    return true;
  }
}

class SavedSet implements Saved {
  private readonly live: Set<unknown>;
  private readonly copy: unknown[];
  constructor(live: Set<unknown>) {
    this.live = live;
    this.copy = [...live];
  }
  restore(): void {
    if (this.same()) return;
    this.live.clear();
    for (const value of this.copy) this.live.add(value);
  }
  private same(): boolean {
    if (this.live.size !== this.copy.length) return false;
    let i = 0;
    for (const value of this.live) if (this.copy[i++] !== value) return false;
    return true;
  }
}

class SavedObject implements Saved {
  private readonly live: Record<string, unknown>;
  private readonly keys: string[];
  private readonly values: unknown[];
  constructor(live: Record<string, unknown>) {
    this.live = live;
    this.keys = Object.keys(live);
    this.values = this.keys.map((key) => live[key]);
  }
  restore(): void {
    const { live, keys, values } = this;
    for (let i = 0; i < keys.length; i++) if (live[keys[i]!] !== values[i]) live[keys[i]!] = values[i];
    if (Object.keys(live).length !== keys.length) this.dropNewKeys();
  }
  private dropNewKeys(): void {
    const had = new Set(this.keys);
    for (const key of Object.keys(this.live)) if (!had.has(key)) Reflect.deleteProperty(this.live, key);
  }
}

function isPlainEnough(x: unknown): x is object {
  return typeof x === "object" && x !== null;
}

/** The state of everything reachable from `root`, as it was when the snapshot was made. */
export class Snapshot {
  private readonly saved: Saved[] = [];

  constructor(root: object) {
    const seen = new Set<object>([root]);
    const todo: object[] = [root];
    const reach = (x: unknown): void => {
      if (isPlainEnough(x) && !seen.has(x)) {
        seen.add(x);
        todo.push(x);
      }
    };
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) this.save(at, reach);
  }

  private save(at: object, reach: (x: unknown) => void): void {
    if (at instanceof ArrayBuffer) {
      this.saved.push(new SavedBuffer(at));
    } else if (ArrayBuffer.isView(at)) {
      reach(at.buffer);
    } else if (Array.isArray(at)) {
      this.saved.push(new SavedArray(at));
      for (const x of at) reach(x);
    } else if (at instanceof Map) {
      this.saved.push(new SavedMap(at));
      for (const [key, value] of at) {
        reach(key);
        reach(value);
      }
    } else if (at instanceof Set) {
      this.saved.push(new SavedSet(at));
      for (const value of at) reach(value);
    } else {
      const record = at as Record<string, unknown>;
      if (!Object.isFrozen(at)) this.saved.push(new SavedObject(record));
      for (const key of Object.keys(record)) reach(record[key]);
    }
  }

  /** Puts every object back to what it was. */
  restore(): void {
    for (const s of this.saved) s.restore();
  }
}

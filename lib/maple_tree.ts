// SPDX-License-Identifier: GPL-2.0-only
/**
 * What stands for the kernel's maple tree (lib/maple_tree.c): a B+tree of ranges that do not overlap, by their start.
 * Every subtree knows the largest hole inside it, worked out when a hole is looked for and not before; the leaf used
 * last is kept as a finger, so that calls close to one another do not walk down again.
 */

/** What the tree holds: [vm_start, vm_end). */
export interface range {
  vm_start: number;
  vm_end: number;
}

const CAPACITY = 32;
const LOW = CAPACITY / 4;

class node<T extends range> {
  /** Leaf: starts of the entries. Inner: start of the first entry below each child. */
  readonly keys = new Float64Array(CAPACITY);
  /** Leaf: the entries. */
  vals: T[];
  /** Inner: the children; null in a leaf. */
  kids: node<T>[] | null;
  parent: node<T> | null = null;
  /** Neighbours of a leaf. */
  next: node<T> | null = null;
  prev: node<T> | null = null;
  /** Largest hole between entries of this subtree, -1 when it must be worked out. */
  gap = -1;
  constructor(leaf: boolean) {
    this.vals = [];
    this.kids = leaf ? null : [];
  }
  size(): number {
    return this.kids === null ? this.vals.length : this.kids.length;
  }
  first(): T {
    let n: node<T> = this;
    while (n.kids !== null) n = n.kids[0]!;
    return n.vals[0]!;
  }
  last(): T {
    let n: node<T> = this;
    while (n.kids !== null) n = n.kids[n.kids.length - 1]!;
    return n.vals[n.vals.length - 1]!;
  }
}

/** Place of the last key that is not above `at`, or -1. */
function place(keys: Float64Array, n: number, at: number): number {
  let low = 0;
  let high = n;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (keys[mid]! <= at) low = mid + 1;
    else high = mid;
  }
  return low - 1;
}

export class maple_tree<T extends range> {
  private root: node<T> = new node<T>(true);
  private finger: node<T> = this.root;
  /** Place in the finger of what was found last; may say nothing any more. */
  private found = 0;
  /** How many entries there are. */
  count = 0;

  private leafOf(at: number): node<T> {
    const f = this.finger;
    const fn = f.vals.length;
    if (fn !== 0 && at >= f.keys[0]! && (at < f.keys[fn - 1]! || f.next === null || at < f.next.keys[0]!)) return f;
    let n = this.root;
    while (n.kids !== null) {
      const i = place(n.keys, n.kids.length, at);
      n = n.kids[i < 0 ? 0 : i]!;
    }
    this.finger = n;
    return n;
  }

  /** The first entry that ends above `at`: the one that holds it, or the next one. O(log n). */
  find(at: number): T | undefined {
    const again = this.finger.vals[this.found];
    if (again !== undefined && this.finger.keys[this.found]! <= at && at < again.vm_end) return again;
    const leaf = this.leafOf(at);
    const n = leaf.vals.length;
    const i = place(leaf.keys, n, at);
    if (i >= 0) {
      const v = leaf.vals[i]!;
      this.found = i;
      if (v.vm_end > at) return v;
    }
    if (i + 1 < n) return leaf.vals[i + 1];
    return leaf.next === null ? undefined : leaf.next.vals[0];
  }

  /** The last entry that starts below `at`. O(log n). */
  find_before(at: number): T | undefined {
    const leaf = this.leafOf(at);
    let i = place(leaf.keys, leaf.vals.length, at);
    if (i >= 0 && leaf.keys[i] === at) i--;
    if (i >= 0) return leaf.vals[i];
    return leaf.prev === null ? undefined : leaf.prev.vals[leaf.prev.vals.length - 1];
  }

  first(): T | undefined {
    return this.count === 0 ? undefined : this.root.first();
  }

  last(): T | undefined {
    return this.count === 0 ? undefined : this.root.last();
  }

  /** Adds a range that overlaps none that is there. O(log n). */
  insert(v: T): void {
    const at = v.vm_start;
    let leaf = this.leafOf(at);
    let i = place(leaf.keys, leaf.vals.length, at) + 1;
    if (leaf.vals.length === CAPACITY) {
      const right = this.split(leaf);
      if (i > leaf.vals.length) {
        i -= leaf.vals.length;
        leaf = right;
      }
      this.finger = leaf;
    }
    const n = leaf.vals.length;
    const { keys, vals } = leaf;
    vals.push(v);
    for (let j = n; j > i; j--) {
      keys[j] = keys[j - 1]!;
      vals[j] = vals[j - 1]!;
    }
    keys[i] = at;
    vals[i] = v;
    this.count++;
    this.stale(leaf);
    if (i === 0) this.starts(leaf, at);
  }

  /** Takes out the entry that starts at `start`. O(log n). */
  remove(start: number): void {
    const leaf = this.leafOf(start);
    const n = leaf.vals.length;
    const i = place(leaf.keys, n, start);
    if (i < 0 || leaf.keys[i] !== start) throw new RangeError(`maple_tree: no entry at 0x${start.toString(16)}`);
    const { keys, vals } = leaf;
    for (let j = i + 1; j < n; j++) {
      keys[j - 1] = keys[j]!;
      vals[j - 1] = vals[j]!;
    }
    vals.pop();
    this.count--;
    this.stale(leaf);
    if (n === 1) {
      this.drop(leaf);
      return;
    }
    if (i === 0) this.starts(leaf, keys[0]!);
    if (n - 1 < LOW) this.shrink(leaf);
  }

  /**
   * Tells the tree that the entry which started at `old` has new bounds (they are in the entry already), or that
   * another object stands in its place.
   */
  update(old: number, v: T): void {
    const leaf = this.leafOf(old);
    const i = place(leaf.keys, leaf.vals.length, old);
    if (i < 0 || leaf.keys[i] !== old) throw new RangeError(`maple_tree: no entry at 0x${old.toString(16)}`);
    leaf.vals[i] = v;
    this.stale(leaf);
    const at = v.vm_start;
    if (at === old) return;
    leaf.keys[i] = at;
    if (i === 0) this.starts(leaf, at);
  }

  /** Tells the nodes above that the first entry below `n` starts at `at`. */
  private starts(n: node<T>, at: number): void {
    for (let parent = n.parent; parent !== null; n = parent, parent = n.parent) {
      const i = parent.kids!.indexOf(n);
      parent.keys[i] = at;
      if (i !== 0) return;
    }
  }

  /** Runs over the entries from the one that holds or follows `from`; ends when `fn` answers false. */
  forEach(fn: (v: T) => boolean | void, from = 0): void {
    for (let v = this.find(from); v !== undefined; v = this.find(v.vm_end)) if (fn(v) === false) return;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let n: node<T> | null = this.firstLeaf(); n !== null; n = n.next) yield* n.vals;
  }

  /** Lowest hole of `size` within [low, high): its start, or -1. */
  empty_area(low: number, high: number, size: number): number {
    if (high - low < size) return -1;
    if (this.count === 0) return low;
    const before = this.root.first().vm_start;
    if (Math.min(before, high) - low >= size) return low;
    const found = this.lowest(this.root, low, high, size);
    if (found >= 0) return found;
    const after = Math.max(this.root.last().vm_end, low);
    return high - after >= size ? after : -1;
  }

  /** Highest hole of `size` within [low, high): its end, cut at `high`, or -1. */
  empty_area_rev(low: number, high: number, size: number): number {
    if (high - low < size) return -1;
    if (this.count === 0) return high;
    const after = Math.max(this.root.last().vm_end, low);
    if (high - after >= size) return high;
    const found = this.highest(this.root, low, high, size);
    if (found >= 0) return found;
    const before = Math.min(this.root.first().vm_start, high);
    return before - low >= size ? before : -1;
  }

  private lowest(n: node<T>, low: number, high: number, size: number): number {
    if (this.gapOf(n) < size) return -1;
    const count = n.size();
    let i = place(n.keys, count, low);
    if (i < 0) i = 0;
    for (; i < count && (i === 0 || n.keys[i]! < high); i++) {
      if (n.kids !== null) {
        const inside = this.lowest(n.kids[i]!, low, high, size);
        if (inside >= 0) return inside;
      }
      if (i + 1 === count) break;
      const from = Math.max(low, n.kids === null ? n.vals[i]!.vm_end : n.kids[i]!.last().vm_end);
      const to = Math.min(high, n.kids === null ? n.vals[i + 1]!.vm_start : n.kids[i + 1]!.first().vm_start);
      if (to - from >= size) return from;
    }
    return -1;
  }

  private highest(n: node<T>, low: number, high: number, size: number): number {
    if (this.gapOf(n) < size) return -1;
    const count = n.size();
    let i = place(n.keys, count, high);
    if (i < 0) i = 0;
    for (; i >= 0; i--) {
      if (i + 1 < count) {
        const from = Math.max(low, n.kids === null ? n.vals[i]!.vm_end : n.kids[i]!.last().vm_end);
        const to = Math.min(high, n.kids === null ? n.vals[i + 1]!.vm_start : n.kids[i + 1]!.first().vm_start);
        if (to - from >= size) return to;
        if (to <= low) return -1;
      }
      if (n.kids !== null) {
        const inside = this.highest(n.kids[i]!, low, high, size);
        if (inside >= 0) return inside;
      }
    }
    return -1;
  }

  private gapOf(n: node<T>): number {
    if (n.gap >= 0) return n.gap;
    let gap = 0;
    if (n.kids === null) {
      for (let i = 1; i < n.vals.length; i++) gap = Math.max(gap, n.vals[i]!.vm_start - n.vals[i - 1]!.vm_end);
    } else {
      for (let i = 0; i < n.kids.length; i++) {
        gap = Math.max(gap, this.gapOf(n.kids[i]!));
        if (i > 0) gap = Math.max(gap, n.kids[i]!.first().vm_start - n.kids[i - 1]!.last().vm_end);
      }
    }
    n.gap = gap;
    return gap;
  }

  private stale(leaf: node<T>): void {
    let n: node<T> | null = leaf;
    while (n !== null && n.gap >= 0) {
      n.gap = -1;
      n = n.parent;
    }
  }

  private firstLeaf(): node<T> {
    let n = this.root;
    while (n.kids !== null) n = n.kids[0]!;
    return n;
  }

  /** Makes room in a full node: its upper half moves to a new right neighbour, which is returned. */
  private split(n: node<T>): node<T> {
    let parent = n.parent;
    if (parent === null) {
      parent = new node<T>(false);
      parent.kids!.push(n);
      parent.keys[0] = n.keys[0]!;
      n.parent = parent;
      this.root = parent;
    } else if (parent.kids!.length === CAPACITY) {
      this.split(parent);
      parent = n.parent!;
    }
    // Ranges are mostly added in one direction: a node that fills at its end is split there, so that it stays full.
    const half = CAPACITY / 2;
    const right = new node<T>(n.kids === null);
    for (let i = half; i < CAPACITY; i++) right.keys[i - half] = n.keys[i]!;
    if (n.kids === null) {
      right.vals = n.vals.slice(half);
      n.vals.length = half;
      right.next = n.next;
      right.prev = n;
      if (n.next !== null) n.next.prev = right;
      n.next = right;
    } else {
      right.kids = n.kids.slice(half);
      n.kids.length = half;
      for (const kid of right.kids) kid.parent = right;
    }
    n.gap = -1;
    this.adopt(parent, right, parent.kids!.indexOf(n) + 1);
    return right;
  }

  private adopt(parent: node<T>, kid: node<T>, at: number): void {
    parent.keys.copyWithin(at + 1, at, parent.kids!.length);
    parent.keys[at] = kid.keys[0]!;
    parent.kids!.splice(at, 0, kid);
    kid.parent = parent;
    parent.gap = 0;
    this.stale(parent);
  }

  /** Joins a node that has become small with a neighbour, where both fit into one. */
  private shrink(n: node<T>): void {
    const parent = n.parent;
    if (parent === null) {
      if (n.kids !== null && n.kids.length === 1) {
        this.root = n.kids[0]!;
        this.root.parent = null;
        if (this.root.kids !== null) this.shrink(this.root);
      }
      return;
    }
    const i = parent.kids!.indexOf(n);
    const j = i > 0 ? i - 1 : 0;
    const left = parent.kids![j]!;
    const right = parent.kids![j + 1];
    if (right === undefined || left.size() + right.size() > CAPACITY) return;
    this.join(left, right);
    this.disown(parent, j + 1);
    if (parent.kids!.length < LOW) this.shrink(parent);
  }

  private disown(parent: node<T>, i: number): void {
    parent.keys.copyWithin(i, i + 1, parent.kids!.length);
    parent.kids!.splice(i, 1);
    parent.gap = 0;
    this.stale(parent);
  }

  /** Takes an empty node out of the tree, unless it is all of it. */
  private drop(n: node<T>): void {
    const { parent } = n;
    if (parent === null) return;
    if (n.prev !== null) n.prev.next = n.next;
    if (n.next !== null) n.next.prev = n.prev;
    const i = parent.kids!.indexOf(n);
    this.disown(parent, i);
    n.parent = null;
    if (parent.kids!.length === 0) {
      this.drop(parent);
      return;
    }
    if (i === 0) this.starts(parent, parent.keys[0]!);
    if (parent.kids!.length < LOW) this.shrink(parent);
  }

  private join(left: node<T>, right: node<T>): void {
    const n = left.size();
    for (let i = 0; i < right.size(); i++) left.keys[n + i] = right.keys[i]!;
    if (left.kids === null) {
      for (const v of right.vals) left.vals.push(v);
      left.next = right.next;
      if (right.next !== null) right.next.prev = left;
      right.vals.length = 0;
    } else {
      for (const kid of right.kids!) {
        left.kids.push(kid);
        kid.parent = left;
      }
    }
    if (this.finger === right) this.finger = left;
    left.gap = 0;
    this.stale(left);
  }

  /** What is wrong with the tree, or nothing: order, overlap, links, counts, holes. For the checks after a test. */
  validate(): string | undefined {
    let seen = 0;
    let end = -1;
    for (const v of this) {
      if (v.vm_start >= v.vm_end || v.vm_start < end) return `range at 0x${v.vm_start.toString(16)} out of place`;
      if (this.find(v.vm_start) !== v) return `range at 0x${v.vm_start.toString(16)} is not found`;
      end = v.vm_end;
      seen++;
    }
    return seen === this.count ? undefined : `${seen} ranges, ${this.count} counted`;
  }
}

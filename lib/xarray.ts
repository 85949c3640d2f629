// SPDX-License-Identifier: GPL-2.0-only
/**
 * The array that a page cache is (lib/xarray.c): indexes below 2^32 to 32-bit values. Entries are kept in runs of 512, and
 * written out only where they do not simply follow one another, as page frames do that were faulted in one by one. What
 * the kernel's tree of 64-slot nodes would look like is only counted, in {@link xarray.nodes}, since those nodes are
 * memory too.
 */
import { call_notes } from "../include/linux/call_notes.js";

/** The last index that an array has room for: a page of a file at 16 TiB is beyond it. */
export const XA_MAX_INDEX = 2 ** 32 - 1;

/** Marks a value entry (a swapped-out page): the other 31 bits are the swap entry. Entries without it are page frames. */
export const XA_VALUE = 0x80000000;

export function xa_is_value(entry: number): boolean {
  return entry >= XA_VALUE;
}

/** The value entry of 31 bits. */
export function xa_mk_value(value: number): number {
  return (value | XA_VALUE) >>> 0;
}

/** The 31 bits of a value entry. */
export function xa_to_value(entry: number): number {
  return entry & ~XA_VALUE;
}

const RUN_SHIFT = 9;
const RUN = 1 << RUN_SHIFT;
const RUN_MASK = RUN - 1;
/** The logarithm of how many slots a node of the kernel's tree has. */
export const XA_CHUNK_SHIFT = 6;

const CHUNK_MASK = (1 << XA_CHUNK_SHIFT) - 1;

/** 512 slots, with notes of the call that filled each. Until they are written out, those below `total` hold `first`, `first` + 1, … and the others nothing. */
class run extends call_notes {
  total = 0;
  first = 0;
  slots: Uint32Array | null = null;
  /** Entries in each 64 slots, in each bottom node of the kernel's tree; kept when `slots` are. */
  counts: Uint8Array | null = null;

  get(slot: number): number {
    if (this.slots !== null) return this.slots[slot]!;
    return slot < this.total ? this.first + slot : 0;
  }

  /** Entries in a bottom node. */
  count(chunk: number): number {
    return this.counts === null ? this.entriesOf(chunk) : this.counts[chunk]!;
  }

  private entriesOf(chunk: number): number {
    return Math.max(0, Math.min(this.total - (chunk << XA_CHUNK_SHIFT), 1 << XA_CHUNK_SHIFT));
  }

  writeOut(): Uint32Array {
    if (this.slots !== null) return this.slots;
    const slots = new Uint32Array(RUN);
    const counts = new Uint8Array(RUN >> XA_CHUNK_SHIFT);
    for (let slot = 0; slot < this.total; slot++) slots[slot] = this.first + slot;
    for (let chunk = 0; chunk < counts.length; chunk++) counts[chunk] = this.entriesOf(chunk);
    this.counts = counts;
    return (this.slots = slots);
  }
}

export class xarray {
  /** How many 64-slot nodes the kernel's tree would have. */
  nodes = 0;
  private readonly runs = new Map<number, run>();
  private lastKey = -1;
  private last: run | undefined = undefined;
  private maxKey = 0;
  private entries = 0;
  /** Levels of nodes; 0 when empty, or when the only entry is at index 0 and needs none. */
  private height = 0;
  /** First index that the present levels do not reach: 64 to the power of {@link height}. */
  private limit = 1;
  /** Children of each upper node: by level - 1, then by index >>> (6 × (level + 1)). */
  private readonly upper: Map<number, number>[] = [];

  private runOf(key: number): run | undefined {
    if (key === this.lastKey) return this.last;
    const r = this.runs.get(key);
    if (r !== undefined) {
      this.lastKey = key;
      this.last = r;
    }
    return r;
  }

  /** How many entries there are. */
  get size(): number {
    return this.entries;
  }

  /** The entry at an index, 0 when there is none. */
  load(index: number): number {
    const r = this.runOf(index >>> RUN_SHIFT);
    return r === undefined ? 0 : r.get(index & RUN_MASK);
  }

  /** Stores a value other than 0; notes that entry `call` into the kernel did, unless it is negative. */
  store(index: number, value: number, call = -1): void {
    const r = this.runOf(index >>> RUN_SHIFT);
    const slot = index & RUN_MASK;
    if (r === undefined || r.slots !== null || slot !== r.total || value !== r.first + slot) {
      this.storeApart(index, value, r);
      if (call >= 0) this.runOf(index >>> RUN_SHIFT)!.note(slot, call);
      return;
    }
    r.total++;
    if (call >= 0 && r.by !== call) r.note(slot, call);
    this.added(index, slot & CHUNK_MASK);
  }

  /** How many indexes right behind one that has an entry have none, in its own bottom node: to fill them takes no node. */
  vacantBehind(index: number): number {
    const r = this.runOf(index >>> RUN_SHIFT);
    if (r === undefined || index + 1 >= this.limit) return 0;
    const from = index & RUN_MASK;
    const end = from | CHUNK_MASK;
    if (r.slots === null) return from === r.total - 1 ? end - from : 0;
    let slot = from;
    while (slot < end && r.slots[slot + 1] === 0) slot++;
    return slot - from;
  }

  /** Stores `n` values, as `store` does, at the indexes right behind one that has an entry: no more than are vacant. */
  storeBehind(index: number, values: Uint32Array, at: number, n: number, call: number): void {
    const r = this.runOf(index >>> RUN_SHIFT)!;
    const next = r.first + r.total;
    let j = 0;
    if (r.slots === null && (index & RUN_MASK) === r.total - 1) while (j < n && values[at + j] === next + j) j++;
    r.note_range((index & RUN_MASK) + 1, (index & RUN_MASK) + 1 + j, call);
    r.total += j;
    this.entries += j;
    for (; j < n; j++) this.store(index + 1 + j, values[at + j]!, call);
  }

  /** Stores a value that does not simply follow the one before it. */
  private storeApart(index: number, value: number, there: run | undefined): void {
    const r = there ?? this.newRun(index >>> RUN_SHIFT);
    const slot = index & RUN_MASK;
    let count = 0;
    if (r.slots === null && slot === 0 && r.total === 0) {
      r.first = value;
    } else {
      const slots = r.writeOut();
      const old = slots[slot]!;
      slots[slot] = value;
      if (old !== 0) return;
      count = r.counts![slot >>> XA_CHUNK_SHIFT]!++;
    }
    r.total++;
    this.added(index, count);
  }

  private newRun(key: number): run {
    const r = new run();
    this.runs.set(key, r);
    this.lastKey = key;
    this.last = r;
    if (key > this.maxKey) this.maxKey = key;
    return r;
  }

  /** Counts a new entry, whose bottom node had `count` before. */
  private added(index: number, count: number): void {
    if (count === 0 || index >= this.limit) this.grow(index, count);
    this.entries++;
  }

  /** What was noted last of a slot that is in use. */
  noted(index: number): number {
    return this.runOf(index >>> RUN_SHIFT)!.of(index & RUN_MASK);
  }

  /** Removes the entry at an index; returns what it was. */
  erase(index: number): number {
    const key = index >>> RUN_SHIFT;
    const r = this.runOf(key);
    if (r === undefined) return 0;
    const slot = index & RUN_MASK;
    const old = r.get(slot);
    if (old === 0) return 0;
    let count = slot & CHUNK_MASK;
    if (r.slots !== null || slot !== r.total - 1) {
      r.writeOut()[slot] = 0;
      count = --r.counts![slot >>> XA_CHUNK_SHIFT]!;
    }
    this.entries--;
    if (--r.total === 0) {
      this.runs.delete(key);
      this.lastKey = -1;
      this.last = undefined;
    }
    if (this.height !== 0 && (count === 0 || this.height === 1)) this.shrink(index, count);
    return old;
  }

  /** Stores one entry for 512 aligned indexes where none is: each index gives the page that stands there, `value` the first. */
  store_huge(index: number, value: number, call = -1): void {
    for (let n = 0; n < RUN; n++) this.store(index + n, value + n, call);
    this.nodes -= RUN >> XA_CHUNK_SHIFT;
  }

  /** Makes 512 entries of one: now they need nodes of their own. @kernel lib/xarray.c:xas_split */
  split_huge(): void {
    this.nodes += RUN >> XA_CHUNK_SHIFT;
  }

  /** Removes the one entry for 512 aligned indexes. */
  erase_huge(index: number): void {
    this.nodes += RUN >> XA_CHUNK_SHIFT;
    for (let n = RUN - 1; n >= 0; n--) this.erase(index + n);
  }

  /** First index in [from, to] that has an entry, or -1. */
  find(from: number, to: number): number {
    if (from > XA_MAX_INDEX) return -1;
    let key = from >>> RUN_SHIFT;
    const end = Math.min(Math.min(to, XA_MAX_INDEX) >>> RUN_SHIFT, this.maxKey);
    let slot = from & RUN_MASK;
    for (; key <= end; key++, slot = 0) {
      const r = this.runOf(key);
      if (r === undefined) {
        if (end - key > 64 + 2 * this.runs.size) key = this.nextKey(key) - 1;
        continue;
      }
      for (; slot < RUN; slot++) {
        if (r.get(slot) === 0) continue;
        const index = key * RUN + slot;
        return index <= to ? index : -1;
      }
    }
    return -1;
  }

  /** Calls `fn` for each entry of [from, to], in order; entries may be erased meanwhile. */
  forEach(from: number, to: number, fn: (index: number, value: number) => void): void {
    for (let i = this.find(from, to); i >= 0; i = i >= to ? -1 : this.find(i + 1, to)) fn(i, this.load(i));
  }

  private nextKey(key: number): number {
    let next = Infinity;
    for (const q of this.runs.keys()) if (q > key && q < next) next = q;
    return next;
  }

  /** Counts the nodes that a new entry needs, its bottom node having had `count` entries. */
  private grow(index: number, count: number): void {
    if (index >= this.limit || this.entries === 0) {
      let levels = this.height;
      while (index >= 64 ** levels) levels++;
      if (this.entries === 0) this.height = levels;
      for (; this.height < levels; this.height++) {
        this.nodes++;
        if (this.height > 0) this.level(this.height).set(0, 1);
      }
      this.limit = 64 ** levels;
    }
    if (count !== 0 || this.height === 0) return;
    this.nodes++;
    let key = index >>> XA_CHUNK_SHIFT;
    for (let l = 1; l < this.height; l++) {
      key >>>= XA_CHUNK_SHIFT;
      const children = this.level(l).get(key) ?? 0;
      this.level(l).set(key, children + 1);
      if (children !== 0) return;
      this.nodes++;
    }
  }

  /** Uncounts the nodes that became empty, and the levels that became needless. @kernel lib/xarray.c:xas_delete_node */
  private shrink(index: number, count: number): void {
    let key = index >>> XA_CHUNK_SHIFT;
    let l = 0;
    while (count === 0) {
      this.nodes--;
      if (++l >= this.height) {
        this.height = 0;
        this.limit = 1;
        return;
      }
      key >>>= XA_CHUNK_SHIFT;
      count = this.level(l).get(key)! - 1;
      if (count === 0) this.level(l).delete(key);
      else this.level(l).set(key, count);
    }
    if (l !== this.height - 1) return;
    while (this.height > 1 && this.level(this.height - 1).get(0) === 1 && this.hasLeftChild(this.height - 2)) {
      this.level(this.height - 1).delete(0);
      this.nodes--;
      this.height--;
    }
    if (this.height === 1 && this.entries === 1 && this.load(0) !== 0) {
      this.nodes--;
      this.height = 0;
    }
    this.limit = 64 ** this.height;
  }

  private hasLeftChild(l: number): boolean {
    return l === 0 ? (this.runs.get(0)?.count(0) ?? 0) > 0 : this.level(l).has(0);
  }

  private level(l: number): Map<number, number> {
    return (this.upper[l - 1] ??= new Map<number, number>());
  }
}

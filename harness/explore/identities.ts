// SPDX-License-Identifier: GPL-2.0-only
/** The objects that a machine is made of, how each is gone through, and which VMA is which. */
import { Digest } from "./hash.js";

/** Fields, and keys of maps, that are left out. */
export const LEFT_OUT: ReadonlySet<unknown> = new Set([
  // no call of the table changes them
  ...["arch", "config", "hooks", "seed", "shortWays", "buffers", "fail_page_alloc", "fail_migrate", "f_op", "vm_ops"],
  ...["rlim", "rlim_max", "capabilities", "node_zonelists", "nofallback_zonelists", "lowmem_reserve"],
  // what happened, by which nothing is decided
  ...["vm_events", "vm_numa_event", "calls", "call", "by", "batch_calls", "tracing", "pin_report", "mm/gup/held.ts"],
  // what was looked up or made last
  ...["last", "lastKey", "last_key", "last_table", "idle_vmf", "pte_memory"],
  // looked at page by page
  "sections",
]);

/** How objects of a class are gone through; for its own fields, their names. */
type Plan = "array" | "map" | "each" | "words" | readonly string[];

const plans = new Map<unknown, Plan>();

export function fieldsOf(x: object): string[] {
  return Object.keys(x).filter((key) => !LEFT_OUT.has(key));
}

function makePlan(x: object): Plan {
  if (Array.isArray(x)) return "array";
  if (x instanceof Map) return "map";
  if (ArrayBuffer.isView(x)) return "words";
  if (Symbol.iterator in x) return "each";
  return fieldsOf(x);
}

function planOf(x: object): Plan {
  const known = plans.get(x.constructor);
  if (known !== undefined) return known;
  const plan = makePlan(x);
  if (x.constructor !== Object) plans.set(x.constructor, plan);
  return plan;
}

const hashes = new Map<string, number>();

/** The hash of a text: names, mostly, which come again and again. */
export function hashOf(text: string): number {
  let hash = hashes.get(text);
  if (hash === undefined) {
    const d = new Digest();
    d.text(text);
    hashes.set(text, (hash = d.value | 0));
  }
  return hash;
}

/** One object of a machine. */
interface Seen {
  /** Of a VMA: in which order they came to be seen; of others 0. */
  readonly vma: number;
  /** The digest that has been here last, and as which object. */
  at: number;
  nth: number;
  readonly plan: Plan;
  /** Its numbers, 32 bits at a time, if it is an array of such. */
  readonly words: ArrayLike<number>;
}

function wordsOf(x: object): ArrayLike<number> {
  if (!ArrayBuffer.isView(x)) return [];
  if (x.byteOffset % 4 !== 0 || x.byteLength % 4 !== 0) return x as Uint8Array;
  return new Int32Array(x.buffer, x.byteOffset, x.byteLength / 4);
}

/**
 * The objects of a machine, over the digests of one run. VMAs are told apart by the order in which they were seen: a new
 * one in an old one's place is another state, since a call that sleeps may have the old one at hand.
 */
export class Identities {
  /** VMAs that were seen. */
  vmas: number;
  private readonly seen = new Map<object, Seen>();
  private readonly before: ReadonlyMap<object, Seen>;
  private readonly clock: { now: number };

  /** @param before those that were seen before the run, of the same machine, which has been put back since */
  constructor(before?: Identities) {
    this.vmas = before?.vmas ?? 0;
    this.before = before?.seen ?? new Map<object, Seen>();
    this.clock = before?.clock ?? { now: 0 };
  }

  /** A digest begins: its number. */
  next(): number {
    return ++this.clock.now;
  }

  of(x: object): Seen {
    return this.before.get(x) ?? this.seen.get(x) ?? this.add(x);
  }

  private add(x: object): Seen {
    const one = { vma: "vm_start" in x ? ++this.vmas : 0, at: 0, nth: 0, plan: planOf(x), words: wordsOf(x) };
    this.seen.set(x, one);
    return one;
  }
}

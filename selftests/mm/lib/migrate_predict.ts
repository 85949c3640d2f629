// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a long-term pin of pages that must move will count, worked out from what goes wrong with them and not from the
 * model: the rules of migrate_pages() of v6.1 in their own words, and what later versions changed of them.
 */
import { HUGE } from "./thp.js";

/** What is wrong with one page, and for how many attempts to move it: locked or being written, not both. */
export interface Trouble {
  readonly reference?: number;
  readonly lock?: number;
  readonly writeback?: number;
  /** Its owner gives it up when it has been isolated. */
  readonly gone?: boolean;
}

export interface Schedule {
  /** In the order of their addresses; pages without an entry are fine. */
  readonly pages: readonly Trouble[];
  /** They are of a file on a disk, as pages must be that are written back; otherwise anonymous. */
  readonly file?: boolean;
  /** They are one huge page, of which pages[0] tells. */
  readonly huge?: boolean;
  /** The n-th allocation of a target fails, and no other. Not together with pages that are given up. */
  readonly failTarget?: number;
  /** No huge target can be had. */
  readonly noHugeTarget?: boolean;
  /** Huge pages cannot be migrated at all. */
  readonly unsupported?: boolean;
  /** The pages of a split huge page that are held when their turn comes. */
  readonly heldParts?: number;
}

/** In which the versions differ. */
export interface Rules {
  /** A huge page whose split meets a reference waits for the next pass. */
  readonly splitAgain: boolean;
  /** And counts as failed each time. */
  readonly failEachTime: boolean;
}

export interface Prediction {
  /** Does the pin succeed? */
  readonly pinned: boolean;
  /** Events that are not 0; `pgalloc` of all zones together. */
  readonly events: Readonly<Record<string, number>>;
}

const PASSES = 10;
/** Passes in which migrate_pages() sleeps neither for a lock nor for writeback. */
const HASTY = 3;

class Tally {
  readonly events: Record<string, number> = {};
  add(name: string, n: number): void {
    if (n !== 0) this.events[name] = (this.events[name] ?? 0) + n;
  }
}

type Outcome = "moved" | "again" | "stop" | "split";

/** The pin's only call of migrate_pages() and, if that moved all, the second round of the pin. */
class Predictor {
  private readonly tally = new Tally();
  private targets = 0;
  private readonly s: Schedule;
  private readonly rules: Rules;

  constructor(s: Schedule, rules: Rules) {
    this.s = s;
    this.rules = rules;
  }

  predict(): Prediction {
    // The driver's page of pointers comes and goes.
    this.tally.add("pgalloc", 1);
    this.tally.add("pgfree", 1);
    const pinned = this.s.huge === true ? this.hugePage() : this.smallPages();
    // The second round of the pin faults other pages in for those that were given up.
    const gone = pinned ? this.s.pages.filter((trouble) => trouble.gone === true).length : 0;
    this.tally.add("pgalloc", gone);
    this.tally.add("pgfault", gone);
    return { pinned, events: this.tally.events };
  }

  /** Can a target be had? An attempt that fails gives it back. */
  private target(): boolean {
    return ++this.targets !== this.s.failTarget;
  }

  private tookTarget(pages: number): void {
    this.tally.add("pgalloc", pages);
    this.tally.add("pgfree", pages);
  }

  private attempt(trouble: Trouble, nth: number): Outcome {
    if (trouble.gone === true) return "moved";
    if (!this.target()) return "stop";
    this.tookTarget(1);
    if (nth <= HASTY && nth <= Math.max(trouble.lock ?? 0, trouble.writeback ?? 0)) return "again";
    return nth <= (trouble.reference ?? 0) ? "again" : "moved";
  }

  private smallPages(): boolean {
    let waiting = this.s.pages.map((trouble) => trouble);
    for (let pass = 1; pass <= PASSES && waiting.length > 0; pass++) {
      const left: Trouble[] = [];
      for (const trouble of waiting) {
        const outcome = this.attempt(trouble, pass);
        if (outcome === "stop") {
          this.tally.add("pgmigrate_fail", 1 + left.length);
          return false;
        }
        if (outcome === "again") left.push(trouble);
        else this.moved(trouble);
      }
      waiting = left;
    }
    this.tally.add("pgmigrate_fail", waiting.length);
    return waiting.length === 0;
  }

  private moved(trouble: Trouble): void {
    this.tally.add("pgmigrate_success", 1);
    if (trouble.gone === true) this.tally.add("pgfree", 1);
  }

  private hugePage(): boolean {
    const trouble = this.s.pages[0] ?? {};
    for (let pass = 1; pass <= PASSES; pass++) {
      const held = pass <= (trouble.reference ?? 0);
      if (this.s.unsupported === true || this.s.noHugeTarget === true) {
        if (!held) return this.parts();
        this.tally.add("thp_split_page_failed", 1);
        const waits = this.s.unsupported !== true && this.rules.splitAgain;
        if (!waits || this.rules.failEachTime) this.tally.add("thp_migration_fail", 1);
        if (waits) continue;
        this.tally.add("pgmigrate_fail", HUGE);
        return false;
      }
      this.tookTarget(HUGE);
      const busy = pass <= HASTY && pass <= Math.max(trouble.lock ?? 0, trouble.writeback ?? 0);
      if (held || busy) continue;
      this.tally.add("pgmigrate_success", HUGE);
      this.tally.add("thp_migration_success", 1);
      return true;
    }
    this.tally.add("pgmigrate_fail", HUGE);
    this.tally.add("thp_migration_fail", 1);
    return false;
  }

  /** It is split, which is a failure however its pages fare; each has one attempt. */
  private parts(): boolean {
    for (const name of ["thp_migration_fail", "thp_migration_split", "thp_split_page"]) this.tally.add(name, 1);
    for (const name of ["thp_split_pmd", "thp_deferred_split_page"]) this.tally.add(name, 1);
    const held = this.s.heldParts ?? 0;
    this.tookTarget(HUGE);
    this.tally.add("pgmigrate_success", HUGE - held);
    this.tally.add("pgmigrate_fail", held);
    return held === 0;
  }
}

/** What the pin will count. */
export function predict(schedule: Schedule, rules: Rules): Prediction {
  return new Predictor(schedule, rules).predict();
}

// SPDX-License-Identifier: GPL-2.0-only
/** Entries into the kernel by number, so that what is found later can be laid to one: system calls and page faults. */

/** One entry into the kernel. */
export interface KernelCall {
  /** In the order of the run, from 1. */
  readonly nr: number;
  /** A system call's name, or "page fault"; empty where the log no longer goes back that far. */
  readonly name: string;
  readonly pid: number;
}

/** Changes of name or task that are remembered. */
const MOST_RUNS = 8192;

/** Who entered the kernel when. Entries alike that follow one another take no room. */
export class CallLog {
  /** Entries so far. */
  made = 0;
  /** The entry under way, the innermost where one runs inside another; 0 for none. */
  now = 0;
  /** Those that wait for `now` to end, outermost first. */
  readonly waiting: number[] = [];
  private readonly from: number[] = [];
  private readonly names: string[] = [];
  private readonly pids: number[] = [];
  private name = "";
  private pid = 0;

  /** The task of this pid enters. Answers what {@link leave} is to be given. */
  enter(name: string, pid: number): number {
    const outer = this.now;
    if (outer !== 0) this.waiting.push(outer);
    this.now = ++this.made;
    if (name !== this.name || pid !== this.pid) this.note(name, pid);
    return outer;
  }

  leave(outer: number): void {
    this.now = outer;
    if (outer !== 0) this.waiting.pop();
  }

  /** The entry of a number; null for 0, which is no entry. */
  find(nr: number): KernelCall | null {
    if (nr === 0) return null;
    let i = this.from.length - 1;
    while (i >= 0 && this.from[i]! > nr) i--;
    return { nr, name: this.names[i] ?? "", pid: this.pids[i] ?? 0 };
  }

  private note(name: string, pid: number): void {
    this.name = name;
    this.pid = pid;
    if (this.from.length === MOST_RUNS) {
      for (const list of [this.from, this.names, this.pids]) list.splice(0, MOST_RUNS / 2);
    }
    this.from.push(this.made);
    this.names.push(name);
    this.pids.push(pid);
  }
}

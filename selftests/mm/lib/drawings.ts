// SPDX-License-Identifier: GPL-2.0-only
/**
 * Faults as drawings: what is mapped before and after an access, a character a page (fs/proc/task_mmu.ts:page_char),
 * a picture a task, those of children behind the parent's.
 *
 * What is done before is written as a line of steps, each on the whole memory unless it says which pages:
 *
 *     w1, w0-3      writes to page 1, to pages 0 to 3: each its number and one more
 *     r1, r0-3      reads
 *     MADV_…        advice; MADV_…:2 on page 2 alone
 *     PROT_…        mprotect(); PROT_RW for reading and writing
 *     lock, onfault, munmap, fork, exit, truncate (to two pages), fill (the file, as w would), hole (of page 1), out (to
 *                   swap), scan (by ksmd), nohuge (no huge page can be had), key (one that bars writing)
 *
 * `child:` in front has the youngest task do it. The access is a step as well, of which a write writes 99.
 */
import type { task_struct } from "../../../include/linux/sched.js";
import { expect, type Fixture, TEST_F } from "../../../harness/kselftest/index.js";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../../../uapi/memfd.js";
import * as uapi from "../../../uapi/mman-common.js";
import { scan } from "./ksm.js";
import { advise, at, bytes, frameOf, map, type MapOptions, memfd, peek, RW, type T, touch } from "./memory.js";
import { pageOut } from "./swap.js";
import { drawing, failHugeAllocations } from "./thp.js";

/** What is mapped at page 0 of the window; `pages` of a memfd where it is a file. */
export interface Memory extends MapOptions {
  readonly pages: number;
  readonly file?: number;
}

/**
 * Title, memory, what is done before, the picture then; the access and what came of it; the picture after it.
 *
 * What came of it: the value that was read; "new" for a write where nothing was mapped, "copied" where the page is another
 * one now, "kept" where it is the same; or a signal and its si_code.
 */
export type Drawing = readonly [string, Memory, string, string, string, string, string];

/** The tasks of a drawing, and what their memory is. */
class Scene {
  readonly t: T;
  readonly memory: Memory;
  private readonly fd: number;
  private readonly tasks: task_struct[];

  constructor(t: T, memory: Memory) {
    this.t = t;
    this.memory = memory;
    this.tasks = [t.k.current];
    this.fd = memory.file === undefined ? -1 : memfd(t, memory.file);
    map(t, 0, memory.pages, { ...memory, fd: this.fd });
  }

  /** A few pages a character each, more of them in runs. */
  picture(): string {
    const { t, memory } = this;
    const spelled = (task: task_struct): string => {
      const runs = drawing(t, 0, memory.pages, task);
      if (memory.pages > 16) return runs;
      return runs.replace(/(\d+)(.) ?/g, (_, n: string, what: string) => what.repeat(Number(n)));
    };
    return this.tasks.map(spelled).join(" | ");
  }

  /** What an access comes to; other tasks keep what they have. */
  access(text: string): string {
    const { t } = this;
    const [, child, kind, n] = /^(child:)?([rw])(\d+)$/.exec(text)!;
    const page = Number(n);
    const task = this.tasks.at(child === undefined ? 0 : -1)!;
    const frames = this.tasks.map((each) => frameOf(t, page, each));
    const before = frameOf(t, page, task);
    const got = t.as(task, () => (kind === "r" ? t.sys.load(at(page)) : t.sys.store(at(page), 99)));
    this.tasks.forEach((each, i) => {
      if (each !== task) expect(frameOf(t, page, each), "another task's page").to.equal(frames[i]);
    });
    if ("sig" in got) return `${got.sig} ${String(got.code)}`;
    if (kind === "r") return String(got.val);
    if (before === 0) return "new";
    return frameOf(t, page, task) === before ? "kept" : "copied";
  }

  step(text: string): void {
    const [, child, what] = /^(child:)?(.*)$/.exec(text)!;
    const task = this.tasks.at(child === undefined ? 0 : -1)!;
    if (what === "exit") this.tasks.splice(this.tasks.indexOf(task), 1);
    this.t.as(task, () => {
      this.run(what!);
    });
  }

  private run(what: string): void {
    const { t, memory } = this;
    const touched = /^([rw])(\d+)(?:-(\d+))?$/.exec(what);
    if (touched !== null) {
      const [, kind, from, to] = touched;
      for (let page = Number(from); page <= Number(to ?? from); page++) {
        if (kind === "w") touch(t, page, 1, (page & 0xff) + 1);
        else peek(t, page);
      }
      return;
    }
    const [name, page] = what.split(":");
    const first = Number(page ?? 0);
    const pages = page === undefined ? memory.pages : 1;
    expect(this.call(name!, first, pages), what).to.equal(0);
  }

  private call(name: string, first: number, pages: number): number {
    const { t, fd } = this;
    const [addr, len] = [at(first), bytes(pages)];
    if (name.startsWith("MADV_")) return advise(t, first, pages, uapi[name as keyof typeof uapi]);
    if (name === "PROT_RW") return t.sys.mprotect(addr, len, RW);
    if (name.startsWith("PROT_")) return t.sys.mprotect(addr, len, uapi[name as keyof typeof uapi]);
    switch (name) {
      case "lock":
        return t.sys.mlock(addr, len);
      case "onfault":
        return t.sys.mlock2(addr, len, uapi.MLOCK_ONFAULT);
      case "munmap":
        return t.sys.munmap(addr, len);
      case "fork":
        this.tasks.push(t.fork());
        return 0;
      case "exit":
        return t.sys.exit(0);
      case "truncate":
        return t.sys.ftruncate(fd, bytes(2));
      case "fill":
        return this.fill();
      case "hole":
        return t.sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, bytes(1), bytes(1));
      case "key":
        return t.sys.pkey_mprotect(addr, len, RW, t.sys.pkey_alloc(0, 2));
      default:
        return this.other(name, pages);
    }
  }

  private fill(): number {
    for (let page = 0; page < this.memory.pages; page++) {
      expect(this.t.sys.pwrite(this.fd, page + 1, bytes(page)), "pwrite").to.equal(1);
    }
    return 0;
  }

  private other(name: string, pages: number): number {
    const { t } = this;
    if (name === "out") pageOut(t, 0, pages);
    else if (name === "scan") scan(t);
    else if (name === "nohuge") failHugeAllocations(t);
    else throw new TypeError(`no such step: ${name}`);
    return 0;
  }
}

/** A test for each drawing. */
export function drawings<Self, Param>(fixture: Fixture<Self, Param>, rows: readonly Drawing[]): void {
  for (const [title, memory, given, before, access, says, after] of rows) {
    TEST_F(fixture, `${title}: ${before}, ${access} ${says}, ${after}`, (t) => {
      const scene = new Scene(t, memory);
      for (const step of given.split(" ")) if (step !== "") scene.step(step);
      expect(scene.picture(), "before").to.equal(before);
      expect(scene.access(access), access).to.equal(says);
      expect(scene.picture(), "after").to.equal(after);
    });
  }
}

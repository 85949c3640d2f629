// SPDX-License-Identifier: GPL-2.0-only
/** The window of address space of a case: what the model shows there, and whether two pictures of it agree. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import type { KernelModule, Machine } from "./kernel.js";
import { type TraceVma, WINDOW_BASE, WINDOW_PAGES } from "./trace-format.js";

/** Page characters that a recording holds of one VMA. */
const MAX_CHARS = 1024;

/** The VMAs of the window, as a recording writes them. */
export function windowOf(kernel: KernelModule, k: Machine, mm: mm_struct): TraceVma[] {
  const out: TraceVma[] = [];
  for (const row of kernel.show_smaps(k, mm)) {
    const start = (row.start - WINDOW_BASE) / PAGE_SIZE;
    if (start < 0 || start >= WINDOW_PAGES) continue;
    const end = (row.end - WINDOW_BASE) / PAGE_SIZE;
    const range = `${String(start)}-${String(end)}`;
    out.push([range, row.perms, row.pgoff, row.name, row.VmFlags.join(" "), row.pages.slice(0, MAX_CHARS)]);
  }
  return out;
}

function sameVma(a: TraceVma, b: TraceVma, pages: boolean): boolean {
  for (let i = 0; i < 5; i++) if (a[i] !== b[i]) return false;
  return !pages || a[5] === b[5];
}

export function sameWindow(a: readonly TraceVma[], b: readonly TraceVma[], pages: boolean): boolean {
  return a.length === b.length && a.every((vma, i) => sameVma(vma, b[i]!, pages));
}

export function vmaText(vma: TraceVma, pages: boolean): string {
  const [range, perms, pgoff, name, flags, chars] = vma;
  const head = `${range.padEnd(9)} ${perms} ${String(pgoff).padStart(3)} ${name === "" ? "-" : name} [${flags}]`;
  return pages ? `${head} ${chars}` : head;
}

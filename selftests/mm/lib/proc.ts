// SPDX-License-Identifier: GPL-2.0-only
/** Recordings of /proc (fixtures/proc): sections of text that start at "=== NAME". */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { migratetype_names } from "../../../include/linux/mmzone.js";
import type { task_struct } from "../../../include/linux/sched.js";
import { PAGE_SIZE } from "../../../include/linux/types.js";
import { projectRoot } from "../../../harness/root.js";
import type { BootOptions } from "../../../harness/kselftest/index.js";
import { at, type T } from "./memory.js";

type PlacementBoot = NonNullable<BootOptions["like"]>;

/** Sections of a recording by name. */
export function readProc(name: string): Readonly<Record<string, string>> {
  const text = readFileSync(join(projectRoot(), "fixtures", "proc", name), "utf8");
  const sections = text.split(/^=== (.*)\n/m).slice(1);
  return Object.fromEntries(sections.flatMap((s, i) => (i % 2 === 0 ? [[s, sections[i + 1]!]] : [])));
}

/** Of zoneinfo, the text of each zone by its name. */
function zonesOf(zoneinfo: string): [string, string][] {
  const parts = zoneinfo.split(/^Node \d+, zone +(\w+)$/m).slice(1);
  return parts.flatMap((s, i): [string, string][] => (i % 2 === 0 ? [[s, parts[i + 1]!]] : []));
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^ *(?:pages )?${name}:? +(\\d+)$`, "m").exec(text)?.[1] ?? NaN);
}

/** The machine that zoneinfo and pagetypeinfo describe, as boot() wants it. */
export function likeProc(rec: Readonly<Record<string, string>>, cma?: [number, number]): PlacementBoot {
  const zones: Record<string, PlacementBoot["zones"][string]> = {};
  const freeLists: Record<string, Record<string, number[]>> = {};
  const pageblocks: Record<string, Record<string, number>> = {};
  for (const [name, text] of zonesOf(rec["zoneinfo"]!)) {
    if (field(text, "present") === 0) continue;
    zones[name] = {
      start_pfn: field(text, "start_pfn"),
      spanned: field(text, "spanned"),
      present: field(text, "present"),
      managed: field(text, "managed"),
      free: field(text, "free"),
      min: field(text, "min"),
      low: field(text, "low"),
      high: field(text, "high"),
      cma: field(text, "cma"),
      pcp_count: field(text, "count"),
      pcp_batch: field(text, "batch"),
    };
  }
  for (const m of rec["pagetypeinfo"]!.matchAll(/^Node +0, zone +(\w+), type +(\w+) (.*)$/gm)) {
    (freeLists[m[1]!] ??= {})[m[2]!] = m[3]!.trim().split(/ +/).map(Number);
  }
  for (const m of rec["pagetypeinfo"]!.matchAll(/^Node +0, zone +(\w+) +([ \d]+)$/gm)) {
    const counts = m[2]!.trim().split(/ +/).map(Number);
    pageblocks[m[1]!] = Object.fromEntries(migratetype_names.map((type, i) => [type, counts[i]!]));
  }
  const cpus = (rec["zoneinfo"]!.match(/cpu: \d+/g) ?? []).map((s) => Number(s.slice(5)));
  return { cpus: Math.max(...cpus) + 1, zones, free_lists: freeLists, pageblocks, ...(cma ? { cma_pfn: cma } : {}) };
}

/** Every number as wide as it was printed: what is left is the format. */
export function shape(text: string): string {
  return text.replace(/( *)(\d+)/g, (_, spaces: string, n: string) =>
    spaces.length > 1 ? "#".repeat(spaces.length + n.length) : `${spaces}#`,
  );
}

const u64 = (bytes: Uint8Array): bigint => new DataView(bytes.buffer).getBigUint64(0, true);
const PFN_BITS = 55n;

/** What pagemap, kpageflags and kpagecount say of pages of the window, in the words of the recordings. */
export function pageLines(t: T, name: string, page: number, pages: number, numbered = false): string[] {
  const seen: bigint[] = [];
  const lines: string[] = [];
  for (let n = 0; n < pages; n++) {
    const addr = at(page + n);
    const pme = u64(t.kernel.pagemap_read(t.k, t.k.current.mm!, addr, addr + PAGE_SIZE));
    const pagemap = `pagemap ${(pme >> PFN_BITS).toString(16).padStart(3, "0")}`;
    if (pme >> 63n === 0n) {
      lines.push(`${name}[${n}] ${pagemap}`);
      continue;
    }
    const frame = pme & ((1n << PFN_BITS) - 1n);
    if (!seen.includes(frame)) seen.push(frame);
    const pfn = Number(frame);
    const flags = u64(t.kernel.kpageflags_read(t.k, pfn, pfn + 1)).toString(16);
    const count = u64(t.kernel.kpagecount_read(t.k, pfn, pfn + 1));
    const which = numbered ? `page ${seen.indexOf(frame)} ` : "";
    lines.push(`${name}[${n}] ${which}${pagemap} kpageflags ${flags} kpagecount ${count}`);
  }
  return lines;
}

/** What smaps says in a field of the VMAs that begin in these pages of the window, all together: KiB. */
export function smapsKib(t: T, field: string, page: number, pages: number, task: task_struct = t.k.current): number {
  let inside = false;
  let kib = 0;
  for (const line of t.kernel.smaps_text(t.k, task.mm!).split("\n")) {
    const head = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line);
    if (head !== null) {
      const start = parseInt(head[1]!, 16);
      inside = start >= at(page) && start < at(page + pages);
    } else if (inside && line.startsWith(`${field}:`)) {
      kib += parseInt(line.slice(field.length + 1), 10);
    }
  }
  return kib;
}

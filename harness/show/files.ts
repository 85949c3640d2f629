// SPDX-License-Identifier: GPL-2.0-only
/** The files of /proc that can be shown: as text, and some as the records that they are. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Extent } from "../output.js";
import type { KernelModule, Machine, Task } from "../replay/kernel.js";
import { list, summary, type MappedPage } from "./page-types.js";

/** What is shown: a machine, and one process of it. */
export interface Subject {
  readonly kernel: KernelModule;
  readonly k: Machine;
  readonly task: Task;
  /** The process's number in the recording. */
  readonly pid: number;
}

/** Page frames whose records are looked at in one go. */
const CHUNK = 1 << 18;
const RECORD = 8;

type ReadFrames = (k: Machine, from: number, to: number) => Uint8Array;

function* frameChunks(s: Subject, read: ReadFrames): Generator<Extent> {
  const end = s.kernel.max_dump_pfn(s.k);
  for (let pfn = 0; pfn < end; pfn += CHUNK) {
    yield { at: pfn * RECORD, bytes: read(s.k, pfn, Math.min(pfn + CHUNK, end)) };
  }
}

/** Each record of these bytes. */
function* records(bytes: Uint8Array): Generator<bigint> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += RECORD) yield view.getBigUint64(at, true);
}

/** Records of pagemap, VMA by VMA. */
function* pagemapChunks(s: Subject): Generator<Extent> {
  const { kernel, k, task } = s;
  for (const { start, end } of kernel.show_smaps(k, task.mm!)) {
    for (let at = start; at < end; at += CHUNK * PAGE_SIZE) {
      const bytes = kernel.pagemap_read(k, task.mm!, at, Math.min(at + CHUNK * PAGE_SIZE, end));
      yield { at: (at / PAGE_SIZE) * RECORD, bytes };
    }
  }
}

const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
const FRAME = (1n << 55n) - 1n;

function* mappedPages(s: Subject): Generator<MappedPage> {
  for (const { at, bytes } of pagemapChunks(s)) {
    let voffset = at / RECORD;
    for (const pme of records(bytes)) {
      const offset = Number(pme & FRAME);
      if (pme & PRESENT) {
        const [kpageflags] = records(s.kernel.kpageflags_read(s.k, offset, offset + 1));
        yield { voffset, offset, kpageflags: kpageflags!, pme };
      } else if (pme & SWAPPED) yield { voffset, offset, kpageflags: 0n, pme };
      voffset++;
    }
  }
}

function kpageflagsSummary(s: Subject): string {
  const count = new Map<bigint, number>();
  for (const { bytes } of frameChunks(s, s.kernel.kpageflags_read)) {
    for (const flags of records(bytes)) count.set(flags, (count.get(flags) ?? 0) + 1);
  }
  return summary(count);
}

/** Runs of page frames that are mapped equally often; those that are not mapped are left out. */
function kpagecountList(s: Subject): string {
  let out = "map-cnt\toffset\tlen\n";
  let run = { count: 0n, from: 0, len: 0 };
  const flush = (): void => {
    if (run.count > 0n) out += `${String(run.count)}\t${run.from.toString(16)}\t${run.len.toString(16)}\n`;
  };
  for (const { at, bytes } of frameChunks(s, s.kernel.kpagecount_read)) {
    let pfn = at / RECORD;
    for (const count of records(bytes)) {
      if (count === run.count) run.len++;
      else {
        flush();
        run = { count, from: pfn, len: 1 };
      }
      pfn++;
    }
  }
  flush();
  return out;
}

export interface ProcFile {
  /** Does it belong to a process? */
  readonly ofTask: boolean;
  readonly text: (s: Subject) => string;
  readonly binary?: (s: Subject) => Iterable<Extent>;
}

/** All that can be shown, by name. */
export const procFiles: ReadonlyMap<string, ProcFile> = new Map<string, ProcFile>([
  ["vmstat", { ofTask: false, text: (s) => s.kernel.vmstat_show(s.k) }],
  ["zoneinfo", { ofTask: false, text: (s) => s.kernel.zoneinfo_show(s.k) }],
  ["buddyinfo", { ofTask: false, text: (s) => s.kernel.frag_show(s.k) }],
  ["pagetypeinfo", { ofTask: false, text: (s) => s.kernel.pagetypeinfo_show(s.k) }],
  ["meminfo", { ofTask: false, text: (s) => s.kernel.meminfo_proc_show(s.k) }],
  ["kpageflags", { ofTask: false, text: kpageflagsSummary, binary: (s) => frameChunks(s, s.kernel.kpageflags_read) }],
  ["kpagecount", { ofTask: false, text: kpagecountList, binary: (s) => frameChunks(s, s.kernel.kpagecount_read) }],
  ["maps", { ofTask: true, text: (s) => s.kernel.show_map(s.task.mm!) }],
  ["smaps", { ofTask: true, text: (s) => s.kernel.smaps_text(s.k, s.task.mm!) }],
  ["pagemap", { ofTask: true, text: (s) => list(mappedPages(s)), binary: pagemapChunks }],
]);

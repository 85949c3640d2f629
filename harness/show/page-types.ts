// SPDX-License-Identifier: GPL-2.0-only
/** Pages in words, in the format of the kernel's tools/vm/page-types.c with -r. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import * as KPF from "../../uapi/kernel-page-flags.js";

const bit = (n: number): bigint => 1n << BigInt(n);

/** Bits that page-types has for itself. */
const ANON_EXCLUSIVE = 47;
const READAHEAD = 48;
const FILE = 61;
const SWAP = 62;
const MMAP_EXCLUSIVE = 63;

/** Letter and name of each bit; all stand in a line, whether pages can have them here or not. */
const names: readonly (readonly [number, string])[] = [
  [KPF.KPF_LOCKED, "L:locked"],
  [KPF.KPF_ERROR, "E:error"],
  [KPF.KPF_REFERENCED, "R:referenced"],
  [KPF.KPF_UPTODATE, "U:uptodate"],
  [KPF.KPF_DIRTY, "D:dirty"],
  [KPF.KPF_LRU, "l:lru"],
  [KPF.KPF_ACTIVE, "A:active"],
  [KPF.KPF_SLAB, "S:slab"],
  [KPF.KPF_WRITEBACK, "W:writeback"],
  [KPF.KPF_RECLAIM, "I:reclaim"],
  [KPF.KPF_BUDDY, "B:buddy"],
  [KPF.KPF_MMAP, "M:mmap"],
  [KPF.KPF_ANON, "a:anonymous"],
  [KPF.KPF_SWAPCACHE, "s:swapcache"],
  [KPF.KPF_SWAPBACKED, "b:swapbacked"],
  [KPF.KPF_COMPOUND_HEAD, "H:compound_head"],
  [KPF.KPF_COMPOUND_TAIL, "T:compound_tail"],
  [17, "G:huge"],
  [KPF.KPF_UNEVICTABLE, "u:unevictable"],
  [19, "X:hwpoison"],
  [20, "n:nopage"],
  [KPF.KPF_KSM, "x:ksm"],
  [KPF.KPF_THP, "t:thp"],
  [23, "o:offline"],
  [KPF.KPF_ZERO_PAGE, "z:zero_page"],
  [25, "i:idle_page"],
  [KPF.KPF_PGTABLE, "g:pgtable"],
  [KPF.KPF_RESERVED, "r:reserved"],
  [KPF.KPF_MLOCKED, "m:mlocked"],
  [KPF.KPF_MAPPEDTODISK, "d:mappedtodisk"],
  [KPF.KPF_PRIVATE, "P:private"],
  [36, "p:private_2"],
  [KPF.KPF_OWNER_PRIVATE, "O:owner_private"],
  [38, "h:arch"],
  [39, "c:uncached"],
  [40, "f:softdirty"],
  [41, "H:arch_2"],
  [ANON_EXCLUSIVE, "d:anon_exclusive"],
  [READAHEAD, "I:readahead"],
  [49, "P:slob_free"],
  [50, "A:slub_frozen"],
  [51, "E:slub_debug"],
  [FILE, "F:file"],
  [SWAP, "w:swap"],
  [MMAP_EXCLUSIVE, "1:mmap_exclusive"],
];

function shortFlags(flags: bigint): string {
  return names.map(([n, name]) => (flags & bit(n) ? name[0] : "_")).join("");
}

function longFlags(flags: bigint): string {
  return names
    .filter(([n]) => flags & bit(n))
    .map(([, name]) => name.slice(2))
    .join(",");
}

/** A page's flags with what two meanings of one bit, and its pagemap record, tell. */
function rawFlags(kpageflags: bigint, pme: bigint): bigint {
  let flags = kpageflags;
  const has = (n: number): boolean => (flags & bit(n)) !== 0n;
  if (has(KPF.KPF_ANON) && has(KPF.KPF_MAPPEDTODISK)) flags ^= bit(KPF.KPF_MAPPEDTODISK) | bit(ANON_EXCLUSIVE);
  if (has(KPF.KPF_RECLAIM) && !has(KPF.KPF_WRITEBACK)) flags ^= bit(KPF.KPF_RECLAIM) | bit(READAHEAD);
  if (pme & bit(61)) flags |= bit(FILE);
  if (pme & bit(62)) flags |= bit(SWAP);
  if (pme & bit(56)) flags |= bit(MMAP_EXCLUSIVE);
  return flags;
}

/** How many pages have which flags: `count` by a record of kpageflags. */
export function summary(count: ReadonlyMap<bigint, number>): string {
  const mib = (pages: number): string => String(Math.floor((pages * PAGE_SIZE) / 2 ** 20)).padStart(8);
  let total = 0;
  let out = `${"flags".padStart(18)}\tpage-count       MB  symbolic-flags\t\t\tlong-symbolic-flags\n`;
  const rows = [...count].map(([record, pages]): [bigint, number] => [rawFlags(record, 0n), pages]);
  for (const [flags, pages] of rows.sort(([a], [b]) => (a < b ? -1 : 1))) {
    total += pages;
    const hex = `0x${flags.toString(16).padStart(16, "0")}`;
    out += `${hex}\t${String(pages).padStart(10)} ${mib(pages)}  ${shortFlags(flags)}\t${longFlags(flags)}\n`;
  }
  return `${out}${"total".padStart(18)}\t${String(total).padStart(10)} ${mib(total)}\n`;
}

/** One page of an address space: both numbers count pages. */
export interface MappedPage {
  readonly voffset: number;
  readonly offset: number;
  readonly kpageflags: bigint;
  readonly pme: bigint;
}

/** Pages in runs that follow each other in both address spaces and have the same flags. */
export function list(pages: Iterable<MappedPage>): string {
  let out = "voffset\toffset\tlen\tflags\n";
  let run: { voffset: number; offset: number; len: number; flags: bigint } | undefined;
  const flush = (): void => {
    if (run === undefined) return;
    const { voffset, offset, len, flags } = run;
    out += `${voffset.toString(16)}\t${offset.toString(16)}\t${len.toString(16)}\t${shortFlags(flags)}\n`;
  };
  for (const { voffset, offset, kpageflags, pme } of pages) {
    const flags = rawFlags(kpageflags, pme);
    const next = run !== undefined && voffset === run.voffset + run.len && offset === run.offset + run.len;
    if (next && run?.flags === flags) {
      run.len++;
      continue;
    }
    flush();
    run = { voffset, offset, len: 1, flags };
  }
  flush();
  return out;
}

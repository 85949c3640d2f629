// SPDX-License-Identifier: GPL-2.0-only
/** /proc/PID/maps and smaps as text (fs/proc/task_mmu.c). */
import {
  compound_head,
  folio_nr_pages,
  page_mapcount,
  page_ref_count,
  PageAnon,
  PFN_SECTION_MASK,
} from "../../../include/linux/mem_map.js";
import { VM_LOCKED, VM_SHARED, VM_WRITE, vma_pages } from "../../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_SPECIAL,
  _PAGE_SWP,
  type mm_struct,
  type vm_area_struct,
} from "../../../include/linux/mm_types.js";
import { vma_pkey } from "../../../include/linux/mmu_context.js";
import { PG_dirty, PG_referenced, PG_swapbacked } from "../../../include/linux/page-flags.js";
import { PAGE_SIZE, PMD_SIZE } from "../../../include/linux/types.js";
import { vm_flags_test } from "../../../include/linux/vm_flags.js";
import type { Machine } from "../../../include/machine.js";
import { hugepage_vma_check } from "../../../mm/huge_memory/policy.js";
import { next_pmd } from "../../../mm/pagewalk.js";
import { pmd_index, pte_index, pte_present } from "../../../mm/pgtable.js";
import { shmem_file } from "../../../mm/shmem.js";
import { shmem_swap_usage, shmem_swapped_pages } from "../../../mm/shmem/swap.js";
import { __swap_count } from "../../../mm/swapfile.js";
import { perms, show_smap_vma_flags, vma_name } from "../task_mmu.js";

/** The column at which a name starts, as on a 64-bit kernel. */
const NAME_COLUMN = 73;
/** Device numbers, "major:minor": of the mount that memfds and shared memory are in, and of the root file system. */
const SHMEM_DEV = "00:01";
const ROOT_DEV = "00:02";
const PSS_SHIFT = 2 ** 12;

/** What is summed up of a VMA's pages: bytes; of the pss_… ones 4096ths of a byte. @kernel fs/proc/task_mmu.c:mem_size_stats */
const zero_stats = {
  resident: 0,
  shared_clean: 0,
  shared_dirty: 0,
  private_clean: 0,
  private_dirty: 0,
  referenced: 0,
  anonymous: 0,
  lazyfree: 0,
  anonymous_thp: 0,
  shmem_thp: 0,
  swap: 0,
  swap_pss: 0,
  pss: 0,
  pss_dirty: 0,
  pss_locked: 0,
};
type mem_size_stats = { -readonly [K in keyof typeof zero_stats]: number };

/** A present or migration entry that is looked at. */
interface mapped {
  readonly pfn: number;
  readonly compound: boolean;
  readonly flags: number;
  readonly locked: boolean;
}

/** @kernel fs/proc/task_mmu.c:smaps_page_accumulate @fidelity mirrored */
function smaps_page_accumulate(
  mss: mem_size_stats,
  e: mapped,
  size: number,
  pss: number,
  dirty: boolean,
  alone: boolean,
): void {
  mss.pss += pss;
  if (e.locked) mss.pss_locked += pss;
  if (dirty) mss.pss_dirty += pss;
  mss[`${alone ? "private" : "shared"}_${dirty ? "dirty" : "clean"}`] += size;
}

/** @kernel fs/proc/task_mmu.c:smaps_account @fidelity simplified: no idle-page tracking */
function smaps_account(k: Machine, mss: mem_size_stats, e: mapped): void {
  const { mem } = k;
  const head = compound_head(mem, e.pfn);
  const head_flags = mem.section(head).flags[head & PFN_SECTION_MASK]!;
  const nr = e.compound ? folio_nr_pages(mem, head) : 1;
  const size = nr * PAGE_SIZE;
  const migration = (e.flags & _PAGE_MIGRATION) !== 0;
  // What a migration entry remembers of accesses is for the page's next mapping.
  const bits = migration ? 0 : e.flags;
  const dirty = (bits & _PAGE_DIRTY) !== 0 || (head_flags & PG_dirty) !== 0;
  if (PageAnon(mem, e.pfn)) {
    mss.anonymous += size;
    if (!(head_flags & PG_swapbacked) && !dirty) mss.lazyfree += size;
  }
  mss.resident += size;
  if (bits & _PAGE_ACCESSED || head_flags & PG_referenced) mss.referenced += size;
  if (migration || page_ref_count(mem, head) === 1) {
    smaps_page_accumulate(mss, e, size, size * PSS_SHIFT, dirty, true);
    return;
  }
  for (let pfn = e.pfn; pfn < e.pfn + nr; pfn++) {
    const mapcount = page_mapcount(mem, pfn);
    const pss = Math.floor((PAGE_SIZE * PSS_SHIFT) / Math.max(mapcount, 1));
    smaps_page_accumulate(mss, e, PAGE_SIZE, pss, dirty, mapcount < 2);
  }
}

function pmd_entry(k: Machine, vma: vm_area_struct, key: number, mss: mem_size_stats, locked: boolean): void {
  const pmd = vma.vm_mm.pgd.huge.get(key)!;
  if (pmd.flags & _PAGE_SPECIAL && !(pmd.flags & _PAGE_MIGRATION)) return;
  mss[PageAnon(k.mem, pmd.pfn) ? "anonymous_thp" : "shmem_thp"] += PMD_SIZE;
  smaps_account(k, mss, { pfn: pmd.pfn, compound: true, flags: pmd.flags, locked });
}

function pte_entries(k: Machine, vma: vm_area_struct, key: number, mss: mem_size_stats, locked: boolean): void {
  const table = vma.vm_mm.pgd.pte.get(key)!;
  const base = key * PMD_SIZE;
  const last = Math.min(vma.vm_end - base, PMD_SIZE) / PAGE_SIZE;
  for (let i = Math.max(vma.vm_start - base, 0) / PAGE_SIZE; i < last; i++) {
    const flags = table.flags[i]!;
    if (flags === 0) continue;
    if (flags & _PAGE_SWP) {
      mss.swap += PAGE_SIZE;
      mss.swap_pss += Math.floor((PAGE_SIZE * PSS_SHIFT) / Math.max(__swap_count(k, table.pfn[i]!), 1));
    } else if (flags & _PAGE_MIGRATION || (pte_present(flags) && !(flags & _PAGE_SPECIAL))) {
      smaps_account(k, mss, { pfn: table.pfn[i]!, compound: false, flags, locked });
    }
  }
}

/** Is nothing in the way of a fault at an address: no entry, of either kind? */
function is_hole(vma: vm_area_struct, addr: number): boolean {
  const { pte, huge } = vma.vm_mm.pgd;
  const key = pmd_index(addr);
  return !huge.has(key) && (pte.get(key)?.flags[pte_index(addr)] ?? 0) === 0;
}

/**
 * Bytes of a shmem VMA whose pages the file has in swap. A private writable one may have others in their place.
 * @kernel fs/proc/task_mmu.c:smap_gather_stats, smaps_pte_hole
 */
function shmem_swap(vma: vm_area_struct): number {
  if (vm_flags_test(vma.vm_flags, VM_SHARED) || !vm_flags_test(vma.vm_flags, VM_WRITE)) return shmem_swap_usage(vma);
  let swap = 0;
  shmem_swapped_pages(vma.vm_file!.f_mapping, vma.vm_pgoff, vma.vm_pgoff + vma_pages(vma), (index) => {
    if (is_hole(vma, vma.vm_start + (index - vma.vm_pgoff) * PAGE_SIZE)) swap += PAGE_SIZE;
  });
  return swap;
}

/** @kernel fs/proc/task_mmu.c:smap_gather_stats @fidelity mirrored */
function smap_gather_stats(k: Machine, vma: vm_area_struct): mem_size_stats {
  const mss: mem_size_stats = { ...zero_stats };
  if (vma.vm_file !== null && shmem_file(vma.vm_file)) mss.swap = shmem_swap(vma);
  const locked = vm_flags_test(vma.vm_flags, VM_LOCKED);
  const { huge } = vma.vm_mm.pgd;
  const last = pmd_index(vma.vm_end - 1);
  for (
    let key = next_pmd(vma.vm_mm, pmd_index(vma.vm_start), last);
    key >= 0;
    key = next_pmd(vma.vm_mm, key + 1, last)
  ) {
    if (huge.has(key)) pmd_entry(k, vma, key, mss, locked);
    else pte_entries(k, vma, key, mss, locked);
    if (key === last) break;
  }
  return mss;
}

const hex = (n: number): string => n.toString(16).padStart(8, "0");

/**
 * One line of maps.
 * @kernel fs/proc/task_mmu.c:show_map_vma
 * @fidelity mirrored; devices and inodes have the model's own numbers
 */
function show_map_vma(vma: vm_area_struct): string {
  const file = vma.vm_file;
  const where =
    file === null
      ? "00000000 00:00 0"
      : `${hex(vma.vm_pgoff * PAGE_SIZE)} ${file.f_inode.shmem === null ? ROOT_DEV : SHMEM_DEV} ${file.f_inode.i_ino}`;
  const line = `${hex(vma.vm_start)}-${hex(vma.vm_end)} ${perms(vma)} ${where} `;
  const name = vma_name(vma.vm_mm, vma);
  return name === "" ? `${line}\n` : `${line.padEnd(NAME_COLUMN)}${name}\n`;
}

/** All VMAs of an address space, a line each. @kernel fs/proc/task_mmu.c:show_map @fidelity mirrored */
export function show_map(mm: mm_struct): string {
  let out = "";
  mm.mm_mt.forEach((vma) => {
    out += show_map_vma(vma);
  });
  return out;
}

/**
 * One VMA with all that smaps says of it.
 * @kernel fs/proc/task_mmu.c:show_smap, __show_smap
 * @fidelity simplified: huge pages of files other than shmem, and hugetlb, are none
 */
function show_smap(k: Machine, vma: vm_area_struct): string {
  const mss = smap_gather_stats(k, vma);
  const rows: readonly (readonly [string, number])[] = [
    ["Size", vma.vm_end - vma.vm_start],
    ["KernelPageSize", PAGE_SIZE],
    ["MMUPageSize", PAGE_SIZE],
    ["Rss", mss.resident],
    ["Pss", mss.pss / PSS_SHIFT],
    ["Pss_Dirty", mss.pss_dirty / PSS_SHIFT],
    ["Shared_Clean", mss.shared_clean],
    ["Shared_Dirty", mss.shared_dirty],
    ["Private_Clean", mss.private_clean],
    ["Private_Dirty", mss.private_dirty],
    ["Referenced", mss.referenced],
    ["Anonymous", mss.anonymous],
    ["LazyFree", mss.lazyfree],
    ["AnonHugePages", mss.anonymous_thp],
    ["ShmemPmdMapped", mss.shmem_thp],
    ["FilePmdMapped", 0],
    ["Shared_Hugetlb", 0],
    ["Private_Hugetlb", 0],
    ["Swap", mss.swap],
    ["SwapPss", mss.swap_pss / PSS_SHIFT],
    ["Locked", mss.pss_locked / PSS_SHIFT],
  ];
  let out = show_map_vma(vma);
  for (const [name, bytes] of rows) {
    const kib = Math.floor(bytes / 1024);
    out += `${`${name}:`.padEnd(16)}${String(kib).padStart(8)} kB\n`;
  }
  const eligible = hugepage_vma_check(k, vma, vma.vm_flags, { smaps: true, enforce_sysfs: true });
  out += `THPeligible:    ${eligible ? 1 : 0}\n`;
  if (k.arch.pkeys !== null) out += `ProtectionKey:  ${String(vma_pkey(k, vma)).padStart(8)}\n`;
  return `${out}VmFlags: ${show_smap_vma_flags(k, vma)
    .map((word) => `${word} `)
    .join("")}\n`;
}

/** All VMAs of an address space, with sizes, sharing and flags. @kernel fs/proc/task_mmu.c:show_smap @fidelity as show_smap */
export function smaps_text(k: Machine, mm: mm_struct): string {
  let out = "";
  mm.mm_mt.forEach((vma) => {
    out += show_smap(k, vma);
  });
  return out;
}

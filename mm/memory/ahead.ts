// SPDX-License-Identifier: GPL-2.0-only
/**
 * The short way of faults that come one right behind the other, of a caller that populates a range (FAULT_AHEAD_SHIFT): the
 * first is handled as any, and here those behind it at once, for which nothing is left to decide. The state is then what they
 * leave one by one.
 */
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { page_ref_count, PFN_SECTION_MASK, PFN_SECTION_SHIFT } from "../../include/linux/mem_map.js";
import { VM_LOCKED } from "../../include/linux/mm.js";
import {
  FAULT_AHEAD_SHIFT,
  MM_ANONPAGES,
  MM_SHMEMPAGES,
  VM_FAULT_COMPLETED,
  type vm_fault,
  type vm_fault_t,
} from "../../include/linux/mm_types.js";
import { PG_dirty, PG_lru, PG_swapbacked, PG_uptodate } from "../../include/linux/page-flags.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { NR_ANON_MAPPED, NR_FILE_MAPPED, NR_FILE_PAGES, NR_SHMEM, PGFAULT } from "../../include/linux/vmstat.js";
import { type Machine, nobody } from "../../include/machine.js";
import { pcpSource, takePages } from "../page_alloc/ahead.js";
import { pte_none } from "../pgtable.js";
import { shmem_inode_acct_block, shmem_recalc_inode, shmem_vm_ops } from "../shmem.js";
import { folioAddLruAll, lru_add_drain } from "../swap.js";
import { lruvecAddAll } from "../swap/lruvec.js";
import { count_vm_events } from "../vmstat.js";

/** Pages that the caller of this fault will want behind its own; none where somebody could look on between them. */
function wanted(k: Machine, vmf: vm_fault): number {
  if (!k.shortWays.populate || k.hooks.yieldPoint !== nobody || vm_flags_test(vmf.vma.vm_flags, VM_LOCKED)) return 0;
  return vmf.flags >>> FAULT_AHEAD_SHIFT;
}

/** How many entries right behind the faulting one are empty, up to `most`. */
function emptyBehind(vmf: vm_fault, most: number): number {
  let n = 0;
  while (n < most && pte_none(vmf.table!, vmf.ptei + n + 1)) n++;
  return n;
}

/** Makes each of the `n` pages behind the faulting one what that one is, one offset further, with `refs` references. */
function likeFirst(k: Machine, vmf: vm_fault, n: number, refs: number): void {
  const { sections } = k.mem;
  const { ptei } = vmf;
  const { pfn: pages, flags: entries } = vmf.table!;
  const first = k.mem.section(pages[ptei]!);
  const at = pages[ptei]! & PFN_SECTION_MASK;
  const flags = first.flags[at]! & ~PG_lru;
  const owner = first.mapping[at]!;
  const index = first.index[at]!;
  const content = first.content[at]!;
  for (let j = 1; j <= n;) {
    const nr = pages[ptei + j]! >>> PFN_SECTION_SHIFT;
    const s = sections[nr]!;
    for (; j <= n && pages[ptei + j]! >>> PFN_SECTION_SHIFT === nr; j++) {
      const i = pages[ptei + j]! & PFN_SECTION_MASK;
      s.flags[i] = flags;
      s.setRefs(i, refs);
      s.setMaps(i, 1);
      s.setMapping(i, owner);
      s.index[i] = index + j;
      s.content[i] = content;
    }
  }
  entries.fill(entries[ptei]!, ptei + 1, ptei + 1 + n);
  vmf.table!.note_range(ptei + 1, ptei + 1 + n, k.calls.now);
}

/** Is a page of a shmem file as it is after the write fault that made it? */
function isNew(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const flags = PG_uptodate | PG_dirty | PG_swapbacked;
  return (s.flags[i]! & ~PG_lru) === flags && s.mapcount[i] === 1 && s.content[i] === 0;
}

/** Does the batch of new pages hold one that nothing else does? It is free, and the next to be had, once the batch is full. */
function batchFrees(k: Machine): boolean {
  const { lru_add } = k.fbatches[k.cpu]!;
  for (let b = 0; b < lru_add.length; b++) if (page_ref_count(k.mem, lru_add[b]!) === 1) return true;
  return false;
}

/** Goes on behind a write fault that gave an anonymous VMA a new page. */
export function anonAhead(k: Machine, vmf: vm_fault): void {
  const most = wanted(k, vmf);
  if (most === 0 || batchFrees(k)) return;
  const from = pcpSource(k, GFP_HIGHUSER_MOVABLE | __GFP_ZERO);
  if (from === null) return;
  const n = emptyBehind(vmf, Math.min(most, from.list.nr));
  takePages(k, from, n, vmf.table!.pfn, vmf.ptei + 1);
  likeFirst(k, vmf, n, 1);
  folioAddLruAll(k, from.zone, vmf.table!.pfn, vmf.ptei + 1, n);
  count_vm_events(k, PGFAULT, n);
  vmf.vma.vm_mm.rss_stat[MM_ANONPAGES]! += n;
  k.nodes[0]!.vm_stat[NR_ANON_MAPPED]! += n;
}

/** Goes on behind a write fault that gave a shared mapping a page of a shmem file, and ended with `ret`. */
export function shmemAhead(k: Machine, vmf: vm_fault, ret: vm_fault_t): void {
  const most = wanted(k, vmf);
  const { vma, pgoff } = vmf;
  if (most === 0 || vma.vm_ops !== shmem_vm_ops || vma.vm_userfaultfd_ctx !== null) return;
  if (!isNew(k, vmf.table!.pfn[vmf.ptei]!)) return;
  const host = vma.vm_file!.f_inode;
  const info = host.shmem!;
  const cache = host.i_mapping.i_pages;
  if (info.falloc !== null || host.i_mapping.unevictable || (k.config.shmem_enabled ?? "never") !== "never") return;
  const dropped = (ret & VM_FAULT_COMPLETED) !== 0;
  if (dropped) lru_add_drain(k);
  const from = batchFrees(k) ? null : pcpSource(k, GFP_HIGHUSER_MOVABLE);
  if (from === null) return;
  const in_file = Math.ceil(host.i_size / PAGE_SIZE) - 1 - pgoff;
  const n = emptyBehind(vmf, Math.min(most, from.list.nr, in_file, cache.vacantBehind(pgoff)));
  if (n <= 0 || !shmem_inode_acct_block(k, info, n)) return;
  takePages(k, from, n, vmf.table!.pfn, vmf.ptei + 1);
  likeFirst(k, vmf, n, 2);
  cache.storeBehind(pgoff, vmf.table!.pfn, vmf.ptei + 1, n, k.calls.now);
  const add = dropped ? lruvecAddAll : folioAddLruAll;
  add(k, from.zone, vmf.table!.pfn, vmf.ptei + 1, n);
  count_vm_events(k, PGFAULT, n);
  host.i_mapping.nrpages += n;
  info.alloced += n;
  shmem_recalc_inode(k, host);
  vma.vm_mm.rss_stat[MM_SHMEMPAGES]! += n;
  const stat = k.nodes[0]!.vm_stat;
  stat[NR_FILE_PAGES]! += n;
  stat[NR_SHMEM]! += n;
  stat[NR_FILE_MAPPED]! += n;
}

// SPDX-License-Identifier: GPL-2.0-only
/** Huge pages: how they count their huge entries, what they are counted in, and the queue of those to be split. */
import {
  compound_mapcount,
  compound_order,
  page_mapcount,
  page_ref_count,
  page_test,
  page_zone,
  PageAnon,
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
} from "../../include/linux/mem_map.js";
import { _PAGE_MIGRATION, _PAGE_SPECIAL, type mm_struct } from "../../include/linux/mm_types.js";
import { PG_double_map, PG_head, PG_slab } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PMD_SIZE } from "../../include/linux/types.js";
import { NR_ANON_THPS, NR_SHMEM_PMDMAPPED, NR_SHMEM_THPS } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { thp_state_of } from "../../mm/huge_memory/deferred.js";
import type { Complaints, Ledger } from "./ledger.js";

/** One address space's huge entries; `counterOf` says which counter of rss a page is in. */
export function countHuge(
  ledger: Ledger,
  bad: Complaints,
  mm: mm_struct,
  rss: number[],
  counterOf: (pfn: number) => number,
): void {
  for (const [key, pmd] of mm.pgd.huge) {
    const addr = key * PMD_SIZE;
    const vma = mm.mm_mt.find(addr);
    const inside = vma !== undefined && vma.vm_start <= addr && vma.vm_end >= addr + PMD_SIZE;
    bad.unless(inside, () => `huge entry at 0x${addr.toString(16)} does not lie in one VMA`);
    bad.unless(!mm.pgd.pte.has(key), () => `0x${addr.toString(16)} has a huge entry and a table`);
    if (pmd.deposit !== 0) ledger.ref(pmd.deposit);
    if (pmd.flags & _PAGE_MIGRATION) {
      rss[counterOf(pmd.pfn)]! += HPAGE_PMD_NR;
    } else if (!(pmd.flags & _PAGE_SPECIAL)) {
      ledger.mapHuge(pmd.pfn);
      rss[counterOf(pmd.pfn)]! += HPAGE_PMD_NR;
    }
  }
}

/** What each part of a huge page counts besides its small entries: see PG_double_map. */
function addToParts(k: Machine, ledger: Ledger, head: number, mapped: number): void {
  const extra = PageAnon(k.mem, head) ? (page_test(k.mem, head, PG_double_map) ? 1 : 0) : mapped;
  if (extra === 0) return;
  const { maps } = ledger.section(head >>> PFN_SECTION_SHIFT);
  const i = head & PFN_SECTION_MASK;
  for (let n = i; n < i + HPAGE_PMD_NR; n++) maps[n]! += extra;
}

/** Every huge page that exists: its counts of huge entries, and the sums over all. */
export function checkHuge(k: Machine, ledger: Ledger, bad: Complaints): void {
  const sums = k.nodes.map(() => ({ anon: 0, file: 0, shmem: 0 }));
  k.mem.sections.forEach((s, nr) => {
    if (s === undefined) return;
    for (let i = 0; i < s.flags.length; i += HPAGE_PMD_NR) {
      if (!(s.flags[i]! & PG_head) || s.flags[i]! & PG_slab || s.private_[i] !== HPAGE_PMD_ORDER) continue;
      const head = (nr << PFN_SECTION_SHIFT) + i;
      const mapped = ledger.huge.get(head) ?? 0;
      const kept = compound_mapcount(k.mem, head);
      bad.unless(
        kept === mapped,
        () => `huge page ${String(head)}: ${String(mapped)} huge entries, counts ${String(kept)}`,
      );
      addToParts(k, ledger, head, mapped);
      const sum = sums[page_zone(k.mem, head).node]!;
      const owner = k.mem.owners[s.mapping[i]!];
      if (owner !== undefined && !owner.is_anon) sum.shmem += HPAGE_PMD_NR;
      if (mapped > 0) sum[PageAnon(k.mem, head) ? "anon" : "file"] += HPAGE_PMD_NR;
    }
  });
  k.nodes.forEach((node, n) => {
    const counted = [
      ["nr_anon_transparent_hugepages", NR_ANON_THPS, sums[n]!.anon],
      ["nr_shmem_pmdmapped", NR_SHMEM_PMDMAPPED, sums[n]!.file],
      ["nr_shmem_hugepages", NR_SHMEM_THPS, sums[n]!.shmem],
    ] as const;
    for (const [name, item, is] of counted) {
      bad.unless(node.vm_stat[item] === is, () => `${name} is ${String(node.vm_stat[item])}, not ${String(is)}`);
    }
  });
  for (const head of ledger.huge.keys()) {
    const huge = compound_order(k.mem, head) === HPAGE_PMD_ORDER;
    bad.unless(huge, () => `a huge entry maps page ${String(head)}, which is not a huge page`);
  }
}

/** The queue of pages to be split, and the huge zero page's reference to itself. */
export function checkDeferred(k: Machine, ledger: Ledger, bad: Complaints): void {
  const { split_queue, huge_zero_pfn, huge_zero_refcount } = thp_state_of(k);
  for (const head of split_queue) {
    const alive = compound_order(k.mem, head) === HPAGE_PMD_ORDER && page_ref_count(k.mem, head) > 0;
    bad.unless(alive, () => `page ${String(head)} waits to be split, but is no huge page in use`);
  }
  bad.unless(huge_zero_pfn === 0 || huge_zero_refcount > 0, () => "the huge zero page has no references");
  if (huge_zero_pfn === 0) return;
  ledger.ref(huge_zero_pfn);
  bad.unless(page_mapcount(k.mem, huge_zero_pfn) === 0, () => "the huge zero page counts its mappings");
}

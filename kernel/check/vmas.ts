// SPDX-License-Identifier: GPL-2.0-only
/** Address spaces: the VMA tree and its sums, anon_vmas and i_mmap linked both ways, page tables and rss. */
import { vfio_locked_vm } from "../../drivers/vfio/container.js";
import type { address_space } from "../../include/linux/fs.js";
import { VM_ACCOUNT, VM_LOCKED, VM_MAYWRITE, VM_NORESERVE, VM_SHARED, vma_pages } from "../../include/linux/mm.js";
import {
  _PAGE_MIGRATION,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_SPECIAL,
  _PAGE_SWP,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  NR_MM_COUNTERS,
  type anon_vma,
  type mm_struct,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { PG_swapbacked } from "../../include/linux/page-flags.js";
import { PageAnon, page_test } from "../../include/linux/mem_map.js";
import { swap_state_of } from "../../include/linux/swap.js";
import { non_swap_entry } from "../../include/linux/swapops.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_all, vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { countHuge } from "./huge.js";
import type { Complaints, Ledger } from "./ledger.js";

const VM_SHARED_MAYWRITE = vm_flags_or(VM_SHARED, VM_MAYWRITE);

/** Address spaces of the tasks, each once. */
export function liveMms(k: Machine): Map<mm_struct, number> {
  const users = new Map<mm_struct, number>();
  for (const { mm } of k.tasks.values()) if (mm !== null) users.set(mm, (users.get(mm) ?? 0) + 1);
  return users;
}

function at(vma: vm_area_struct): string {
  return `VMA 0x${vma.vm_start.toString(16)}-0x${vma.vm_end.toString(16)}`;
}

/** All that the VMAs of the machine say together. */
export class VmaSums {
  readonly vmas = new Set<vm_area_struct>();
  readonly anonVmas = new Set<anon_vma>();
  readonly mappings = new Map<address_space, number>();
  accounted = 0;
}

function checkAnon(bad: Complaints, vma: vm_area_struct, sums: VmaSums): void {
  for (const avc of vma.anon_vma_chain) {
    bad.unless(avc.vma === vma, () => `${at(vma)}: its anon_vma_chain names another VMA`);
    bad.unless(avc.anon_vma.rb_root.has(avc), () => `${at(vma)}: its anon_vma does not know it`);
    sums.anonVmas.add(avc.anon_vma);
  }
  const own = vma.anon_vma;
  if (own === null) return;
  bad.unless(
    vma.anon_vma_chain.some((avc) => avc.anon_vma === own),
    () => `${at(vma)}: its anon_vma is not on its chain`,
  );
}

function checkVma(bad: Complaints, mm: mm_struct, vma: vm_area_struct, sums: VmaSums): void {
  sums.vmas.add(vma);
  bad.unless(vma.vm_mm === mm, () => `${at(vma)} belongs to another address space`);
  const aligned = vma.vm_start % PAGE_SIZE === 0 && vma.vm_end % PAGE_SIZE === 0 && vma.vm_start < vma.vm_end;
  bad.unless(aligned && vma.vm_end <= mm.task_size, () => `${at(vma)} is no range of pages of the address space`);
  if (vm_flags_test(vma.vm_flags, VM_ACCOUNT)) sums.accounted += vma_pages(vma);
  checkAnon(bad, vma, sums);
  if (vma.vm_file === null) return;
  const mapping = vma.vm_file.f_mapping;
  bad.unless(mapping.i_mmap.has(vma), () => `${at(vma)} is not in its file's i_mmap`);
  const writable = vm_flags_all(vma.vm_flags, VM_SHARED_MAYWRITE) ? 1 : 0;
  sums.mappings.set(mapping, (sums.mappings.get(mapping) ?? 0) + writable);
}

/** One address space: its tree, and the figures that it keeps of it. */
export function checkMm(k: Machine, bad: Complaints, mm: mm_struct, users: number, sums: VmaSums): void {
  const broken = mm.mm_mt.validate();
  bad.unless(broken === undefined, () => `VMA tree: ${broken ?? ""}`);
  let count = 0;
  let total = 0;
  let locked = vfio_locked_vm(k, mm);
  for (const vma of mm.mm_mt) {
    count++;
    total += vma_pages(vma);
    if (vm_flags_test(vma.vm_flags, VM_LOCKED)) locked += vma_pages(vma);
    checkVma(bad, mm, vma, sums);
  }
  const figures = {
    map_count: [mm.map_count, count],
    total_vm: [mm.total_vm, total],
    locked_vm: [mm.locked_vm, locked],
  };
  for (const [name, [kept, is]] of Object.entries(figures)) {
    bad.unless(kept === is, () => `${name} is ${String(kept)}, the VMAs make ${String(is)}`);
  }
  bad.unless(mm.mm_users >= users, () => `mm_users is ${String(mm.mm_users)}, tasks are ${String(users)}`);
  bad.unless(mm.mmap_lock.readers === 0 && !mm.mmap_lock.writer, () => "mmap_lock is held");
}

/** Both ways of every link between VMAs, anon_vmas and files. */
export function checkLinks(k: Machine, bad: Complaints, sums: VmaSums): void {
  const active = new Map<anon_vma, number>();
  for (const vma of sums.vmas) if (vma.anon_vma !== null) active.set(vma.anon_vma, (active.get(vma.anon_vma) ?? 0) + 1);
  for (const av of sums.anonVmas) {
    const n = active.get(av) ?? 0;
    bad.unless(
      av.num_active_vmas === n,
      () => `num_active_vmas is ${String(av.num_active_vmas)}, VMAs are ${String(n)}`,
    );
    for (const avc of av.rb_root) {
      const known = sums.vmas.has(avc.vma) && avc.vma.anon_vma_chain.includes(avc);
      bad.unless(known, () => "an anon_vma names a VMA that is gone");
    }
  }
  for (const owner of k.mem.owners) {
    if (owner === undefined || owner.is_anon) continue;
    const mapping = owner as address_space;
    for (const vma of mapping.i_mmap) bad.unless(sums.vmas.has(vma), () => "an i_mmap names a VMA that is gone");
    const writable = sums.mappings.get(mapping) ?? 0;
    const kept = mapping.i_mmap_writable;
    bad.unless(
      kept === writable || (kept < 0 && writable === 0),
      () => `i_mmap_writable is ${String(kept)}, not ${String(writable)}`,
    );
  }
}

/** Pages promised to VMAs and to shmem files, against vm_committed_as. */
export function checkCommitted(k: Machine, bad: Complaints, sums: VmaSums): void {
  let promised = sums.accounted + swap_state_of(k).lost_promises;
  for (const owner of k.mem.owners) {
    if (owner === undefined || owner.is_anon) continue;
    const { shmem, i_size } = (owner as address_space).host;
    if (shmem === null) continue;
    promised += vm_flags_test(shmem.flags, VM_NORESERVE) ? shmem.alloced : Math.ceil(i_size / PAGE_SIZE);
  }
  bad.unless(
    k.vm_committed_as === promised,
    () => `vm_committed_as is ${String(k.vm_committed_as)}, promised are ${String(promised)}`,
  );
}

/** Which of the mm's counters a mapped page is in. @kernel include/linux/mm.h:mm_counter */
function mm_counter(k: Machine, pfn: number): number {
  if (PageAnon(k.mem, pfn)) return MM_ANONPAGES;
  return page_test(k.mem, pfn, PG_swapbacked) ? MM_SHMEMPAGES : MM_FILEPAGES;
}

function countTable(
  k: Machine,
  ledger: Ledger,
  bad: Complaints,
  mm: mm_struct,
  key: number,
  t: pte_table,
  rss: number[],
): void {
  for (let i = 0; i < t.flags.length; i++) {
    const flags = t.flags[i]!;
    const pfn = t.pfn[i]!;
    if (flags === 0 && pfn === 0) continue;
    const addr = key * PMD_SIZE + i * PAGE_SIZE;
    const vma = mm.mm_mt.find(addr);
    bad.unless(vma !== undefined && vma.vm_start <= addr, () => `entry at 0x${addr.toString(16)} lies in no VMA`);
    if (flags & _PAGE_SWP) {
      if (non_swap_entry(pfn)) continue;
      rss[MM_SWAPENTS]!++;
      ledger.swap(pfn);
    }
    if (flags & _PAGE_MIGRATION) rss[mm_counter(k, pfn)]!++;
    else if (flags & (_PAGE_PRESENT | _PAGE_PROTNONE) && !(flags & _PAGE_SPECIAL)) {
      ledger.map(pfn);
      rss[mm_counter(k, pfn)]!++;
    }
  }
}

/** Page tables: what they map, the pages that they stand in, and rss. */
export function checkPageTables(k: Machine, ledger: Ledger, bad: Complaints, mm: mm_struct): void {
  const rss = new Array<number>(NR_MM_COUNTERS).fill(0);
  for (const [key, table] of mm.pgd.pte) {
    ledger.ref(table.page);
    countTable(k, ledger, bad, mm, key, table, rss);
  }
  countHuge(ledger, bad, mm, rss, (pfn) => mm_counter(k, pfn));
  if (mm.pgd.page !== 0) ledger.ref(mm.pgd.page);
  for (const page of mm.pgd.pud.values()) ledger.ref(page);
  for (const page of mm.pgd.pmd.values()) ledger.ref(page);
  bad.unless(
    rss.every((n, i) => n === mm.rss_stat[i]),
    () => `rss is ${mm.rss_stat.join("/")}, page tables make ${rss.join("/")}`,
  );
}

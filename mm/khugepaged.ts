// SPDX-License-Identifier: GPL-2.0-only
/**
 * khugepaged, which makes huge pages of small ones where it finds that worth while, and MADV_COLLAPSE, which does so when
 * told to (mm/khugepaged.c). The work on anonymous memory is in khugepaged/anon.ts, on files in khugepaged/file.ts.
 */
import { fput, get_file } from "../fs/file_table.js";
import { VM_BUG_ON } from "../include/linux/bug.js";
import { linear_page_index, vma_is_anonymous } from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import {
  mmap_assert_locked,
  mmap_read_lock,
  mmap_read_trylock,
  mmap_read_unlock,
  mmap_write_lock,
  mmap_write_unlock,
} from "../include/linux/mmap_lock.js";
import { MIGRATE_PCPTYPES, pageblock_nr_pages, ZONE_NORMAL } from "../include/linux/mmzone.js";
import { task_struct } from "../include/linux/sched.js";
import { MMF_VM_HUGEPAGE } from "../include/linux/sched/coredump.js";
import { HPAGE_PMD_NR, PMD_SIZE } from "../include/linux/types.js";
import type { vm_flags_t } from "../include/linux/vm_flags.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import { EINVAL } from "../uapi/errno.js";
import { hugepage_flags_enabled, hugepage_vma_check } from "./huge_memory/policy.js";
import { hpage_collapse_scan_pmd } from "./khugepaged/anon.js";
import {
  collapse_control,
  find_pmd_or_thp_or_none,
  hugepage_vma_revalidate,
  madvise_collapse_errno,
  type mmap_locked,
  type scan_result,
} from "./khugepaged/control.js";
import { collapse_pte_mapped_thp, hpage_collapse_scan_file } from "./khugepaged/file.js";
import { find_vma } from "./mmap.js";
import { calculate_min_free_kbytes, nr_free_buffer_pages, setup_per_zone_wmarks } from "./page_alloc/setup.js";
import { lru_add_drain_all } from "./swap.js";

const SUBSYS = "mm/khugepaged.c";
/** Addresses that one address space remembers at most. @kernel MAX_PTE_MAPPED_THP */
const MAX_PTE_MAPPED_THP = 8;

/** An address space on khugepaged's list. @kernel mm/khugepaged.c:khugepaged_mm_slot */
class khugepaged_mm_slot {
  readonly mm: mm_struct;
  /** Where a file's huge page waits for its small entries to go. */
  pte_mapped_thp: number[] = [];
  constructor(mm: mm_struct) {
    this.mm = mm;
  }
}

/** What khugepaged keeps. @kernel mm/khugepaged.c:khugepaged_scan */
class khugepaged_state {
  slots: khugepaged_mm_slot[] = [];
  /** The one being scanned, null at the start of a round. */
  mm_slot: khugepaged_mm_slot | null = null;
  /** Where in it the scan goes on. */
  address = 0;
  pages_collapsed = 0;
  full_scans = 0;
  /** The kernel thread, once it has run. */
  task: task_struct | null = null;
}

function state_of(k: Machine): khugepaged_state {
  return subsys_state(k, SUBSYS, () => new khugepaged_state());
}

/**
 * Raises vm.min_free_kbytes to what lets the allocator keep pageblocks of one type while there are huge pages.
 * @kernel mm/khugepaged.c:set_recommended_min_free_kbytes
 * @fidelity mirrored
 */
export function set_recommended_min_free_kbytes(k: Machine): void {
  if (hugepage_flags_enabled(k)) {
    const nr_zones = k.zones.filter((z) => z.idx <= ZONE_NORMAL && z.present_pages > 0).length;
    const wanted = pageblock_nr_pages * nr_zones * (2 + MIGRATE_PCPTYPES * MIGRATE_PCPTYPES);
    const recommended_min = Math.min(wanted, Math.floor(nr_free_buffer_pages(k) / 20)) * 4;
    k.min_free_kbytes = Math.max(k.min_free_kbytes, recommended_min);
  } else calculate_min_free_kbytes(k);
  setup_per_zone_wmarks(k);
}

/**
 * Writes /sys/kernel/mm/transparent_hugepage/enabled.
 * @kernel mm/huge_memory.c:enabled_store
 * @fidelity mirrored
 */
export function enabled_store(k: Machine, value: NonNullable<Machine["config"]["thp_enabled"]>): void {
  k.config.thp_enabled = value;
  set_recommended_min_free_kbytes(k);
}

/** Puts an address space on the list. @kernel mm/khugepaged.c:__khugepaged_enter @fidelity mirrored */
export function __khugepaged_enter(k: Machine, mm: mm_struct): void {
  if (mm.flags & MMF_VM_HUGEPAGE) return;
  mm.flags |= MMF_VM_HUGEPAGE;
  state_of(k).slots.push(new khugepaged_mm_slot(mm));
}

/** Puts a child on the list if its parent is. @kernel include/linux/khugepaged.h:khugepaged_fork @fidelity mirrored */
export function khugepaged_fork(k: Machine, mm: mm_struct, oldmm: mm_struct): void {
  if (oldmm.flags & MMF_VM_HUGEPAGE) __khugepaged_enter(k, mm);
}

/** Takes an address space that ends off the list. @kernel mm/khugepaged.c:__khugepaged_exit @fidelity mirrored */
export function khugepaged_exit(k: Machine, mm: mm_struct): void {
  if (!(mm.flags & MMF_VM_HUGEPAGE)) return;
  const state = state_of(k);
  state.slots = state.slots.filter((slot) => slot.mm !== mm);
  if (state.mm_slot?.mm !== mm) return;
  state.mm_slot = null;
  state.address = 0;
}

/**
 * Puts an address space on khugepaged's list when one of its VMAs can hold huge pages.
 * @kernel mm/khugepaged.c:khugepaged_enter_vma
 * @fidelity mirrored
 */
export function khugepaged_enter_vma(k: Machine, vma: vm_area_struct, flags: vm_flags_t): void {
  if (vma.vm_mm.flags & MMF_VM_HUGEPAGE || !hugepage_flags_enabled(k)) return;
  if (hugepage_vma_check(k, vma, flags, { enforce_sysfs: true })) __khugepaged_enter(k, vma.vm_mm);
}

/** Remembers where a file's huge page is still mapped by small entries. @kernel khugepaged_add_pte_mapped_thp */
export function khugepaged_add_pte_mapped_thp(k: Machine, mm: mm_struct, addr: number): boolean {
  const slot = state_of(k).slots.find((s) => s.mm === mm);
  if (slot === undefined || slot.pte_mapped_thp.length >= MAX_PTE_MAPPED_THP) return false;
  slot.pte_mapped_thp.push(addr);
  return true;
}

/** Takes the small entries of files' huge pages away, so that faults bring huge ones. */
function khugepaged_collapse_pte_mapped_thps(k: Machine, slot: khugepaged_mm_slot): void {
  if (slot.pte_mapped_thp.length === 0) return;
  const addresses = slot.pte_mapped_thp;
  slot.pte_mapped_thp = [];
  mmap_write_lock(slot.mm);
  for (const addr of addresses) collapse_pte_mapped_thp(k, slot.mm, addr, false);
  mmap_write_unlock(slot.mm);
}

/** Scans the 2 MiB at an address of a VMA; with `lock`, mmap_lock is held for reading and may be dropped. */
function scan_one(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  lock: mmap_locked,
  cc: collapse_control,
): scan_result {
  const mm = vma.vm_mm;
  if (vma_is_anonymous(vma)) return hpage_collapse_scan_pmd(k, mm, address, lock, cc);
  const file = get_file(vma.vm_file!);
  const pgoff = linear_page_index(vma, address);
  mmap_read_unlock(mm);
  lock.locked = false;
  const result = hpage_collapse_scan_file(k, mm, address, file, pgoff, cc);
  fput(k, file);
  return result;
}

/** Is the whole of an address space scanned, or is there more of it? */
interface slot_progress {
  progress: number;
  whole: boolean;
  result: scan_result;
}

/** One 2 MiB of the scan is done: what counts as collapsed, also where only its small entries are still to go. */
function note_result(k: Machine, state: khugepaged_state, mm: mm_struct, result: scan_result): scan_result {
  let now = result;
  if (result === "pte_mapped_hugepage") {
    now = find_pmd_or_thp_or_none(mm, state.address);
    if (now !== "succeed" || !khugepaged_add_pte_mapped_thp(k, mm, state.address)) return now;
  }
  if (now === "succeed") state.pages_collapsed++;
  return now;
}

/** Scans on through one VMA. True: enough for now, or mmap_lock was dropped. */
function scan_vma(
  k: Machine,
  state: khugepaged_state,
  vma: vm_area_struct,
  pages: number,
  p: slot_progress,
  lock: mmap_locked,
  cc: collapse_control,
): boolean {
  const mm = vma.vm_mm;
  const hstart = Math.ceil(vma.vm_start / PMD_SIZE) * PMD_SIZE;
  const hend = Math.floor(vma.vm_end / PMD_SIZE) * PMD_SIZE;
  const skip = !hugepage_vma_check(k, vma, vma.vm_flags, { enforce_sysfs: true }) || state.address > hend;
  if (skip) {
    p.progress++;
    return false;
  }
  if (state.address < hstart) state.address = hstart;
  while (state.address < hend) {
    if (mm.mm_users === 0) return true;
    p.result = note_result(k, state, mm, scan_one(k, vma, state.address, lock, cc));
    state.address += PMD_SIZE;
    p.progress += HPAGE_PMD_NR;
    if (!lock.locked || p.progress >= pages) return true;
  }
  return false;
}

/**
 * Scans the address space whose turn it is, from where the last scan ended, up to so many entries.
 * @kernel mm/khugepaged.c:khugepaged_scan_mm_slot
 * @fidelity mirrored
 */
function khugepaged_scan_mm_slot(
  k: Machine,
  state: khugepaged_state,
  pages: number,
  cc: collapse_control,
): slot_progress {
  if (state.mm_slot === null) {
    state.mm_slot = state.slots[0]!;
    state.address = 0;
  }
  const slot = state.mm_slot;
  const { mm } = slot;
  khugepaged_collapse_pte_mapped_thps(k, slot);
  const p: slot_progress = { progress: 0, whole: true, result: "fail" };
  if (mmap_read_trylock(mm)) {
    const lock: mmap_locked = { locked: true };
    p.progress++;
    for (let vma = find_vma(mm, state.address); vma !== undefined; vma = find_vma(mm, vma.vm_end)) {
      if (!scan_vma(k, state, vma, pages, p, lock, cc)) continue;
      p.whole = false;
      break;
    }
    if (lock.locked) mmap_read_unlock(mm);
  }
  if (state.mm_slot === slot && (p.whole || mm.mm_users === 0)) {
    const next = state.slots[state.slots.indexOf(slot) + 1];
    state.mm_slot = next ?? null;
    state.address = 0;
    if (next === undefined) state.full_scans++;
  }
  return p;
}

/**
 * One waking of khugepaged: scans up to khugepaged_pages_to_scan entries, as the kernel thread. Between two wakings the
 * kernel sleeps 10 s.
 * @kernel mm/khugepaged.c:khugepaged_do_scan
 * @fidelity simplified: after a failed allocation it does not sleep before the second attempt
 * @returns huge pages collapsed since boot
 */
export function khugepaged_do_scan(k: Machine): number {
  const state = state_of(k);
  if (!hugepage_flags_enabled(k)) return state.pages_collapsed;
  const running = k.current;
  k.current = state.task ??= new task_struct(k.next_pid++, 0, "khugepaged", null);
  const pages = k.config.khugepaged_pages_to_scan ?? HPAGE_PMD_NR * 8;
  const cc = new collapse_control(true);
  let pass_through_head = 0;
  let wait = true;
  lru_add_drain_all(k);
  for (let progress = 0; progress < pages;) {
    if (state.mm_slot === null) pass_through_head++;
    if (state.slots.length === 0 || pass_through_head >= 2) break;
    const p = khugepaged_scan_mm_slot(k, state, pages - progress, cc);
    progress += p.progress;
    if (p.result !== "alloc_huge_page_fail") continue;
    if (!wait) break;
    wait = false;
  }
  k.current = running;
  return state.pages_collapsed;
}

/** After these MADV_COLLAPSE goes on with the next 2 MiB; after any other failure it ends. */
const GOES_ON: readonly scan_result[] = [
  "pmd_null",
  "pte_non_present",
  "page_ro",
  "lack_referenced_page",
  "page_null",
  "page_count",
  "page_lock",
  "page_compound",
  "page_lru",
  "del_page_lru",
];

/** Collapses the 2 MiB at an address. */
function collapse_one(
  k: Machine,
  vma: vm_area_struct,
  addr: number,
  lock: mmap_locked,
  cc: collapse_control,
): scan_result {
  const mm = vma.vm_mm;
  cc.node_load = [];
  const result = scan_one(k, vma, addr, lock, cc);
  if (result !== "pte_mapped_hugepage") return result;
  VM_BUG_ON(lock.locked, "a file was scanned with mmap_lock held");
  mmap_write_lock(mm);
  const mapped = collapse_pte_mapped_thp(k, mm, addr, true);
  mmap_write_unlock(mm);
  return mapped;
}

/**
 * MADV_COLLAPSE on [start, end) of one VMA, whatever sysfs says. mmap_lock is held for reading, and dropped on the way:
 * then `w.prev` becomes null.
 * @kernel mm/khugepaged.c:madvise_collapse
 * @fidelity mirrored
 * @returns 0; -EINVAL (not suitable, nothing there), -EAGAIN (held or locked for now), -ENOMEM
 */
export function madvise_collapse(
  k: Machine,
  vma: vm_area_struct,
  w: { prev: vm_area_struct | undefined | null },
  start: number,
  end: number,
): number {
  VM_BUG_ON(vma.vm_start > start || vma.vm_end < end, "madvise_collapse: outside of the VMA");
  const mm = vma.vm_mm;
  w.prev = vma;
  if (!hugepage_vma_check(k, vma, vma.vm_flags, {})) return -EINVAL;
  lru_add_drain_all(k);
  const cc = new collapse_control(false);
  const lock: mmap_locked = { locked: true };
  const hstart = Math.ceil(start / PMD_SIZE) * PMD_SIZE;
  let hend = Math.floor(end / PMD_SIZE) * PMD_SIZE;
  let thps = 0;
  let last_fail: scan_result = "fail";
  for (let addr = hstart; addr < hend; addr += PMD_SIZE) {
    if (!lock.locked) {
      mmap_read_lock(mm);
      lock.locked = true;
      const again = hugepage_vma_revalidate(k, mm, addr, false, cc);
      if (typeof again === "string") {
        last_fail = again;
        break;
      }
      vma = again;
      hend = Math.min(hend, Math.floor(vma.vm_end / PMD_SIZE) * PMD_SIZE);
    }
    const result = collapse_one(k, vma, addr, lock, cc);
    if (!lock.locked) w.prev = null;
    if (result === "succeed" || result === "pmd_mapped") {
      thps++;
      continue;
    }
    last_fail = result;
    if (!GOES_ON.includes(result)) break;
  }
  if (!lock.locked) mmap_read_lock(mm);
  mmap_assert_locked(mm);
  return thps === (hend - hstart) / PMD_SIZE ? 0 : madvise_collapse_errno(last_fail);
}

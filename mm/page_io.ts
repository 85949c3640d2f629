// SPDX-License-Identifier: GPL-2.0-only
/** Reading and writing pages of swap areas (mm/page_io.c), and the devices behind them. */
import { VM_BUG_ON } from "../include/linux/bug.js";
import { folio_nr_pages, page_zone, PFN_SECTION_MASK, swap_entry_of } from "../include/linux/mem_map.js";
import {
  PG_dirty,
  PG_error,
  PG_locked,
  PG_reclaim,
  PG_swapcache,
  PG_uptodate,
  PG_writeback,
} from "../include/linux/page-flags.js";
import { swap_state_of, type swap_device } from "../include/linux/swap.js";
import { swp_offset, type swp_entry_t } from "../include/linux/swapops.js";
import { NR_WRITEBACK, PSWPIN, PSWPOUT, THP_SWPOUT } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { folio_unlock } from "./filemap.js";
import { folio_rotate_reclaimable } from "./swap.js";
import { folio_free_swap, get_swap_device } from "./swapfile.js";
import { count_vm_event, count_vm_events } from "./vmstat.js";

function device_of(k: Machine, entry: swp_entry_t): swap_device {
  return get_swap_device(k, entry)!.bdev!;
}

/** Counts a page, or all of a huge one, as under writeback (1) or not any more (-1). */
function mod_writeback(k: Machine, pfn: number, n: number): void {
  k.nodes[page_zone(k.mem, pfn).node]!.vm_stat[NR_WRITEBACK]! += n * folio_nr_pages(k.mem, pfn);
}

/** A write is done: what failed stays dirty. @kernel mm/page_io.c:end_swap_bio_write, mm/filemap.c:folio_end_writeback */
function end_swap_write(k: Machine, pfn: number, failed: boolean): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (failed) {
    s.flags[i]! |= PG_error | PG_dirty;
    s.flags[i]! &= ~PG_reclaim;
  }
  if (s.flags[i]! & PG_reclaim) {
    s.flags[i]! &= ~PG_reclaim;
    folio_rotate_reclaimable(k, pfn);
  }
  s.flags[i]! &= ~PG_writeback;
  mod_writeback(k, pfn, -1);
}

/** Writes a page to its slot, or a huge one to its cluster; false where the device cannot. */
function write_slots(k: Machine, pfn: number): boolean {
  const entry = swap_entry_of(k.mem, pfn);
  const dev = device_of(k, entry);
  const offset = swp_offset(entry);
  const nr = folio_nr_pages(k.mem, pfn);
  if (dev.failWrites) for (let n = 0; n < nr; n++) if (dev.bad.has(offset + n)) return false;
  dev.data ??= new Uint8Array(dev.pages);
  const { content } = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  for (let n = 0; n < nr; n++) dev.data[offset + n] = content[i + n]!;
  return true;
}

/** @kernel mm/page_io.c:count_swpout_vm_event @fidelity mirrored */
function count_swpout_vm_event(k: Machine, pfn: number): void {
  const nr = folio_nr_pages(k.mem, pfn);
  if (nr > 1) count_vm_event(k, THP_SWPOUT);
  count_vm_events(k, PSWPOUT, nr);
}

/**
 * Writes a locked page of the swap cache to its slot, or forgets the slot where nobody needs it any more; the page is
 * unlocked. It is under writeback until the device is done. A huge page is written in one go.
 * @kernel mm/page_io.c:swap_writepage
 * @fidelity mirrored (no frontswap, no swap files)
 */
export function swap_writepage(k: Machine, pfn: number): void {
  if (folio_free_swap(k, pfn)) return folio_unlock(k, pfn);
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  count_swpout_vm_event(k, pfn);
  s.flags[i]! |= PG_writeback;
  mod_writeback(k, pfn, 1);
  folio_unlock(k, pfn);
  if (device_of(k, swap_entry_of(k.mem, pfn)).synchronous) return end_swap_write(k, pfn, !write_slots(k, pfn));
  swap_state_of(k).writes.push(pfn);
}

/** Devices finish what they were asked to write. @kernel block/blk-core.c:blk_finish_plug */
export function end_swap_writes(k: Machine): void {
  for (const pfn of swap_state_of(k).writes.splice(0)) end_swap_write(k, pfn, !write_slots(k, pfn));
}

function end_swap_read(k: Machine, pfn: number, entry: swp_entry_t): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const dev = device_of(k, entry);
  if (dev.bad.has(swp_offset(entry))) {
    s.flags[i]! |= PG_error;
    s.flags[i]! &= ~PG_uptodate;
  } else {
    s.content[i] = dev.data?.[swp_offset(entry)] ?? 0;
    s.flags[i]! |= PG_uptodate;
  }
  folio_unlock(k, pfn);
}

/**
 * Reads a locked page from its slot; it is unlocked when the device is done.
 * @kernel mm/page_io.c:swap_readpage
 * @fidelity mirrored (no frontswap, no swap files)
 * @param synchronous wait for the device
 * @param entry the slot of a page that is not in the swap cache
 */
export function swap_readpage(k: Machine, pfn: number, synchronous: boolean, entry?: swp_entry_t): void {
  const { flags } = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(entry === undefined && !(flags[i]! & PG_swapcache), "swap_readpage of a page without a slot");
  VM_BUG_ON((flags[i]! & (PG_locked | PG_uptodate)) !== PG_locked, "swap_readpage");
  const slot = entry ?? swap_entry_of(k.mem, pfn);
  count_vm_event(k, PSWPIN);
  if (synchronous || device_of(k, slot).synchronous) end_swap_read(k, pfn, slot);
  else swap_state_of(k).reads.push(pfn);
}

/** Devices finish what they were asked to read; whoever waits for one of the pages calls this. */
export function end_swap_reads(k: Machine): void {
  for (const pfn of swap_state_of(k).reads.splice(0)) end_swap_read(k, pfn, swap_entry_of(k.mem, pfn));
}

// SPDX-License-Identifier: GPL-2.0-only
/** Letting go of pinned pages (mm/gup.c: unpin_user_pages and its like). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import {
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
  compound_head,
  compound_pincount,
  page_test,
  page_zone,
  set_compound_pincount,
  type mem_section,
} from "../../include/linux/mem_map.js";
import { GUP_PIN_COUNTING_BIAS } from "../../include/linux/mm.js";
import { PG_anon_exclusive, PG_dirty, PG_head, PG_tail } from "../../include/linux/page-flags.js";
import { NR_FOLL_PIN_RELEASED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { set_page_dirty } from "../page-writeback.js";
import { put_page } from "../swap.js";
import { __mod_node_page_state } from "../vmstat.js";
import type { page_array } from "./follow.js";

/** A pinned anonymous page stays exclusive. @kernel mm/gup.c:sanity_check_pinned_pages */
function sanity_check_pinned_page(k: Machine, pfn: number, flags: number, mapping: number): void {
  if (flags & PG_anon_exclusive || k.mem.owners[mapping]?.is_anon !== true) return;
  VM_BUG_ON(true, `page ${pfn.toString()} is pinned, anonymous and not exclusive`);
}

/** Lets go of one pin on a part of a huge page. */
function unpin_large(k: Machine, pfn: number, s: mem_section): void {
  const head = compound_head(k.mem, pfn);
  const exclusive = (s.flags[pfn & PFN_SECTION_MASK]! | s.flags[head & PFN_SECTION_MASK]!) & PG_anon_exclusive;
  if (k.config.DEBUG_VM) sanity_check_pinned_page(k, pfn, exclusive, s.mapping[head & PFN_SECTION_MASK]!);
  const pins = compound_pincount(k.mem, head);
  VM_BUG_ON(pins === 0, "more unpins than pins");
  set_compound_pincount(k.mem, head, pins - 1);
  if (k.nodes.length > 1) __mod_node_page_state(k.nodes[page_zone(k.mem, head).node]!, NR_FOLL_PIN_RELEASED, 1);
  put_page(k, head);
}

/**
 * Lets go of pins on pages [from, to) of an array. Put pages, the last reference gone, are freed.
 * @kernel mm/gup.c:unpin_user_pages
 * @fidelity mirrored
 * @param pages page frames
 */
function unpin_range(k: Machine, pages: page_array, from: number, to: number): void {
  const m = k.mem;
  const debug = k.config.DEBUG_VM;
  for (let j = from; j < to; j++) {
    const pfn = pages[j]!;
    const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
    const i = pfn & PFN_SECTION_MASK;
    const flags = s.flags[i]!;
    if (flags & (PG_head | PG_tail)) {
      unpin_large(k, pfn, s);
      continue;
    }
    if (debug) sanity_check_pinned_page(k, pfn, flags, s.mapping[i]!);
    const left = s.refcount[i]! - GUP_PIN_COUNTING_BIAS;
    VM_BUG_ON(left < 0, "more unpins than pins");
    if (left > 0) s.setRefs(i, left);
    else {
      s.setRefs(i, 1);
      put_page(k, pfn);
    }
    if (k.nodes.length > 1) __mod_node_page_state(k.nodes[page_zone(m, pfn).node]!, NR_FOLL_PIN_RELEASED, 1);
  }
  if (k.nodes.length === 1) __mod_node_page_state(k.nodes[0]!, NR_FOLL_PIN_RELEASED, to - from);
}

/**
 * Lets go of one pin.
 * @kernel mm/gup.c:unpin_user_page
 * @fidelity mirrored
 */
export function unpin_user_page(k: Machine, pfn: number): void {
  unpin_range(k, [pfn], 0, 1);
}

/**
 * Lets go of the pins on `npages` pages of an array.
 * @kernel mm/gup.c:unpin_user_pages
 * @fidelity mirrored
 * @param pages page frames, from index `off` on
 */
export function unpin_user_pages(k: Machine, pages: page_array, npages: number, off = 0): void {
  unpin_range(k, pages, off, off + npages);
}

/** Marks the huge page dirty that a tail belongs to. */
function dirty_head(k: Machine, tail: number): void {
  const head = compound_head(k.mem, tail);
  if (!page_test(k.mem, head, PG_dirty)) set_page_dirty(k, head);
}

/**
 * Marks pages dirty, if asked to, and lets go of the pins on them.
 * @kernel mm/gup.c:unpin_user_pages_dirty_lock
 * @fidelity simplified: takes no page lock for marking
 */
export function unpin_user_pages_dirty_lock(
  k: Machine,
  pages: page_array,
  npages: number,
  make_dirty: boolean,
  off = 0,
): void {
  if (make_dirty) {
    const { sections } = k.mem;
    for (let j = off; j < off + npages; j++) {
      const pfn = pages[j]!;
      const flags = sections[pfn >>> PFN_SECTION_SHIFT]!.flags[pfn & PFN_SECTION_MASK]!;
      if (flags & PG_tail) dirty_head(k, pfn);
      else if (!(flags & PG_dirty)) set_page_dirty(k, pfn);
    }
  }
  unpin_range(k, pages, off, off + npages);
}

// SPDX-License-Identifier: GPL-2.0-only
/** Slots that each CPU takes ahead and gives back late, while there are plenty (mm/swap_slots.c). */
import { SWAP_SLOTS_CACHE_SIZE, swap_state_of } from "../include/linux/swap.js";
import type { swp_entry_t } from "../include/linux/swapops.js";
import type { Machine } from "../include/machine.js";
import { get_swap_pages, swapcache_free_entries } from "./swapfile.js";

/** Free slots a CPU from which on, and below which, caches are kept no more. */
const THRESHOLD_ACTIVATE_SWAP_SLOTS_CACHE = 5 * SWAP_SLOTS_CACHE_SIZE;
const THRESHOLD_DEACTIVATE_SWAP_SLOTS_CACHE = 2 * SWAP_SLOTS_CACHE_SIZE;

/** Gives all CPUs' slots back. @kernel mm/swap_slots.c:__drain_swap_slots_cache @fidelity mirrored */
function __drain_swap_slots_cache(k: Machine): void {
  for (const cache of swap_state_of(k).swp_slots) {
    const slots = cache.slots.splice(0);
    swapcache_free_entries(k, slots);
    swapcache_free_entries(k, cache.slots_ret.splice(0));
  }
}

/** No slots are kept from now on, for swapoff. @kernel mm/swap_slots.c:disable_swap_slots_cache_lock @fidelity mirrored */
export function disable_swap_slots_cache(k: Machine): void {
  swap_state_of(k).swap_slot_cache_enabled = false;
  __drain_swap_slots_cache(k);
}

/** Slots are kept again if there is swap. @kernel mm/swap_slots.c:reenable_swap_slots_cache_unlock @fidelity mirrored */
export function enable_swap_slots_cache(k: Machine): void {
  const st = swap_state_of(k);
  st.swap_slot_cache_enabled = st.swap_active_head.length > 0;
}

/** @kernel mm/swap_slots.c:check_cache_active @fidelity mirrored */
function check_cache_active(k: Machine): boolean {
  const st = swap_state_of(k);
  if (!st.swap_slot_cache_enabled) return false;
  if (!st.swap_slot_cache_active) {
    if (st.nr_swap_pages > k.nr_cpus * THRESHOLD_ACTIVATE_SWAP_SLOTS_CACHE) st.swap_slot_cache_active = true;
  } else if (st.nr_swap_pages < k.nr_cpus * THRESHOLD_DEACTIVATE_SWAP_SLOTS_CACHE) {
    st.swap_slot_cache_active = false;
    __drain_swap_slots_cache(k);
  }
  return st.swap_slot_cache_active;
}

/** Gives back a slot that nobody has any more. @kernel mm/swap_slots.c:free_swap_slot @fidelity mirrored */
export function free_swap_slot(k: Machine, entry: swp_entry_t): void {
  const st = swap_state_of(k);
  const cache = st.swp_slots[k.cpu]!;
  if (!st.swap_slot_cache_active || !st.swap_slot_cache_enabled) {
    swapcache_free_entries(k, [entry]);
    return;
  }
  if (cache.slots_ret.length >= SWAP_SLOTS_CACHE_SIZE) swapcache_free_entries(k, cache.slots_ret.splice(0));
  cache.slots_ret.push(entry);
}

/**
 * A slot for a page, or for a huge one (`nr` pages) as many in a row, which the swap cache has from now on.
 * @kernel mm/swap_slots.c:folio_alloc_swap
 * @fidelity mirrored (no memory control groups)
 * @returns the entry of the first; 0 where swap is full, has no cluster free, or takes no huge pages
 */
export function folio_alloc_swap(k: Machine, nr: number): swp_entry_t {
  if (nr > 1) {
    if (k.arch.THP_SWAP !== true || k.arch.no_thp_swp === true) return 0;
    return get_swap_pages(k, 1, nr)[0] ?? 0;
  }
  if (check_cache_active(k)) {
    const st = swap_state_of(k);
    const cache = st.swp_slots[k.cpu]!;
    if (cache.slots.length === 0 && st.swap_slot_cache_active) {
      cache.slots = get_swap_pages(k, SWAP_SLOTS_CACHE_SIZE);
    }
    const entry = cache.slots.shift();
    if (entry !== undefined) return entry;
  }
  return get_swap_pages(k, 1)[0] ?? 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/** /sys/kernel/mm/ksm (mm/ksm.c). */
import { VM_MERGEABLE } from "../../include/linux/mm.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import { unmerge_ksm_pages } from "./break.js";
import { drop_slot, move_cursor, remove_trailing_rmap_items } from "./scan.js";
import { remove_all_stable_nodes } from "./stable.js";
import {
  KSM_RUN_STOP,
  KSM_RUN_UNMERGE,
  type ksm_mm_slot,
  type ksm_state,
  ksm_state_of,
  ksm_test_exit,
} from "./state.js";

/** Undoes all merging of one address space. */
function unmerge_mm(k: Machine, st: ksm_state, slot: ksm_mm_slot): number {
  const { mm } = slot;
  let err = 0;
  mmap_read_lock(mm);
  if (!ksm_test_exit(mm)) {
    for (const vma of mm.mm_mt) {
      if (!vm_flags_test(vma.vm_flags, VM_MERGEABLE) || vma.anon_vma === null) continue;
      err = unmerge_ksm_pages(k, vma, vma.vm_start, vma.vm_end);
      if (err) break;
    }
  }
  if (!err) remove_trailing_rmap_items(k, st, slot, 0);
  mmap_read_unlock(mm);
  return err;
}

/** @kernel mm/ksm.c:unmerge_and_remove_all_rmap_items @fidelity mirrored */
function unmerge_and_remove_all_rmap_items(k: Machine, st: ksm_state): number {
  for (const slot of [...st.slots]) {
    move_cursor(st, slot);
    const err = unmerge_mm(k, st, slot);
    if (err) {
      move_cursor(st, null);
      return err;
    }
    if (ksm_test_exit(slot.mm)) drop_slot(st, slot);
  }
  move_cursor(st, null);
  remove_all_stable_nodes(k, st);
  st.seqnr = 0;
  return 0;
}

/** Writes run: 0 stops ksmd, 1 starts it, 2 stops it and undoes all merging. @kernel mm/ksm.c:run_store @fidelity mirrored */
function run_store(k: Machine, st: ksm_state, flags: number): number {
  if (flags > KSM_RUN_UNMERGE) return -EINVAL;
  if (st.run === flags) return 0;
  st.run = flags;
  const err = flags === KSM_RUN_UNMERGE ? unmerge_and_remove_all_rmap_items(k, st) : 0;
  if (err) st.run = KSM_RUN_STOP;
  return err;
}

/** @kernel mm/ksm.c:max_page_sharing_store, merge_across_nodes_store @fidelity mirrored */
function tree_store(k: Machine, st: ksm_state, name: "max_page_sharing" | "merge_across_nodes", value: number): number {
  if (name === "max_page_sharing" ? value < 2 : value > 1) return -EINVAL;
  if (st[name] === value) return 0;
  if (st.pages_shared > 0 || remove_all_stable_nodes(k, st) !== 0) return -EBUSY;
  st[name] = value;
  return 0;
}

/** The files that can be written. */
export type ksm_knob =
  | "run"
  | "pages_to_scan"
  | "sleep_millisecs"
  | "max_page_sharing"
  | "merge_across_nodes"
  | "use_zero_pages"
  | "stable_node_chains_prune_millisecs";

/**
 * Writes a whole number to a file of /sys/kernel/mm/ksm.
 * @kernel mm/ksm.c:run_store, pages_to_scan_store, …
 * @fidelity mirrored
 * @returns 0; -EINVAL for a number out of its bounds, -EBUSY while pages are shared, -ENOMEM where unmerging fails
 */
export function ksm_store(k: Machine, name: ksm_knob, value: number): number {
  const st = ksm_state_of(k);
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) return -EINVAL;
  switch (name) {
    case "run":
      return run_store(k, st, value);
    case "max_page_sharing":
    case "merge_across_nodes":
      return tree_store(k, st, name, value);
    case "use_zero_pages":
      if (value > 1) return -EINVAL;
      break;
  }
  st[name] = value;
  return 0;
}

/**
 * What the files of counters of /sys/kernel/mm/ksm say.
 * @kernel mm/ksm.c:pages_shared_show, …
 * @fidelity mirrored
 */
export function ksm_show(k: Machine) {
  const st = ksm_state_of(k);
  const { pages_shared, pages_sharing, pages_unshared, stable_node_chains, stable_node_dups } = st;
  const pages_volatile = Math.max(st.rmap_items - pages_shared - pages_sharing - pages_unshared, 0);
  return {
    pages_shared,
    pages_sharing,
    pages_unshared,
    pages_volatile,
    full_scans: st.seqnr,
    stable_node_chains,
    stable_node_dups,
  };
}

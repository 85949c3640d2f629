// SPDX-License-Identifier: GPL-2.0-only
/** Making a huge page of a shmem file's small ones (mm/khugepaged.c: hpage_collapse_scan_file, collapse_file). */
import { not_modelled } from "../../include/linux/bug.js";
import type { file } from "../../include/linux/fs.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import type { collapse_control, scan_result } from "./control.js";

export function hpage_collapse_scan_file(
  _k: Machine,
  _mm: mm_struct,
  _addr: number,
  _f: file,
  _start: number,
  _cc: collapse_control,
): scan_result {
  return not_modelled("mm/khugepaged.c: collapse_file");
}

export function collapse_pte_mapped_thp(_k: Machine, _mm: mm_struct, _addr: number, _install: boolean): scan_result {
  return not_modelled("mm/khugepaged.c: collapse_pte_mapped_thp");
}

// SPDX-License-Identifier: GPL-2.0-only
/** /proc/meminfo, the lines about promised memory and swap (fs/proc/meminfo.c). */
import { get_nr_swap_pages, total_swap_pages } from "../../include/linux/swap.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { NR_SWAPCACHE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { vm_commit_limit } from "../../mm/util.js";

const KIB = PAGE_SIZE / 1024;

/**
 * How much memory there is, how much may be promised, and how much is, in KiB.
 * @kernel fs/proc/meminfo.c:meminfo_proc_show
 * @fidelity simplified: some lines of it
 */
export function meminfo_proc_show(
  k: Machine,
): Record<"MemTotal" | "SwapCached" | "SwapTotal" | "SwapFree" | "CommitLimit" | "Committed_AS", number> {
  return {
    MemTotal: k.totalram_pages * KIB,
    SwapCached: k.nodes.reduce((n, node) => n + node.vm_stat[NR_SWAPCACHE]!, 0) * KIB,
    SwapTotal: total_swap_pages(k) * KIB,
    SwapFree: get_nr_swap_pages(k) * KIB,
    CommitLimit: vm_commit_limit(k) * KIB,
    Committed_AS: k.vm_committed_as * KIB,
  };
}

// SPDX-License-Identifier: GPL-2.0-only
/** What the harness sees of a variant: the one module that it loads of a compiled tree. */
export { archByName, archNames } from "../arch/index.js";
export { frag_show } from "../fs/proc/buddyinfo.js";
export { meminfo, meminfo_proc_show } from "../fs/proc/meminfo.js";
export { kpagecount_read, kpageflags_read, max_dump_pfn } from "../fs/proc/page.js";
export { pagetypeinfo_show } from "../fs/proc/pagetypeinfo.js";
export { page_char, show_smaps } from "../fs/proc/task_mmu.js";
export { pagemap_read } from "../fs/proc/task_mmu/pagemap.js";
export { show_map, smaps_text } from "../fs/proc/task_mmu/smaps.js";
export { vmstat_show } from "../fs/proc/vmstat.js";
export { zoneinfo_show } from "../fs/proc/zoneinfo.js";
export { open_path } from "../fs/open.js";
export { open_device, open_regular } from "../fs/regular.js";
export { pin_report_of } from "../include/linux/pin_report.js";
export { BufferPool } from "../lib/buffer_pool.js";
export { boot } from "./boot.js";
export { adoptBaseline, checkedBaseline, checkExit, checkMachine } from "./check.js";
export { add_swap_device, add_tmpfs_file, unlink_tmpfs_file } from "./devices.js";
export {
  compaction_proactiveness_sysctl_handler,
  kcompactd,
  sysctl_compaction_handler,
} from "../mm/compaction/kcompactd.js";
export { task_numa_work } from "./sched/fair.js";
export { syscalls } from "./syscalls.js";
export { enabled_store, khugepaged_do_scan } from "../mm/khugepaged.js";
export { ksm_scan_thread, ksm_show, ksm_store } from "../mm/ksm.js";
export { min_free_kbytes_sysctl_handler } from "../mm/page_alloc/setup.js";
export { _install_special_mapping } from "../mm/mmap/special.js";
export { alloc_migration_target, migrate_pages, page_list_of, putback_movable_pages } from "../mm/migrate.js";
export { pageHolders, pinStuck } from "../mm/page_holders.js";
export { folio_isolate_lru } from "../mm/swap.js";

// SPDX-License-Identifier: GPL-2.0-only
/** What the harness sees of a variant: the one module that it loads of a compiled tree. */
export { archByName, archNames } from "../arch/index.js";
export { meminfo_proc_show } from "../fs/proc/meminfo.js";
export { page_char, show_smaps } from "../fs/proc/task_mmu.js";
export { open_device, open_regular } from "../fs/regular.js";
export { pin_report_of } from "../include/linux/pin_report.js";
export { boot } from "./boot.js";
export { checkExit, checkMachine } from "./check.js";
export { add_swap_device } from "./devices.js";
export { syscalls } from "./syscalls.js";
export { khugepaged_do_scan } from "../mm/khugepaged.js";
export { _install_special_mapping } from "../mm/mmap/special.js";

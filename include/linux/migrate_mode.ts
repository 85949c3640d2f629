// SPDX-License-Identifier: GPL-2.0-only
/** How and why pages are migrated (include/linux/migrate_mode.h). */

/** Never sleeps. */
export const MIGRATE_ASYNC = 0;
/** May sleep, but does not write pages back. */
export const MIGRATE_SYNC_LIGHT = 1;
/** May sleep on anything. */
export const MIGRATE_SYNC = 2;
/** As MIGRATE_SYNC; somebody else copies the contents. */
export const MIGRATE_SYNC_NO_COPY = 3;

export const MR_COMPACTION = 0;
export const MR_MEMORY_FAILURE = 1;
export const MR_MEMORY_HOTPLUG = 2;
export const MR_SYSCALL = 3;
export const MR_MEMPOLICY_MBIND = 4;
export const MR_NUMA_MISPLACED = 5;
export const MR_CONTIG_RANGE = 6;
export const MR_LONGTERM_PIN = 7;
export const MR_DEMOTION = 8;

/** As the tracepoint mm_migrate_pages names them, by number. */
export const migrate_reason_names = [
  "compaction",
  "memory_failure",
  "memory_hotplug",
  "syscall_or_cpuset",
  "mempolicy_mbind",
  "numa_misplaced",
  "contig_range",
  "longterm_pin",
  "demotion",
] as const;

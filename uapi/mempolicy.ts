// SPDX-License-Identifier: GPL-2.0-only
/** What user space passes to mbind() and the like, and flags that the kernel keeps beside those (uapi/linux/mempolicy.h). */
export const MPOL_DEFAULT = 0;
export const MPOL_PREFERRED = 1;
export const MPOL_BIND = 2;
export const MPOL_INTERLEAVE = 3;
export const MPOL_LOCAL = 4;
export const MPOL_PREFERRED_MANY = 5;
export const MPOL_MAX = 6;

export const MPOL_F_STATIC_NODES = 1 << 15;
export const MPOL_F_RELATIVE_NODES = 1 << 14;
export const MPOL_F_NUMA_BALANCING = 1 << 13;

/** What get_mempolicy() is to tell. */
export const MPOL_F_NODE = 1 << 0;
export const MPOL_F_ADDR = 1 << 1;
export const MPOL_F_MEMS_ALLOWED = 1 << 2;

/** Of a policy: it is a file's; pages are moved on a fault; to the node of the CPU that faults. */
export const MPOL_F_SHARED = 1 << 0;
export const MPOL_F_MOF = 1 << 3;
export const MPOL_F_MORON = 1 << 4;

export const MPOL_MF_STRICT = 1 << 0;
export const MPOL_MF_MOVE = 1 << 1;
export const MPOL_MF_MOVE_ALL = 1 << 2;

// SPDX-License-Identifier: GPL-2.0-only
/** What user space passes to prctl() (uapi/linux/prctl.h). */
export const PR_SET_THP_DISABLE = 41;
export const PR_GET_THP_DISABLE = 42;
export const PR_SET_VMA = 0x53564d41;
export const PR_SET_VMA_ANON_NAME = 0;

// SPDX-License-Identifier: GPL-2.0-only
/** What user space passes to /sys/kernel/debug/gup_test (mm/gup_test.h). */
export const GUP_FAST_BENCHMARK = 0xc0506701;
export const PIN_FAST_BENCHMARK = 0xc0506702;
export const PIN_LONGTERM_BENCHMARK = 0xc0506703;
export const GUP_BASIC_TEST = 0xc0506704;
export const PIN_BASIC_TEST = 0xc0506705;
export const DUMP_USER_PAGES_TEST = 0xc0506706;

/** Argument of all of them. Times come back 0: the model has no clock. */
export interface gup_test {
  get_delta_usec: number;
  put_delta_usec: number;
  /** Bytes. */
  addr: number;
  /** Bytes; comes back as how far it got. */
  size: number;
  nr_pages_per_call: number;
  /** FOLL_… */
  gup_flags: number;
  test_flags: number;
}

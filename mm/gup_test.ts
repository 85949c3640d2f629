// SPDX-License-Identifier: GPL-2.0-only
/** /sys/kernel/debug/gup_test: pins from user space, for tests (mm/gup_test.c). */
import { not_modelled } from "../include/linux/bug.js";
import { file, inode, nonseekable, type file_operations } from "../include/linux/fs.js";
import { GFP_KERNEL, __GFP_ZERO } from "../include/linux/gfp.js";
import { FOLL_LONGTERM } from "../include/linux/mm.js";
import { mmap_read_lock, mmap_read_unlock } from "../include/linux/mmap_lock.js";
import { pin_report_of } from "../include/linux/pin_report.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { EFAULT, EINVAL, ENOMEM } from "../uapi/errno.js";
import {
  DUMP_USER_PAGES_TEST,
  GUP_BASIC_TEST,
  GUP_FAST_BENCHMARK,
  PIN_BASIC_TEST,
  PIN_FAST_BENCHMARK,
  PIN_LONGTERM_BENCHMARK,
  type gup_test,
} from "../uapi/gup_test.js";
import { get_user_pages, is_longterm_pinnable_page, pin_user_pages, unpin_user_pages } from "./gup.js";
import { hold_pins, release_held } from "./gup/held.js";
import { put_page } from "./swap.js";
import { kvfree, kvmalloc } from "./vmalloc.js";

export const GUP_TEST_PATH = "/sys/kernel/debug/gup_test";

/** Bytes of a pointer. */
const POINTER_SIZE = 8;

/** Gets up to `nr` pages from `addr` on as the command says. */
function get_some(
  k: Machine,
  cmd: number,
  gup: gup_test,
  addr: number,
  nr: number,
  pages: Uint32Array,
  i: number,
): number {
  switch (cmd) {
    case GUP_BASIC_TEST:
      return get_user_pages(k, addr, nr, gup.gup_flags, pages, i);
    case PIN_BASIC_TEST:
      return pin_user_pages(k, addr, nr, gup.gup_flags, pages, i);
    case PIN_LONGTERM_BENCHMARK:
      return pin_user_pages(k, addr, nr, gup.gup_flags | FOLL_LONGTERM, pages, i);
    default:
      return not_modelled("mm/gup_test.c: fast and dump commands");
  }
}

/** Warns of a page that was pinned where it must not stay. @kernel mm/gup_test.c:verify_dma_pinned */
function verify_dma_pinned(k: Machine, cmd: number, pages: Uint32Array, nr_pages: number): void {
  if (cmd !== PIN_LONGTERM_BENCHMARK) return;
  for (let i = 0; i < nr_pages; i++) {
    if (is_longterm_pinnable_page(k, pages[i]!)) continue;
    pin_report_of(k).warnings++;
    k.hooks.trace("warning", { what: "pinned, but not pinnable", index: i, pfn: pages[i] });
    return;
  }
}

/**
 * Gets or pins a range a few pages a call until something fails, and puts all of it back.
 * @kernel mm/gup_test.c:__gup_test_ioctl
 * @fidelity simplified: no clock; neither fast nor dump commands
 * @returns 0, also if not all could be had: `gup.size` says how far it got; -ENOMEM
 */
function __gup_test_ioctl(k: Machine, cmd: number, gup: gup_test): number {
  const mm = k.current.mm!;
  let nr_pages = Math.floor(gup.size / PAGE_SIZE);
  const array = kvmalloc(k, nr_pages * POINTER_SIZE, GFP_KERNEL | __GFP_ZERO);
  if (array === null) return -ENOMEM;
  const pages = new Uint32Array(nr_pages);
  const pins = cmd === GUP_BASIC_TEST ? null : hold_pins(k, pages, 0, 0);
  mmap_read_lock(mm);
  const end = gup.addr + gup.size;
  let i = 0;
  let nr = gup.nr_pages_per_call;
  let next: number;
  let addr = gup.addr;
  for (; addr < end && nr === gup.nr_pages_per_call; addr = next) {
    next = addr + nr * PAGE_SIZE;
    if (next > end) {
      next = end;
      nr = Math.floor((next - addr) / PAGE_SIZE);
    }
    nr = get_some(k, cmd, gup, addr, nr, pages, i);
    if (nr <= 0) break;
    i += nr;
    if (pins !== null) pins.to = i;
  }
  nr_pages = i;
  gup.get_delta_usec = 0;
  gup.put_delta_usec = 0;
  gup.size = addr - gup.addr;
  verify_dma_pinned(k, cmd, pages, nr_pages);
  if (pins === null) {
    for (let j = 0; j < nr_pages; j++) put_page(k, pages[j]!);
  } else {
    release_held(k);
    unpin_user_pages(k, pages, nr_pages);
  }
  mmap_read_unlock(mm);
  kvfree(k, array);
  return 0;
}

/** @kernel mm/gup_test.c:gup_test_ioctl @fidelity mirrored @returns -EINVAL for an unknown command, -EFAULT */
function gup_test_ioctl(k: Machine, _filep: file, cmd: number, arg: unknown): number {
  switch (cmd >>> 0) {
    case GUP_FAST_BENCHMARK:
    case PIN_FAST_BENCHMARK:
    case PIN_LONGTERM_BENCHMARK:
    case GUP_BASIC_TEST:
    case PIN_BASIC_TEST:
    case DUMP_USER_PAGES_TEST:
      break;
    default:
      return -EINVAL;
  }
  if (typeof arg !== "object" || arg === null) return -EFAULT;
  return __gup_test_ioctl(k, cmd >>> 0, arg as gup_test);
}

const gup_test_fops: file_operations = { name: "gup_test", unlocked_ioctl: gup_test_ioctl };

/** Opens the file. @kernel mm/gup_test.c:gup_test_fops @fidelity mirrored */
export function gup_test_open(k: Machine, path: string, mode: number): file {
  return nonseekable(new file(path, new inode(k.next_ino++, 0), gup_test_fops, mode));
}

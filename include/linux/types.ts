// SPDX-License-Identifier: GPL-2.0-only
/** Page arithmetic and the two kinds of 64-bit number of the model (include/linux/types.h, mm.h, align.h). */

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const PMD_SHIFT = 21;
export const PMD_SIZE = 0x200000;
export const PTRS_PER_PTE = 512;
export const HPAGE_PMD_ORDER = 9;
export const HPAGE_PMD_NR = 512;

/**
 * An unsigned long, kept as the two's-complement number of the same bits: 0xffff…f000 is -4096. Everything that
 * user space can address is positive; sums wrap as they do in C, since -4096 + 4096 is 0. Compare with
 * {@link ulongLess}: plain `<` is right only where both sides are known to lie below 2^63.
 */
export type ulong = number;

/** Unsigned comparison of two {@link ulong}. */
export function ulongLess(a: ulong, b: ulong): boolean {
  return a < 0 === b < 0 ? a < b : b < 0;
}

/**
 * What a system call makes of an argument: any integer or bigint becomes a {@link ulong}. Beyond ±2^53, where a
 * number is not exact, the value is brought nearer to zero by a multiple of 2^52: sign, order against every user
 * address and offset in the page are kept.
 */
export function toULong(x: number | bigint): ulong {
  if (typeof x === "number" && Number.isSafeInteger(x)) return x;
  const v = BigInt.asIntN(64, BigInt(x));
  if (v >= -0x1fffffffffffffn && v <= 0x1fffffffffffffn) return Number(v);
  const low = BigInt.asUintN(52, v);
  return Number(v < 0n ? low - 0x10000000000000n : low + 0x10000000000000n);
}

export function PAGE_ALIGN(x: ulong): ulong {
  return Math.floor((x + (PAGE_SIZE - 1)) / PAGE_SIZE) * PAGE_SIZE;
}

export function PAGE_ALIGN_DOWN(x: ulong): ulong {
  return Math.floor(x / PAGE_SIZE) * PAGE_SIZE;
}

/** Offset of an address in its page, in bytes. */
export function offset_in_page(x: ulong): number {
  return x & (PAGE_SIZE - 1);
}

/** Bytes to whole pages, rounded down. */
export function pages(x: number): number {
  return Math.floor(x / PAGE_SIZE);
}

// SPDX-License-Identifier: GPL-2.0-only
/**
 * vm_flags: 38 bits in v6.1, too wide for JavaScript's bit operators, which work on 32 and would drop bit 32
 * without a word. So the type is opaque: `flags & VM_X` does not compile, and these operations are the only
 * way in. They carry the names the kernel gave its own since 6.3 where it has one.
 */
declare const wide: unique symbol;
export type vm_flags_t = { readonly [wide]: "vm_flags_t" };

const TWO32 = 0x100000000;

function join(hi: number, lo: number): vm_flags_t {
  return ((hi >>> 0) * TWO32 + (lo >>> 0)) as unknown as vm_flags_t;
}
function hi(f: vm_flags_t): number {
  return ((f as unknown as number) / TWO32) | 0;
}
function lo(f: vm_flags_t): number {
  return (f as unknown as number) | 0;
}

/** Makes flags of a number below 2^53. */
export function vm_flags(bits: number): vm_flags_t {
  return bits as unknown as vm_flags_t;
}

/** The flags with bit `n` alone. */
export function vm_flags_bit(n: number): vm_flags_t {
  return (2 ** n) as unknown as vm_flags_t;
}

/** The number that these flags are, for printing. */
export function vm_flags_value(f: vm_flags_t): number {
  return f as unknown as number;
}

export function vm_flags_or(a: vm_flags_t, ...more: vm_flags_t[]): vm_flags_t {
  let h = hi(a);
  let l = lo(a);
  for (const f of more) {
    h |= hi(f);
    l |= lo(f);
  }
  return join(h, l);
}

export function vm_flags_and(a: vm_flags_t, b: vm_flags_t): vm_flags_t {
  return join(hi(a) & hi(b), lo(a) & lo(b));
}

/** The flags of `a` that are not in `b`. */
export function vm_flags_andnot(a: vm_flags_t, b: vm_flags_t): vm_flags_t {
  return join(hi(a) & ~hi(b), lo(a) & ~lo(b));
}

export function vm_flags_xor(a: vm_flags_t, b: vm_flags_t): vm_flags_t {
  return join(hi(a) ^ hi(b), lo(a) ^ lo(b));
}

/** Is any flag of `mask` set? */
export function vm_flags_test(f: vm_flags_t, mask: vm_flags_t): boolean {
  if ((lo(f) & lo(mask)) !== 0) return true;
  return (mask as unknown as number) >= TWO32 && (f as unknown as number) >= TWO32 && (hi(f) & hi(mask)) !== 0;
}

/** Are all flags of `mask` set? */
export function vm_flags_all(f: vm_flags_t, mask: vm_flags_t): boolean {
  return (lo(f) & lo(mask)) === lo(mask) && (hi(f) & hi(mask)) === hi(mask);
}

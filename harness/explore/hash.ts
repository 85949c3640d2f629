// SPDX-License-Identifier: GPL-2.0-only
/** Numbers made one number, and what of a page goes into it. */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import type { Machine } from "../../include/machine.js";

/** FNV-1a, 32 bits at a time. */
export class Digest {
  value: number;

  /** @param value of a digest that is gone on with */
  constructor(value = 0x811c9dc5) {
    this.value = value;
  }

  add(n: number): void {
    this.value = Math.imul(this.value ^ (n | 0), 0x01000193) ^ (this.value >>> 15);
  }

  /** A number of more than 32 bits. */
  wide(n: number): void {
    this.add(n);
    this.add(n / 2 ** 32);
  }

  text(s: string): void {
    for (let i = 0; i < s.length; i++) this.add(s.charCodeAt(i));
  }
}

export function page(k: Machine, d: Digest, pfn: number): void {
  d.add(pfn);
  if (pfn === 0) return;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  d.add(s.refcount[i]!);
  d.add(s.mapcount[i]!);
  d.add(s.flags[i]!);
  d.add(s.content[i]!);
}

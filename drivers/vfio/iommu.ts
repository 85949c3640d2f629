// SPDX-License-Identifier: GPL-2.0-only
/**
 * An IOMMU: one table from device addresses to page frames, and the addresses that it takes (drivers/iommu/iommu.c as
 * far as VFIO sees it). Its own tables take no memory of the machine.
 */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { PAGE_SIZE, PMD_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";

export const IOMMU_READ = 1 << 0;
export const IOMMU_WRITE = 1 << 1;

/** Addresses that a 48-bit VT-d unit translates: all but the window of message-signalled interrupts. Ends included. */
export const IOVA_RANGES: readonly { readonly start: number; readonly end: number }[] = [
  { start: 0, end: 0xfedfffff },
  { start: 0xfef00000, end: 0xffffffffffff },
];

/** One domain's table. Addresses are bytes, page-aligned. */
export class iommu_domain {
  /** Page frames by address / 2 MiB; 0 where nothing is mapped. */
  private readonly tables = new Map<number, Uint32Array>();
  /** Pages mapped. */
  mapped = 0;

  /** Maps `npage` consecutive page frames. */
  map(iova: number, pfn: number, npage: number): void {
    for (let n = 0; n < npage;) {
      const addr = iova + n * PAGE_SIZE;
      const key = Math.floor(addr / PMD_SIZE);
      let table = this.tables.get(key);
      if (table === undefined) this.tables.set(key, (table = new Uint32Array(PTRS_PER_PTE)));
      let i = Math.floor(addr / PAGE_SIZE) % PTRS_PER_PTE;
      for (; i < PTRS_PER_PTE && n < npage; i++, n++) {
        VM_BUG_ON(table[i] !== 0, "IOMMU entry is mapped already");
        table[i] = pfn + n;
      }
    }
    this.mapped += npage;
  }

  /** The page frame at an address, 0 for none. */
  iova_to_pfn(iova: number): number {
    const table = this.tables.get(Math.floor(iova / PMD_SIZE));
    return table === undefined ? 0 : table[Math.floor(iova / PAGE_SIZE) % PTRS_PER_PTE]!;
  }

  /** How many of the `npage` pages from `iova` on are among the `nr` from this page frame on. */
  count(iova: number, npage: number, pfn: number, nr: number): number {
    let n = 0;
    for (let page = 0; page < npage; page++) {
      const at = this.iova_to_pfn(iova + page * PAGE_SIZE) - pfn;
      if (at >= 0 && at < nr) n++;
    }
    return n;
  }

  /**
   * Unmaps what is mapped of the pages from `iova` on, to the end of the 2 MiB that it lies in at most, and writes
   * the page frames to `out`.
   * @returns pages that were looked at; `count.n` is how many were mapped
   */
  unmap(iova: number, npage: number, out: Uint32Array, count: { n: number }): number {
    const key = Math.floor(iova / PMD_SIZE);
    const first = Math.floor(iova / PAGE_SIZE) % PTRS_PER_PTE;
    const looked = Math.min(npage, PTRS_PER_PTE - first);
    const table = this.tables.get(key);
    count.n = 0;
    if (table === undefined) return looked;
    for (let i = first; i < first + looked; i++) {
      if (table[i] === 0) continue;
      out[count.n++] = table[i]!;
      table[i] = 0;
    }
    this.mapped -= count.n;
    if (first === 0 && looked === PTRS_PER_PTE) this.tables.delete(key);
    return looked;
  }
}

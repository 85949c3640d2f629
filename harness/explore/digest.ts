// SPDX-License-Identifier: GPL-2.0-only
/** The state of a machine in one number, as far as calls of the table can tell states apart. */
import type { address_space } from "../../include/linux/fs.js";
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { vm_flags_value } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";

/** FNV-1a, 32 bits at a time. */
export class Digest {
  value = 0x811c9dc5;

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

/** VMAs by the order in which they were seen: a new one in an old one's place is another state. */
export type Identities = Map<object, number>;

function identity(known: Identities, object: object): number {
  let id = known.get(object);
  if (id === undefined) known.set(object, (id = known.size + 1));
  return id;
}

function page(k: Machine, d: Digest, pfn: number): void {
  d.add(pfn);
  if (pfn === 0) return;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  d.add(s.refcount[i]!);
  d.add(s.mapcount[i]!);
  d.add(s.flags[i]!);
  d.add(s.content[i]!);
}

function vma(d: Digest, known: Identities, v: vm_area_struct): void {
  d.add(identity(known, v));
  d.wide(v.vm_start);
  d.wide(v.vm_end);
  d.wide(vm_flags_value(v.vm_flags));
  d.add(v.anon_vma === null ? 0 : 1);
}

function addressSpace(k: Machine, d: Digest, known: Identities, mm: mm_struct): void {
  d.add(mm.mmap_lock.readers);
  d.add(mm.mmap_lock.writer ? 1 : 0);
  d.add(mm.locked_vm);
  for (const v of mm.mm_mt) vma(d, known, v);
  for (const [key, table] of mm.pgd.pte) {
    d.add(key);
    for (let i = 0; i < table.pfn.length; i++) {
      const flags = table.flags[i]!;
      if (flags === 0) continue;
      d.add(i);
      d.add(flags);
      page(k, d, table.pfn[i]!);
    }
  }
  for (const [key, pmd] of mm.pgd.huge) {
    d.add(key);
    d.add(pmd.flags);
    page(k, d, pmd.pfn);
  }
}

function pageCache(k: Machine, d: Digest, mapping: address_space): void {
  d.wide(mapping.host.i_size);
  d.add(mapping.host.i_rwsem ? 1 : 0);
  const falloc = mapping.host.shmem?.falloc;
  d.add(falloc == null ? -1 : falloc.end);
  if (mapping.nrpages === 0) return;
  mapping.i_pages.forEach(0, 0xffffffff, (index, entry) => {
    d.add(index);
    page(k, d, entry);
  });
}

/** Address spaces with their VMAs and entries, the pages there, page caches, locks, and the flags of tasks. */
export function digestOf(k: Machine, known: Identities): number {
  const d = new Digest();
  const seen = new Set<mm_struct>();
  for (const task of k.tasks.values()) {
    d.add(task.pid);
    d.add(task.flags);
    if (task.mm === null || seen.has(task.mm)) continue;
    seen.add(task.mm);
    addressSpace(k, d, known, task.mm);
  }
  for (const owner of k.mem.owners) {
    if (owner !== undefined && !owner.is_anon) pageCache(k, d, owner as address_space);
  }
  return d.value;
}

// SPDX-License-Identifier: GPL-2.0-only
/** The state of a machine in one number, as far as calls of the table can tell states apart. */
import type { address_space } from "../../include/linux/fs.js";
import { _PAGE_SWP, type mm_struct, type vm_area_struct } from "../../include/linux/mm_types.js";
import { vm_flags_value } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value } from "../../lib/xarray.js";
import { subsystems } from "./digest-subsystems.js";
import { Digest, page } from "./hash.js";

/** VMAs by the order in which they were seen: a new one in an old one's place is another state. */
export type Identities = Map<object, number>;

function identity(known: Identities, object: object): number {
  let id = known.get(object);
  if (id === undefined) known.set(object, (id = known.size + 1));
  return id;
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
      if (flags & _PAGE_SWP) d.add(table.pfn[i]!);
      else page(k, d, table.pfn[i]!);
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
    if (xa_is_value(entry)) d.add(entry);
    else page(k, d, entry);
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
  subsystems(k, d);
  return d.value;
}

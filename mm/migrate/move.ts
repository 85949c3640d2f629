// SPDX-License-Identifier: GPL-2.0-only
/** One attempt at one page: lock, wait, unmap, move, map again (mm/migrate.c: unmap_and_move). */
import { folio_mapped } from "../../include/linux/mem_map.js";
import { MIGRATEPAGE_SUCCESS } from "../../include/linux/migrate.js";
import {
  MIGRATE_ASYNC,
  MIGRATE_SYNC,
  MIGRATE_SYNC_NO_COPY,
  MR_DEMOTION,
  MR_MEMORY_FAILURE,
} from "../../include/linux/migrate_mode.js";
import type { page_list } from "../../include/linux/mmzone.js";
import { PG_active, PG_head, PG_locked, PG_unevictable, PG_writeback } from "../../include/linux/page-flags.js";
import { PF_MEMALLOC } from "../../include/linux/sched.js";
import { list_add_tail, list_del } from "../../lib/pagelist.js";
import { EAGAIN, EBUSY, ENOMEM, ENOSYS } from "../../uapi/errno.js";
import { folio_lock } from "../filemap.js";
import { folio_get_anon_vma, put_anon_vma, try_to_migrate } from "../rmap.js";
import { folio_add_lru, lru_add_drain, put_page } from "../swap.js";
import { mod_isolated } from "../vmstat.js";
import type { migrate_control } from "./attempt.js";
import { move_to_new_folio } from "./mapping.js";
import { remove_migration_ptes } from "./ptes.js";

/** Takes the source's lock, sleeping for it only in later passes. True: got it. */
function lock_source<T>(c: migrate_control<T>, force: boolean): boolean {
  const { k, src, s, i } = c;
  if (!(s.flags[i]! & PG_locked)) {
    s.flags[i]! |= PG_locked;
    return true;
  }
  c.attempt.fails("page lock");
  if (!force || c.mode === MIGRATE_ASYNC) return false;
  if (k.current.flags & PF_MEMALLOC) return false;
  if (k.fail_migrate.active) k.fail_migrate.wait_on(k, src, "lock");
  folio_lock(k, src);
  return true;
}

/** 0 once the source is not under writeback; otherwise the attempt's result. */
function wait_for_writeback<T>(c: migrate_control<T>, force: boolean): number {
  const { k, src, s, i } = c;
  if (!(s.flags[i]! & PG_writeback)) return 0;
  c.attempt.fails("writeback");
  if (c.mode !== MIGRATE_SYNC && c.mode !== MIGRATE_SYNC_NO_COPY) return -EBUSY;
  if (!force) return -EAGAIN;
  k.hooks.yieldPoint("folio_wait_writeback", { pfn: src });
  if (k.fail_migrate.active) k.fail_migrate.wait_on(k, src, "writeback");
  s.flags[i]! &= ~PG_writeback;
  return 0;
}

/**
 * Unmaps the locked source, moves it to the locked target, and maps whichever of them it is now. Before the first page of
 * a call is mapped, others may meet its migration entries: the reverse map's lock is waited for.
 */
function move_unmapped<T>(c: migrate_control<T>): number {
  const { k, src, s, i, dst } = c;
  const mapped = folio_mapped(k.mem, src);
  const page_was_mapped = mapped && s.mapping[i] !== 0;
  let rc = -EAGAIN;
  if (page_was_mapped ? try_to_migrate(k, src, 0) : !mapped) rc = move_to_new_folio(c);
  else c.attempt.fails("still mapped");
  if (rc === MIGRATEPAGE_SUCCESS) {
    folio_add_lru(k, dst);
    if (page_was_mapped) lru_add_drain(k);
  }
  if (page_was_mapped) {
    if (!c.met && k.tasks.size > 1) {
      c.met = true;
      k.hooks.yieldPoint("remove_migration_ptes", { pfn: src });
    }
    remove_migration_ptes(k, src, rc === MIGRATEPAGE_SUCCESS ? dst : src);
  }
  return rc;
}

/**
 * Moves one page to a target.
 * @kernel mm/migrate.c:__unmap_and_move
 * @fidelity mirrored
 * @returns 0, -EAGAIN, or -EBUSY for writeback in a mode that does not wait
 */
function __unmap_and_move<T>(c: migrate_control<T>, force: boolean): number {
  const { k, src, s, i, dst, d, j } = c;
  if (!lock_source(c, force)) return -EAGAIN;
  let rc = wait_for_writeback(c, force);
  if (rc === 0) {
    if (d.flags[j]! & PG_locked) {
      c.attempt.fails("target lock");
      rc = -EAGAIN;
    } else {
      d.flags[j]! |= PG_locked;
      const av = k.tasks.size > 1 ? folio_get_anon_vma(k, src) : undefined;
      rc = move_unmapped(c);
      if (av !== undefined) put_anon_vma(k, av);
      d.flags[j]! &= ~PG_locked;
    }
  }
  s.flags[i]! &= ~PG_locked;
  if (rc === MIGRATEPAGE_SUCCESS) put_page(k, dst);
  return rc;
}

/** Lets go of a source that has been moved, or was the isolation's own already. */
function source_done<T>({ k, src, reason }: migrate_control<T>): void {
  if (reason !== MR_DEMOTION) mod_isolated(k, src, -1);
  if (reason !== MR_MEMORY_FAILURE) put_page(k, src);
}

/**
 * Takes one isolated page through one attempt: a target, the move, and where the page goes then. A page that is to be
 * tried again stays on `from`, as does one without a target; one that is given up goes to the control's ret_pages.
 * @kernel mm/migrate.c:unmap_and_move
 * @fidelity simplified: pages and huge pages on the LRU
 * @param force may sleep for the page lock and for writeback
 * @returns 0, -EAGAIN, -ENOMEM, -EBUSY, -ENOSYS for a huge page where the architecture cannot migrate those
 */
export function unmap_and_move<T>(c: migrate_control<T>, from: page_list, src: number, force: boolean): number {
  c.from(src);
  const { k, s, i } = c;
  const m = k.mem;
  if (k.fail_migrate.active) k.fail_migrate.begin_attempt(k, src);
  if (s.flags[i]! & PG_head && k.arch.no_thp_migration === true) {
    c.attempt.fails("not supported");
    return -ENOSYS;
  }
  if (s.refcount[i] === 1) {
    s.flags[i]! &= ~(PG_active | PG_unevictable);
    list_del(m, from, src);
    source_done(c);
    return MIGRATEPAGE_SUCCESS;
  }
  const dst = c.get_new_page(k, src, c.priv);
  if (dst === 0) {
    c.attempt.no_target(k);
    return -ENOMEM;
  }
  c.to(dst);
  if (!(c.d.flags[c.j]! & PG_head)) c.d.setPrivate(c.j, 0);
  const rc = __unmap_and_move(c, force);
  if (rc !== -EAGAIN) list_del(m, from, src);
  if (rc === MIGRATEPAGE_SUCCESS) {
    source_done(c);
    return rc;
  }
  if (rc !== -EAGAIN) list_add_tail(m, c.ret_pages, src);
  if (c.put_new_page !== null) c.put_new_page(k, dst, c.priv);
  else put_page(k, dst);
  return rc;
}

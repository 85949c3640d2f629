// SPDX-License-Identifier: GPL-2.0-only
/**
 * Doubly linked lists of pages (include/linux/list.h for struct page): links are page frames in mem_section.next and
 * .prev, ends are {@link NULL_PFN}. A page is on one list at most.
 */
import { PFN_SECTION_MASK, PFN_SECTION_SHIFT, type mem_map } from "../include/linux/mem_map.js";
import { NULL_PFN, type page_list } from "../include/linux/mmzone.js";

/** Puts a page that is on no list at the head. */
export function list_add(m: mem_map, l: page_list, pfn: number): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const head = l.head;
  s.prev[i] = NULL_PFN;
  s.next[i] = head;
  if (head === NULL_PFN) l.tail = pfn;
  else m.sections[head >>> PFN_SECTION_SHIFT]!.prev[head & PFN_SECTION_MASK] = pfn;
  l.head = pfn;
  l.nr++;
}

/** Puts a page that is on no list at the tail. */
export function list_add_tail(m: mem_map, l: page_list, pfn: number): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const tail = l.tail;
  s.next[i] = NULL_PFN;
  s.prev[i] = tail;
  if (tail === NULL_PFN) l.head = pfn;
  else m.sections[tail >>> PFN_SECTION_SHIFT]!.next[tail & PFN_SECTION_MASK] = pfn;
  l.tail = pfn;
  l.nr++;
}

/** Puts a page that is on no list right before one that is on this list. */
export function list_add_before(m: mem_map, l: page_list, at: number, pfn: number): void {
  const prev = list_prev(m, at);
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  s.next[i] = at;
  s.prev[i] = prev;
  m.section(at).prev[at & PFN_SECTION_MASK] = pfn;
  if (prev === NULL_PFN) l.head = pfn;
  else m.section(prev).next[prev & PFN_SECTION_MASK] = pfn;
  l.nr++;
}

/** Takes a page off the list that it is on: the caller must name the right one. */
export function list_del(m: mem_map, l: page_list, pfn: number): void {
  const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
  const i = pfn & PFN_SECTION_MASK;
  const next = s.next[i]!;
  const prev = s.prev[i]!;
  if (prev === NULL_PFN) l.head = next;
  else m.sections[prev >>> PFN_SECTION_SHIFT]!.next[prev & PFN_SECTION_MASK] = next;
  if (next === NULL_PFN) l.tail = prev;
  else m.sections[next >>> PFN_SECTION_SHIFT]!.prev[next & PFN_SECTION_MASK] = prev;
  s.next[i] = NULL_PFN;
  s.prev[i] = NULL_PFN;
  l.nr--;
}

/** Moves a page from one list to the head of another (or of the same). */
export function list_move(m: mem_map, from: page_list, to: page_list, pfn: number): void {
  list_bulk_move(m, from, to, pfn, pfn, 1);
}

/**
 * Moves a run of pages, which follow one another on the list from `first` to `last`, to the head of another list, in
 * their order. Leaves the lists' page counts right; `n` is how many pages the run has.
 */
export function list_bulk_move(
  m: mem_map,
  from: page_list,
  to: page_list,
  first: number,
  last: number,
  n: number,
): void {
  const { sections } = m;
  const f = sections[first >>> PFN_SECTION_SHIFT]!;
  const l = sections[last >>> PFN_SECTION_SHIFT]!;
  const prev = f.prev[first & PFN_SECTION_MASK]!;
  const next = l.next[last & PFN_SECTION_MASK]!;
  if (prev === NULL_PFN) from.head = next;
  else sections[prev >>> PFN_SECTION_SHIFT]!.next[prev & PFN_SECTION_MASK] = next;
  if (next === NULL_PFN) from.tail = prev;
  else sections[next >>> PFN_SECTION_SHIFT]!.prev[next & PFN_SECTION_MASK] = prev;
  from.nr -= n;
  const head = to.head;
  f.prev[first & PFN_SECTION_MASK] = NULL_PFN;
  l.next[last & PFN_SECTION_MASK] = head;
  if (head === NULL_PFN) to.tail = last;
  else sections[head >>> PFN_SECTION_SHIFT]!.prev[head & PFN_SECTION_MASK] = last;
  to.head = first;
  to.nr += n;
}

/** Moves a page from one list to the tail of another (or of the same). */
export function list_move_tail(m: mem_map, from: page_list, to: page_list, pfn: number): void {
  list_del(m, from, pfn);
  list_add_tail(m, to, pfn);
}

export function list_empty(l: page_list): boolean {
  return l.head === NULL_PFN;
}

/** The page at the head, or {@link NULL_PFN}. */
export function list_first(l: page_list): number {
  return l.head;
}

/** The page at the tail, or {@link NULL_PFN}. */
export function list_last(l: page_list): number {
  return l.tail;
}

/** The page behind this one on its list, or {@link NULL_PFN}. */
export function list_next(m: mem_map, pfn: number): number {
  return m.sections[pfn >>> PFN_SECTION_SHIFT]!.next[pfn & PFN_SECTION_MASK]!;
}

/** The page before this one on its list, or {@link NULL_PFN}. */
export function list_prev(m: mem_map, pfn: number): number {
  return m.sections[pfn >>> PFN_SECTION_SHIFT]!.prev[pfn & PFN_SECTION_MASK]!;
}

/** All pages of a list, head first. Not for hot paths. */
export function list_pages(m: mem_map, l: page_list): number[] {
  const out: number[] = [];
  for (let pfn = l.head; pfn !== NULL_PFN; pfn = list_next(m, pfn)) out.push(pfn);
  return out;
}

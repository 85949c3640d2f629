// SPDX-License-Identifier: GPL-2.0-only
/**
 * Doubly linked lists of pages (include/linux/list.h for struct page): links are in mem_section, ends are
 * {@link NULL_PFN}. A page is on one list at most.
 */
import { PFN_SECTION_MASK, PFN_SECTION_SHIFT, type mem_map } from "../include/linux/mem_map.js";
import { NULL_PFN, type page_list } from "../include/linux/mmzone.js";

function set_next(m: mem_map, pfn: number, to: number): void {
  m.sections[pfn >>> PFN_SECTION_SHIFT]!.setNext(pfn & PFN_SECTION_MASK, pfn, to);
}

function set_prev(m: mem_map, pfn: number, to: number): void {
  m.sections[pfn >>> PFN_SECTION_SHIFT]!.setPrev(pfn & PFN_SECTION_MASK, pfn, to);
}

/** Puts a page that is on no list at the head. */
export function list_add(m: mem_map, l: page_list, pfn: number): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const head = l.head;
  s.setPrev(i, pfn, NULL_PFN);
  s.setNext(i, pfn, head);
  if (head === NULL_PFN) l.tail = pfn;
  else set_prev(m, head, pfn);
  l.head = pfn;
  l.nr++;
}

/** Puts a page that is on no list at the tail. */
export function list_add_tail(m: mem_map, l: page_list, pfn: number): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const tail = l.tail;
  s.setNext(i, pfn, NULL_PFN);
  s.setPrev(i, pfn, tail);
  if (tail === NULL_PFN) l.head = pfn;
  else set_next(m, tail, pfn);
  l.tail = pfn;
  l.nr++;
}

/** Puts `n` pages of one section, `step` apart and on no list, at the tail, in their order. */
export function list_add_run_tail(m: mem_map, l: page_list, pfn: number, n: number, step: number): void {
  const s = m.section(pfn);
  const tail = l.tail;
  const last = pfn + (n - 1) * step;
  s.linkRun(pfn & PFN_SECTION_MASK, n, step);
  s.setNext(last & PFN_SECTION_MASK, last, NULL_PFN);
  s.setPrev(pfn & PFN_SECTION_MASK, pfn, tail);
  if (tail === NULL_PFN) l.head = pfn;
  else set_next(m, tail, pfn);
  l.tail = last;
  l.nr += n;
}

/** Puts a page that is on no list right before one that is on this list. */
export function list_add_before(m: mem_map, l: page_list, at: number, pfn: number): void {
  const prev = list_prev(m, at);
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  s.setNext(i, pfn, at);
  s.setPrev(i, pfn, prev);
  set_prev(m, at, pfn);
  if (prev === NULL_PFN) l.head = pfn;
  else set_next(m, prev, pfn);
  l.nr++;
}

/** Takes a page off the list that it is on: the caller must name the right one. */
export function list_del(m: mem_map, l: page_list, pfn: number): void {
  const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
  const i = pfn & PFN_SECTION_MASK;
  const next = s.nextOf(i, pfn);
  const prev = s.prevOf(i, pfn);
  if (prev === NULL_PFN) l.head = next;
  else set_next(m, prev, next);
  if (next === NULL_PFN) l.tail = prev;
  else set_prev(m, next, prev);
  s.setNext(i, pfn, NULL_PFN);
  s.setPrev(i, pfn, NULL_PFN);
  l.nr--;
}

/** Takes the first `n` pages off a list, which then begins with `head`; their own links stay as they are. */
export function list_cut_head(m: mem_map, l: page_list, head: number, n: number): void {
  l.head = head;
  if (head === NULL_PFN) l.tail = NULL_PFN;
  else set_prev(m, head, NULL_PFN);
  l.nr -= n;
}

/** Puts `n` pages that are on no list at the head, one after the other. */
export function list_add_all(m: mem_map, l: page_list, pages: Uint32Array, at: number, n: number): void {
  let head = l.head;
  for (let j = at; j < at + n; j++) {
    const pfn = pages[j]!;
    m.sections[pfn >>> PFN_SECTION_SHIFT]!.setNext(pfn & PFN_SECTION_MASK, pfn, head);
    if (head === NULL_PFN) l.tail = pfn;
    else set_prev(m, head, pfn);
    head = pfn;
  }
  l.head = head;
  l.nr += n;
}

/**
 * Takes `n` pages off a list, on which they follow one another from `first` to `last`; their own links stay as they are.
 * Returns the page behind them.
 */
export function list_cut(m: mem_map, l: page_list, first: number, last: number, n: number): number {
  const prev = list_prev(m, first);
  const next = list_next(m, last);
  if (prev === NULL_PFN) l.head = next;
  else set_next(m, prev, next);
  if (next === NULL_PFN) l.tail = prev;
  else set_prev(m, next, prev);
  l.nr -= n;
  return next;
}

/** Takes `n` pages of one section off their list, on which they follow one another backwards: `pfn` is the last. */
export function list_del_run(m: mem_map, l: page_list, pfn: number, n: number): void {
  list_cut(m, l, pfn + n - 1, pfn, n);
  m.section(pfn).unlinkRun(pfn & PFN_SECTION_MASK, n);
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
  list_cut(m, from, first, last, n);
  const head = to.head;
  set_prev(m, first, NULL_PFN);
  set_next(m, last, head);
  if (head === NULL_PFN) to.tail = last;
  else set_prev(m, head, last);
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
  return m.sections[pfn >>> PFN_SECTION_SHIFT]!.nextOf(pfn & PFN_SECTION_MASK, pfn);
}

/** The page before this one on its list, or {@link NULL_PFN}. */
export function list_prev(m: mem_map, pfn: number): number {
  return m.sections[pfn >>> PFN_SECTION_SHIFT]!.prevOf(pfn & PFN_SECTION_MASK, pfn);
}

/** All pages of a list, head first. Not for hot paths. */
export function list_pages(m: mem_map, l: page_list): number[] {
  const out: number[] = [];
  for (let pfn = l.head; pfn !== NULL_PFN; pfn = list_next(m, pfn)) out.push(pfn);
  return out;
}

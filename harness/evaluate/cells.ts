// SPDX-License-Identifier: GPL-2.0-only
/** The sweep: which injected failures a pin meets. One cell is one combination. */

export interface Cell {
  /** Percent of the pinning task's page allocations that fail (fail_page_alloc, min-order 0). */
  readonly allocFailure: number;
  /** How many of the pages that the pin must migrate are held by a temporary reference. */
  readonly references: number;
  /** The reference goes away after this many attempts to migrate its page; 0 where there is none. */
  readonly clearsAfter: number;
}

export const ALLOC_FAILURES = [0, 0.1, 1, 5] as const;
export const REFERENCES = [0, 1, 8] as const;
export const CLEARS_AFTER = [1, 5, 20] as const;

/** All cells, in the order of the report. */
export function allCells(): Cell[] {
  const cells: Cell[] = [];
  for (const allocFailure of ALLOC_FAILURES) {
    for (const references of REFERENCES) {
      if (references === 0) cells.push({ allocFailure, references, clearsAfter: 0 });
      else for (const clearsAfter of CLEARS_AFTER) cells.push({ allocFailure, references, clearsAfter });
    }
  }
  return cells;
}

/** "1 % of allocations fail, 8 pages held for 5 attempts" */
export function describeCell(cell: Cell): string {
  const alloc = cell.allocFailure === 0 ? "no allocation fails" : `${String(cell.allocFailure)} % of allocations fail`;
  if (cell.references === 0) return `${alloc}, no page held`;
  const held = cell.references === 1 ? "1 page" : `${String(cell.references)} pages`;
  const attempts = cell.clearsAfter === 1 ? "1 attempt" : `${String(cell.clearsAfter)} attempts`;
  return `${alloc}, ${held} held for ${attempts}`;
}

/** A seed for one trial, from the run's seed and the trial's place: the same whoever runs it and in what order. */
export function trialSeed(seed: number, cellIndex: number, trial: number): number {
  let h = (seed ^ 0x9e3779b9) >>> 0;
  for (const part of [cellIndex + 1, trial + 1]) {
    h = Math.imul(h ^ part, 0x85ebca6b) >>> 0;
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) >>> 0;
    h = (h ^ (h >>> 16)) >>> 0;
  }
  return h;
}

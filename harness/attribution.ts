// SPDX-License-Identifier: GPL-2.0-only
/** Why a pin failed, in words: of what the model noted when it did (include/linux/pin_report.ts). */
import type { pin_failure } from "../include/linux/pin_report.js";
import type { KernelCall } from "../lib/call_log.js";
import type { PageHolder } from "../mm/page_holders.js";
import { errnoNames } from "../uapi/errno.js";

function callWords({ nr, name, pid }: KernelCall): string {
  return name === "" ? `call ${String(nr)}` : `call ${String(nr)}, ${name} of task ${String(pid)}`;
}

/** How a holder that is not one since its call has to do with it. */
const TO_CALL: Readonly<Partial<Record<PageHolder["kind"], string>>> = {
  "failing allocation": " in ",
  "sleeping call": ": ",
};

/** "LRU batch (CPU 1, activate) since call 9, madvise of task 1" */
export function holderWords(h: PageHolder): string {
  const where = h.detail === "" ? "" : ` (${h.detail})`;
  const since = h.call === null ? "" : `${TO_CALL[h.kind] ?? " since "}${callWords(h.call)}`;
  return `${h.kind}${where}${since}`;
}

/** Those that migration had not reckoned with: what is to blame. */
export function culprits(f: pin_failure): readonly PageHolder[] {
  return f.holders.filter((one) => !one.expected);
}

/** The step that failed: what, in what kind of memory, at which pass. */
export function stepWords(f: pin_failure): string {
  const where = f.pfn === 0 ? "" : `, page in ${f.pageblock} of ${f.zone}`;
  return `${f.reason}${where}${f.pass === 0 ? "" : `, pass ${String(f.pass)}`}`;
}

/** The same step failing in the same kind of page for the same kind of holder. */
export function failureKind(f: pin_failure): string {
  const by = [...new Set(culprits(f).map((one) => one.kind))].join(", ");
  return `${stepWords(f)}${by === "" ? "" : `: ${by}`}`;
}

function pageWords(f: pin_failure): string {
  if (f.pfn === 0) return f.address < 0 ? "" : ` at address 0x${f.address.toString(16)}`;
  return `, page ${String(f.pfn)} in a ${f.pageblock} pageblock of zone ${f.zone}`;
}

function referenceWords(f: pin_failure): string {
  if (f.refcount === 0) return "";
  const due = f.expected === 0 ? "" : `, ${String(f.expected)} expected`;
  return `; ${String(f.refcount)} references${due}`;
}

function whenWords(f: pin_failure): string {
  const pass = f.pass === 0 ? "" : `pass ${String(f.pass)} of `;
  const round = f.round === 0 ? "" : `; given up in ${pass}round ${String(f.round)}`;
  return f.call === null ? round : `${round}${round === "" ? "; " : ", "}${callWords(f.call)}`;
}

/** All of it in one sentence. `ret` is what the call returned, if it did. */
export function attributionWords(f: pin_failure, ret = 0): string {
  const errno = ret === 0 ? "" : `${errnoNames[-ret] ?? String(ret)}: `;
  const words = (expected: boolean): string =>
    f.holders
      .filter((one) => one.expected === expected)
      .map(holderWords)
      .join(" and ");
  const [held, due] = [words(false), words(true)];
  const by = `${held === "" ? "" : `; by ${held}`}${due === "" ? "" : `; beside ${due}`}`;
  const counters = Object.entries(f.counters).map(([name, n]) => `${name} +${String(n)}`);
  const moved = counters.length === 0 ? "" : `; moved ${counters.join(", ")}`;
  return `${errno}${f.reason}${pageWords(f)}${referenceWords(f)}${by}${whenWords(f)}${moved}`;
}

// SPDX-License-Identifier: GPL-2.0-only
/** Values of options: sizes, counts, seeds, lists. Each error names the option. */
import { UserError } from "../errors.js";

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Bytes of "512M", "2GiB", "4096"; `option` is for the message. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  const bytes = match === null ? NaN : Number(match[1]) * (UNITS[(match[2] ?? "").toUpperCase()] ?? NaN);
  if (!Number.isSafeInteger(bytes)) {
    throw new UserError(option, `'${text}' is not a size`, "write bytes, or a number with K, M, G or T, as in 512M");
  }
  return bytes;
}

/** A whole number within bounds. */
export function parseCount(text: string, option: string, least: number, most: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) {
    throw new UserError(option, `'${text}' is not a whole number from ${String(least)} to ${String(most)}`);
  }
  return value;
}

/** Names between commas, each once. */
export function parseNames(text: string, option: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new UserError(option, `an empty name in '${text}'`, "write names with a comma between");
  return [...new Set(names)];
}

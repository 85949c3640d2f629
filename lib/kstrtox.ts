// SPDX-License-Identifier: GPL-2.0-only
/** Numbers that are written to files of sysfs and debugfs (lib/kstrtox.c). */
import { EINVAL, ERANGE } from "../uapi/errno.js";

/**
 * A whole number as text: decimal, octal behind 0, hexadecimal behind 0x; one newline may follow.
 * @kernel lib/kstrtox.c:kstrtoull (base 0)
 * @fidelity simplified: rounded above 2^53
 * @returns the number, -EINVAL, -ERANGE (above 64 bits)
 */
export function kstrtoull(text: string): number {
  const match = /^\+?(?:(0x[0-9a-f]+)|0([0-7]+)|([0-9]+))\n?$/i.exec(text);
  if (match === null) return -EINVAL;
  const [, hex, octal, decimal] = match;
  const val = BigInt(hex ?? (octal === undefined ? decimal! : `0o${octal}`));
  return val >= 2n ** 64n ? -ERANGE : Number(val);
}

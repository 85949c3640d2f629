// SPDX-License-Identifier: GPL-2.0-only
/** C and TypeScript that mean the same come to the same form, and what differs stays different. */
import { expect } from "chai";
import { statement } from "../../harness/patch/normal.js";
import { lex, splitStatements } from "../../harness/patch/tokens.js";
import type { PatchLine } from "../../harness/patch/types.js";

function form(text: string, language: "c" | "ts"): string {
  const tokens = text.split("\n").flatMap((line, i) => {
    const source: PatchLine = { kind: "add", text: line, oldLine: 0, newLine: i + 1, source: i + 1 };
    return lex(source);
  });
  const statements = splitStatements(tokens).map((one) => statement(one, language));
  return statements.map((one) => one.map((token) => token.t).join(" ")).join(" ; ");
}

const SAME: readonly (readonly [string, string])[] = [
  ["#define VM_X 0x10UL /* why */", "export const VM_X = vm_flags(0x10);"],
  ["#define VM_X BIT(32)", "export const VM_X = vm_flags_bit(32);"],
  ["flags |= VM_X;", "flags = vm_flags_or(flags, VM_X);"],
  ["flags &= ~VM_X;", "flags = vm_flags_andnot(flags, VM_X);"],
  ["if (!vma || (vma->vm_flags & VM_X))", "if (vma === undefined || vm_flags_test(vma.vm_flags, VM_X))"],
  ["if (unlikely(ret))", "if (ret !== 0)"],
  ["if (a == NULL)", "if (a === null)"],
  ["return (unsigned long)a + b * c;", "return a + (b * c);"],
  [
    "static int f(struct mm_struct *mm, unsigned long start)\n{",
    "export function f(k: Machine, mm: mm_struct, start: number): number {",
  ],
  ["int ret = g(vma, &vmf);", "const ret = g(k, vma, vmf);"],
  ["unsigned long a = 1, b;", "let a = 1, b: number;"],
  ["current->flags &= ~PF_X;", "k.current.flags &= ~PF_X;"],
  ["} else if (reason == MR_X &&\n   ret == -EAGAIN) {", "} else if (reason === MR_X && ret === -EAGAIN) {"],
  ["case A:\ncase B:\nbreak;", "case A:\ncase B:\nbreak;"],
  ["for (i = 0; i < nr; i++)\nx(i);", "for (i = 0; i < nr; i++) {\nx(i);\n}"],
  ["ret = try_split(page, &list);", "ret = try_split(k, pfn, list);"],
  ["return a ? b : c;", "return a ? b : c;"],
];

const OTHER: readonly (readonly [string, string])[] = [
  ["return a & b;", "return a | b;"],
  ["if (!(a & b))", "if (!a & b)"],
  ["return a + b * c;", "return (a + b) * c;"],
  ["if (a == 1)", "if (a !== 1)"],
  ["f(a, b);", "f(b, a);"],
  ["a = b;", "b = a;"],
  ["return -EAGAIN;", "return -EBUSY;"],
  ["return a - b;", "return b - a;"],
  ["flags |= VM_X;", "flags = vm_flags_and(flags, VM_X);"],
  ["int a = 1;", "let a: number;"],
];

describe("statements of C and of TypeScript", () => {
  for (const [c, ts] of SAME)
    it(`are the same: ${c.replaceAll("\n", " ")}`, () => expect(form(ts, "ts")).to.equal(form(c, "c")));
  for (const [c, ts] of OTHER) it(`differ: ${c} is not ${ts}`, () => expect(form(ts, "ts")).not.to.equal(form(c, "c")));
});

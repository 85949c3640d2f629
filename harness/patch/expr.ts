// SPDX-License-Identifier: GPL-2.0-only
/**
 * Brings an expression, of C or of this tree's TypeScript, to one form: fully bracketed and operator first, without
 * casts, address-of and types, with operations on wide flags as the operators that they stand for.
 */
import type { Token } from "./tokens.js";
import type { PatchLine } from "./types.js";

export interface Node {
  readonly op: string;
  readonly kids: readonly Node[];
  readonly line: PatchLine;
}

// prettier-ignore
const BINARY: Readonly<Record<string, number>> = {
  "=": 1, "?": 2, "??": 3, "||": 3, "&&": 4, "|": 5, "^": 6, "&": 7, "==": 8, "!=": 8, "<": 9, ">": 9, "<=": 9, ">=": 9,
  "<<": 10, ">>": 10, ">>>": 10, "+": 11, "-": 11, "*": 12, "/": 12, "%": 12,
};
const ALIAS: Readonly<Record<string, string>> = {
  NULL: "null",
  undefined: "null",
  pfn: "page",
  "===": "==",
  "!==": "!=",
  "->": ".",
  "?.": ".",
};
const C_TYPE = /^(struct|union|enum|unsigned|signed|long|int|short|char|void|bool|u8|u16|u32|u64|s32|s64|\w+_t)$/;
const TRANSPARENT = new Set([
  "vm_flags",
  "vm_flags_value",
  "likely",
  "unlikely",
  "page_to_pfn",
  "pfn_to_page",
  "ulong",
]);

function node(op: string, kids: readonly Node[], line: PatchLine): Node {
  const flat = ["|", "&", "&&", "||"].includes(op) ? kids.flatMap((kid) => (kid.op === op ? kid.kids : [kid])) : kids;
  return { op, kids: flat, line };
}

function binary(op: string, a: Node, b: Node, line: PatchLine): Node {
  const value = (one: Node): number => (one.kids.length === 0 ? Number(one.op) : NaN);
  if ((op === "==" || op === "!=") && (b.op === "null" || b.op === "0")) return op === "!=" ? a : node("!", [a], line);
  if (op === "<<" && !Number.isNaN(value(a) + value(b))) return node(String(value(a) * 2 ** value(b)), [], line);
  return node(op, [a, b], line);
}

/** Calls that stand for operators. */
function call(callee: Node, args: Node[], line: PatchLine): Node {
  const [a, b] = args;
  if (args[0]?.op === "k" && args[0].kids.length === 0) return call(callee, args.slice(1), line);
  if (a !== undefined && args.length === 1) {
    if (TRANSPARENT.has(callee.op)) return a;
    if (callee.op === "BIT" || callee.op === "vm_flags_bit") return binary("<<", node("1", [], line), a, line);
  }
  if (a !== undefined && b !== undefined) {
    if (callee.op === "vm_flags_or") return node("|", args, line);
    if (callee.op === "vm_flags_and" || callee.op === "vm_flags_test") return node("&", [a, b], line);
    if (callee.op === "vm_flags_andnot") return node("&", [a, node("~", [b], line)], line);
    if (callee.op === "vm_flags_xor") return node("^", [a, b], line);
    if (callee.op === "vm_flags_all") return node("==", [node("&", [a, b], line), b], line);
  }
  return node("call", [callee, ...args], line);
}

class Parser {
  private at = 0;
  private readonly tokens: readonly Token[];
  private readonly c: boolean;

  constructor(tokens: readonly Token[], language: "c" | "ts") {
    this.tokens = tokens;
    this.c = language === "c";
  }

  /** All of the tokens as one expression; undefined where they are not one. */
  whole(): Node | undefined {
    const tree = this.expression(0);
    return this.at === this.tokens.length ? tree : undefined;
  }

  private peek(ahead = 0): string {
    const t = this.tokens[this.at + ahead]?.t ?? "";
    return ALIAS[t] ?? t;
  }

  private expression(least: number): Node | undefined {
    let left = this.unary();
    while (left !== undefined) {
      const op = this.peek();
      const line = this.tokens[this.at]?.line ?? left.line;
      const compound = /^([-+*/%&|^]|<<|>>)=$/.exec(op)?.[1];
      const power = compound === undefined ? BINARY[op] : 1;
      if (power === undefined || power < least || op === "") break;
      this.at++;
      if (op === "?") left = this.ternary(left, line);
      else {
        const right = this.expression(power === 1 ? 1 : power + 1);
        if (right === undefined) return undefined;
        left =
          compound === undefined
            ? binary(op, left, right, line)
            : node("=", [left, binary(compound, left, right, line)], line);
      }
    }
    return left;
  }

  private ternary(test: Node, line: PatchLine): Node | undefined {
    const yes = this.expression(1);
    if (this.peek() !== ":") return undefined;
    this.at++;
    const no = this.expression(2);
    return yes === undefined || no === undefined ? undefined : node("?", [test, yes, no], line);
  }

  private unary(): Node | undefined {
    const t = this.peek();
    const line = this.tokens[this.at]?.line;
    if (line === undefined) return undefined;
    if (this.c && (t === "&" || t === "*")) return (this.at++, this.unary());
    if (this.c && t === "(" && this.skipCast()) return this.unary();
    if (["!", "~", "-", "+", "++", "--"].includes(t)) {
      this.at++;
      const kid = this.unary();
      return kid === undefined ? undefined : node(t, [kid], line);
    }
    return this.postfix(this.primary());
  }

  /** Steps over "(unsigned long)" and the like. */
  private skipCast(): boolean {
    let i = 1;
    while (/^(\w+|\*)$/.test(this.peek(i))) i++;
    if (this.peek(i) !== ")" || i < 2 || !C_TYPE.test(this.peek(1))) return false;
    this.at += i + 1;
    return true;
  }

  private primary(): Node | undefined {
    const token = this.tokens[this.at];
    const t = this.peek();
    if (token === undefined) return undefined;
    this.at++;
    if (t === "(") {
      const inner = this.expression(0);
      if (this.peek() !== ")") return undefined;
      this.at++;
      return inner;
    }
    return /^[\w$"']/.test(t) ? node(t, [], token.line) : undefined;
  }

  private postfix(start: Node | undefined): Node | undefined {
    let left = start;
    for (;;) {
      const t = this.peek();
      const line = this.tokens[this.at]?.line;
      if (left === undefined || line === undefined) return left;
      if (t === "++" || t === "--") left = (this.at++, node(t, [left], line));
      else if (t === "!" && !this.c) this.at++;
      else if (t === "as" && !this.c) this.skipType();
      else if (t === "." && left.op === "k" && left.kids.length === 0) left = (this.at++, this.primary());
      else if (t === ".") {
        this.at++;
        const member = this.primary();
        left = member === undefined ? undefined : node(".", [left, member], line);
      } else if (t === "(" || t === "[") {
        const args = this.list(t === "(" ? ")" : "]");
        if (args === undefined) return undefined;
        left = t === "(" ? call(left, args, line) : node("[]", [left, ...args], line);
      } else return left;
    }
  }

  private skipType(): void {
    this.at += 2;
    while (this.peek() === "." || this.peek() === "[" || this.peek() === "]") this.at += this.peek() === "." ? 2 : 1;
  }

  private list(close: string): Node[] | undefined {
    const items: Node[] = [];
    this.at++;
    while (this.peek() !== close) {
      const item = this.expression(1);
      if (item === undefined) return undefined;
      items.push(item);
      if (this.peek() === ",") this.at++;
      else if (this.peek() !== close) return undefined;
    }
    this.at++;
    return items;
  }
}

function print(tree: Node, out: Token[]): void {
  if (tree.kids.length === 0) out.push({ t: tree.op, line: tree.line });
  else {
    out.push({ t: `(${tree.op}`, line: tree.line });
    for (const kid of tree.kids) print(kid, out);
    out.push({ t: ")", line: tree.line });
  }
}

/** The expression in its one form; as it stands where it cannot be read. */
export function canonical(tokens: readonly Token[], language: "c" | "ts"): Token[] {
  if (tokens.length === 0) return [];
  const tree = new Parser(tokens, language).whole();
  if (tree === undefined) return tokens.map((token) => ({ ...token, t: ALIAS[token.t] ?? token.t }));
  const out: Token[] = [];
  print(tree, out);
  return out;
}

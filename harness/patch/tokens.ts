// SPDX-License-Identifier: GPL-2.0-only
/** Cuts the added or removed lines of a patch, C or TypeScript, into comments and statements of tokens. */
import type { PatchLine } from "./types.js";

export interface Token {
  readonly t: string;
  readonly line: PatchLine;
}

/** Lines that follow each other in the patch and are of one kind. */
export interface Block {
  /** The function that the hunk is in, as its header says. */
  readonly section: string;
  readonly statements: Token[][];
  readonly comments: PatchLine[][];
}

export type LineClass = "blank" | "brace" | "comment" | "directive" | "code";

const LEX =
  /\/\*.*?\*\/|\/\/.*$|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|0[xX][\da-fA-F]+|\d[\d_]*(?:\.\d+)?|[A-Za-z_$#][\w$]*|>>>=|<<=|>>=|===|!==|>>>|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||\?\?|\?\.|[-+*/%&|^]=|=>|\.\.\.|\S/g;

/** What a line is, given whether it begins inside a comment. */
export function classify(text: string, inComment: boolean): LineClass {
  const line = text.trim();
  if (line === "") return "blank";
  if (inComment || /^(\/\/|\/\*(?!.*\*\/\s*\S)|\*(\s|\/|$))/.test(line)) return "comment";
  if (/^[{}]+[;,)]*$/.test(line)) return "brace";
  return /^#\s*(endif|else|ifdef|ifndef|if|undef|include)\b/.test(line) ? "directive" : "code";
}

/** Does a comment that the line is in, or opens, stay open behind it? */
export function staysOpen(text: string, inComment: boolean): boolean {
  const opens = inComment || /^\s*\/\*/.test(text);
  return opens && !text.includes("*/");
}

/** The tokens of a line, numbers by value, comments left out. */
export function lex(line: PatchLine): Token[] {
  const tokens: Token[] = [];
  for (const [raw] of line.text.replace(/(\d)[uUlL]+\b/g, "$1").matchAll(LEX)) {
    if (raw.startsWith("//") || raw.startsWith("/*")) continue;
    tokens.push({ t: /^\d/.test(raw) ? String(Number(raw.replaceAll("_", ""))) : raw, line });
  }
  return tokens;
}

const HEADS = new Set(["if", "while", "for", "switch"]);

/** Does the statement end with this token, given those before it and how many brackets are open? */
function endsWith(now: readonly Token[], depth: number, next: Token | undefined): boolean {
  const last = now.at(-1)?.t;
  const first = now[0]?.t;
  const head = first === "else" ? now[1]?.t : first;
  if (last === ")" && depth === 0 && HEADS.has(head ?? "")) return true;
  if ((last === "else" && next?.t !== "if") || last === "do") return true;
  return last === ":" && depth === 0 && (first === "case" || first === "default" || now.length === 2);
}

/** Cuts a run of tokens into statements; braces of blocks and semicolons are left out. */
export function splitStatements(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [];
  let now: Token[] = [];
  let depth = 0;
  const end = (): void => {
    if (now.length > 0) statements.push(now);
    now = [];
    depth = 0;
  };
  for (const [i, token] of tokens.entries()) {
    const { t } = token;
    if (now[0]?.t === "#define" && token.line !== now[0].line && now.at(-1)?.line.text.endsWith("\\") !== true) end();
    const isValue = depth > 0 || ["=", "return", "(", ","].includes(now.at(-1)?.t ?? "");
    if (((t === "{" || t === "}") && !isValue) || (t === ";" && depth === 0)) {
      end();
      continue;
    }
    now.push(token);
    if (t === "(" || t === "[" || t === "{") depth++;
    if (t === ")" || t === "]" || t === "}") depth--;
    if (endsWith(now, depth, tokens[i + 1])) end();
  }
  end();
  return statements;
}

/** The blocks of lines of one kind, with runs of comment lines and statements apart. */
export function blocksOf(
  hunks: readonly { readonly section: string; readonly lines: readonly PatchLine[] }[],
  kind: "add" | "remove",
  skip: (line: PatchLine) => boolean,
): Block[] {
  const blocks: Block[] = [];
  for (const hunk of hunks) {
    let inComment = false;
    let tokens: Token[] = [];
    let block: Block | undefined;
    let comment: PatchLine[] | undefined;
    const close = (): void => {
      block?.statements.push(...splitStatements(tokens));
      tokens = [];
      comment = block = undefined;
    };
    for (const line of hunk.lines) {
      if (line.kind === "context") close();
      if (line.kind !== kind) continue;
      if (block === undefined) {
        block = { section: hunk.section, statements: [], comments: [] };
        blocks.push(block);
        inComment = false;
      }
      const is = classify(line.text, inComment);
      inComment = staysOpen(line.text, inComment);
      if (is !== "comment") comment = undefined;
      if (is === "comment") {
        if (comment === undefined) block.comments.push((comment = []));
        comment.push(line);
      } else if ((is === "code" || is === "brace") && !skip(line)) tokens.push(...lex(line));
    }
    close();
  }
  return blocks;
}

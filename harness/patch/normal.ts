// SPDX-License-Identifier: GPL-2.0-only
/** Brings a statement, of C or of this tree's TypeScript, to one form: what it does, without types and storage. */
import { canonical } from "./expr.js";
import type { Token } from "./tokens.js";

type Language = "c" | "ts";

const STORAGE = new Set([
  "static",
  "inline",
  "extern",
  "const",
  "volatile",
  "__always_inline",
  "__init",
  "__must_check",
  "noinline",
]);
const CONTROL = new Set([
  "if",
  "else",
  "while",
  "for",
  "switch",
  "return",
  "case",
  "default",
  "break",
  "continue",
  "goto",
  "do",
]);
const WORD = /^[A-Za-z_$][\w$]*$/;

/** Cuts at a token outside of brackets. */
function cut(tokens: readonly Token[], at: string): Token[][] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (/^[([{]$/.test(token.t)) depth++;
    if (/^[)\]}]$/.test(token.t)) depth--;
    if (depth === 0 && token.t === at) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

function word(like: Token, t: string): Token {
  return { t, line: like.line };
}

/** Tokens between the first bracket and its partner. */
function bracketed(tokens: readonly Token[]): Token[] {
  const open = tokens.findIndex((token) => token.t === "(");
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    if (tokens[i]?.t === "(") depth++;
    if (tokens[i]?.t === ")" && --depth === 0) return tokens.slice(open + 1, i);
  }
  return tokens.slice(open + 1);
}

function control(tokens: readonly Token[], language: Language): Token[] {
  const [head, ...rest] = tokens;
  if (head === undefined) return [];
  switch (head.t) {
    case "else":
      return [head, ...control(rest, language)];
    case "if":
    case "while":
    case "switch":
      return [head, ...canonical(bracketed(rest), language)];
    case "for":
      return [head, ...cut(bracketed(rest), ";").flatMap((part) => [word(head, ";"), ...statement(part, language)])];
    case "case":
    case "default":
      return [
        head,
        ...canonical(
          rest.filter((token) => token.t !== ":"),
          language,
        ),
      ];
    case "return":
      return [head, ...canonical(rest, language)];
    default:
      return [...tokens];
  }
}

function header(name: Token, parameters: Token[]): Token[] {
  return [word(name, "function"), name, ...parameters.filter((token) => token.t !== "k")];
}

function letting(name: Token, value: Token[], language: Language): Token[] {
  const init = value.length === 0 ? [] : [word(name, "="), ...canonical(value, language)];
  return [word(name, "let"), name, ...init];
}

function macro(tokens: readonly Token[]): Token[] {
  const [, name, ...rest] = tokens;
  if (name === undefined) return [...tokens];
  if (!new RegExp(`define\\s+${name.t}\\(`).test(name.line.text)) return letting(name, rest, "c");
  const parameters = bracketed(rest);
  const body = rest.slice(parameters.length + 2);
  return [
    ...header(
      name,
      parameters.filter((token) => WORD.test(token.t)),
    ),
    word(name, "return"),
    ...canonical(body, "c"),
  ];
}

/** Index of what ends the words and stars that a C declaration begins with. */
function leading(tokens: readonly Token[]): { stop: number; words: Token[] } {
  let stop = 0;
  while (stop < tokens.length && (WORD.test(tokens[stop]?.t ?? "") || tokens[stop]?.t === "*")) stop++;
  return { stop, words: tokens.slice(0, stop).filter((token) => token.t !== "*") };
}

function cStatement(all: readonly Token[]): Token[] {
  if (all[0]?.t === "#define") return macro(all);
  const tokens = all.filter((token) => !STORAGE.has(token.t));
  const { stop, words } = leading(tokens);
  const name = words.at(-1);
  const next = tokens[stop]?.t ?? "";
  const startsWithWord = WORD.test(tokens[0]?.t ?? "");
  if (name === undefined || words.length < 2 || !startsWithWord) return canonical(tokens, "c");
  if (next === "(" && tokens.at(-1)?.t === ")") {
    const parameters = cut(bracketed(tokens.slice(stop)), ",").map((part) =>
      part.findLast((token) => WORD.test(token.t)),
    );
    return header(name, parameters.filter((token) => token !== undefined && token.t !== "void") as Token[]);
  }
  if (!["", "=", ",", "["].includes(next)) return canonical(tokens, "c");
  return cut(tokens, ",").flatMap((part) => {
    const equals = part.findIndex((token) => token.t === "=");
    const left = equals < 0 ? part : part.slice(0, equals);
    const own = left.findLast((token) => WORD.test(token.t)) ?? name;
    return letting(own, equals < 0 ? [] : part.slice(equals + 1), "c");
  });
}

function tsStatement(all: readonly Token[]): Token[] {
  const tokens = all.filter((token) => !["export", "async", "declare"].includes(token.t));
  const [head, name] = tokens;
  if (head === undefined || name === undefined) return canonical(tokens, "ts");
  if (head.t === "function") {
    const parameters = cut(bracketed(tokens), ",").map((part) => part.find((token) => WORD.test(token.t)));
    return header(
      name,
      parameters.filter((token) => token !== undefined),
    );
  }
  if (head.t !== "let" && head.t !== "const") return canonical(tokens, "ts");
  return cut(tokens.slice(1), ",").flatMap((part) => {
    const equals = part.findIndex((token) => token.t === "=");
    return letting(part[0] ?? name, equals < 0 ? [] : part.slice(equals + 1), "ts");
  });
}

/** The statement in its one form; each token knows the line that it comes from. */
export function statement(tokens: readonly Token[], language: Language): Token[] {
  if (CONTROL.has(tokens[0]?.t ?? "")) return control(tokens, language);
  return language === "c" ? cStatement(tokens) : tsStatement(tokens);
}

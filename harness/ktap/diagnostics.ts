// SPDX-License-Identifier: GPL-2.0-only
/** A failure in the words that a person needs: message, expected and actual, the places in this project. */
import { inspect } from "node:util";

const MAX_VALUE_LINES = 24;
const MAX_FRAMES = 8;

interface Comparison {
  expected?: unknown;
  actual?: unknown;
  showDiff?: boolean;
}

function show(value: unknown): string[] {
  const text =
    typeof value === "string"
      ? value
      : inspect(value, { depth: 6, breakLength: 100, maxArrayLength: 64, sorted: true });
  const lines = text.split("\n");
  return lines.length <= MAX_VALUE_LINES
    ? lines
    : [...lines.slice(0, MAX_VALUE_LINES), `… ${String(lines.length - MAX_VALUE_LINES)} lines more`];
}

function labelled(label: string, value: unknown): string[] {
  const [first = "", ...rest] = show(value);
  return rest.length === 0 ? [`${label}: ${first}`] : [`${label}:`, ...[first, ...rest].map((line) => `  ${line}`)];
}

/** Frames of a stack that lie in the project, as paths from `root`. */
export function ownFrames(stack: string, root: string): string[] {
  const frames: string[] = [];
  for (const raw of stack.split("\n")) {
    const line = raw.trim();
    if (!line.startsWith("at ") || line.includes("node_modules") || line.includes("node:")) continue;
    frames.push(line.replaceAll("file://", "").replaceAll(`${root}/`, ""));
    if (frames.length === MAX_FRAMES) break;
  }
  return frames;
}

/** Does an error carry a comparison whose two sides are worth printing? */
function hasComparison(error: object): error is Comparison {
  const { actual, showDiff } = error as Comparison;
  return "expected" in error && "actual" in error && showDiff !== false && actual !== undefined;
}

/** The lines of a failure, none of them empty. */
export function diagnose(error: unknown, root: string): string[] {
  if (!(error instanceof Error)) return [`thrown: ${inspect(error)}`];
  const named = error.name === "AssertionError" || error.name === "Error" ? "" : `${error.name}: `;
  const lines = `${named}${error.message}`.split("\n");
  if (hasComparison(error)) lines.push(...labelled("expected", error.expected), ...labelled("actual", error.actual));
  lines.push(...ownFrames(error.stack ?? "", root));
  if (error.cause !== undefined) lines.push("caused by:", ...diagnose(error.cause, root).map((line) => `  ${line}`));
  return lines.filter((line) => line.trim() !== "");
}

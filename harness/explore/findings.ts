// SPDX-License-Identifier: GPL-2.0-only
/** What an exception of the model or a flag says, in words. */
import { errnoNames } from "../../uapi/errno.js";
import type { FindingKind, Wrong } from "./types.js";

/** Functions in which an invariant throws, not those that break it. */
const MESSENGERS = /^(use_after_free|VM_BUG_ON|would_wait|vm_area_struct|get|set|new)$/;
/** How many functions name a place. */
const DEEPEST = 3;

/** A result of a call: "-ENOMEM", "0", "signal SIGSEGV". */
export function errnoWords(result: unknown): string {
  if (typeof result === "number") return result < 0 ? `-${errnoNames[-result] ?? String(-result)}` : String(result);
  if (typeof result !== "object" || result === null) return String(result);
  if ("sig" in result) return `by signal ${String(result.sig)}`;
  return "val" in result ? `the byte ${String(result.val)}` : "";
}

/** Functions of the kernel on a stack, innermost first. */
function functionsOf(stack: string): string[] {
  const found: string[] = [];
  for (const line of stack.split("\n")) {
    const match =
      /^\s+at (?:new |async )?(?:[\w$]+\.)*(?:get |set )?([A-Za-z_]\w*)(?:\$\d+)?(?: \[as [^\]]*\])? \(/.exec(line);
    if (match === null || / (?:get|set) |vm_area_struct\./.test(line)) continue;
    if (/^(?:run|play|as|meet)$/.test(match[1]!)) break;
    if (!MESSENGERS.test(match[1]!)) found.push(match[1]!);
  }
  return found.slice(0, DEEPEST);
}

function kindOf(error: Error): FindingKind {
  if ("waits_for" in error) return "endless wait";
  if (error.name !== "KernelBug") return "error";
  return error.message.startsWith("use after free") ? "use after free" : "broken invariant";
}

export function wrongOf(error: unknown): Wrong {
  if (!(error instanceof Error)) return { kind: "error", what: String(error), where: [] };
  const kind = kindOf(error);
  const what = error.message.replace(/^use after free: /, "");
  return { kind, what: kind === "error" ? `${error.name}: ${what}` : what, where: functionsOf(error.stack ?? "") };
}

/** The same for schedules that show the same thing: numbers differ between them. */
export function signatureOf(w: Wrong): string {
  return [w.kind, w.what.replaceAll(/\d+/g, "N"), ...w.where.slice(0, 2)].join("|");
}

// SPDX-License-Identifier: GPL-2.0-only
/** Schedules as text: "memfd+advice: write, 0=munmap, 0=mmap". */
import { UserError } from "../errors.js";
import { CALLS, findCall } from "./calls.js";
import { findSetup, SETUPS } from "./setups.js";
import type { Injection, Schedule } from "./types.js";

const ADVICE = "+advice";

export function scheduleText(s: Schedule): string {
  const others = s.injections.map(({ at, call }) => `, ${String(at)}=${call}`).join("");
  return `${s.setup}${s.advised ? ADVICE : ""}: ${s.first}${others}`;
}

const list = (all: readonly { readonly name: string }[]): string => `known: ${all.map((one) => one.name).join(", ")}`;

/** A set-up's name, checked. */
export function checkSetup(name: string, option: string): string {
  if (findSetup(name) === undefined) throw new UserError(option, `unknown set-up '${name}'`, list(SETUPS));
  return name;
}

function checkCall(name: string, setup: string, option: string): string {
  const call = findCall(name);
  if (call === undefined) throw new UserError(option, `unknown call '${name}'`, list(CALLS));
  if (call.needs !== undefined && !findSetup(setup)!.has.includes(call.needs)) {
    throw new UserError(option, `'${name}' needs a ${call.needs}, which set-up '${setup}' has not`, "take another");
  }
  return name;
}

/** Reads what {@link scheduleText} writes; the option's name is for errors. */
export function parseSchedule(text: string, option: string): Schedule {
  const match = /^\s*([\w-]+)(\+advice)?\s*:\s*([\w-]+)\s*((?:,\s*\d+\s*=\s*[\w-]+\s*)*)$/.exec(text);
  if (match === null) {
    throw new UserError(
      option,
      `'${text}' is not a schedule`,
      "write SETUP: CALL, N=CALL as in 'memfd: write, 0=munmap'",
    );
  }
  const setup = checkSetup(match[1]!, option);
  const injections: Injection[] = [...match[4]!.matchAll(/(\d+)\s*=\s*([\w-]+)/g)].map(([, at, call]) => ({
    at: Number(at),
    call: checkCall(call!, setup, option),
  }));
  if (injections.some(({ at }, i) => i > 0 && at < injections[i - 1]!.at)) {
    throw new UserError(option, "yield points out of order", "number them upwards");
  }
  return { setup, advised: match[2] !== undefined, first: checkCall(match[3]!, setup, option), injections };
}

/** Negative where `a` is the shorter: fewer calls, then the smaller set-up, plainer calls, earlier points. */
export function compareSchedules(a: Schedule, b: Schedule): number {
  const rank = (s: Schedule): number[] => [
    s.injections.length,
    SETUPS.findIndex((setup) => setup.name === s.setup),
    s.advised ? 1 : 0,
    CALLS.findIndex((call) => call.name === s.first),
    ...s.injections.flatMap(({ at, call }) => [at, CALLS.findIndex((one) => one.name === call)]),
  ];
  const other = rank(b);
  for (const [i, n] of rank(a).entries()) if (n !== other[i]) return n - (other[i] ?? 0);
  return 0;
}

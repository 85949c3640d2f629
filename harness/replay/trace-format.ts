// SPDX-License-Identifier: GPL-2.0-only
/** Recordings of format mm-trace/1 (fixtures/traces): what a line may hold, and the reader. */
import { z } from "zod";
import type { Config } from "../../include/machine.js";
import { errnoNames } from "../../uapi/errno.js";
import { UserError } from "../errors.js";
import { readLines } from "./lines.js";

/** The window of address space that a case lives in. */
export const WINDOW_BASE = 0x200000000000;
export const WINDOW_PAGES = 4096;

/** [range in pages, permissions, page offset, name, VmFlags, page characters] */
export type TraceVma = readonly [string, string, number, string, string, string];

export interface TraceStep {
  readonly call: string;
  readonly args: readonly (number | string | bigint)[];
  readonly ret?: string | undefined;
  readonly code?: number | undefined;
  readonly val?: number | undefined;
  readonly vec?: string | undefined;
  readonly to?: number | bigint | undefined;
  readonly vmas?: readonly TraceVma[] | undefined;
  readonly child_vmas?: readonly TraceVma[] | undefined;
  readonly child?: readonly TraceStep[] | undefined;
  readonly status?: number | undefined;
}

export interface TraceCase {
  readonly id: string;
  readonly line: number;
  /** Where it is there: the process has no capabilities, and RLIMIT_MEMLOCK is so many pages (-1: none). */
  readonly memlock?: number | undefined;
  readonly steps: readonly TraceStep[];
}

export interface SwapOptions {
  readonly pages: number;
  readonly rotational: boolean;
  readonly synchronous: boolean;
}

export interface TraceFile {
  readonly path: string;
  readonly variant: string;
  readonly cpu: string;
  /** What the kernel was configured with, where it was not as the recordings' kernel. */
  readonly config: Partial<Config>;
  /** The device that was swapped to, if there was one. */
  readonly swap?: SwapOptions | undefined;
  readonly cases: readonly TraceCase[];
}

const MAX_PAGES = 2 ** 36;
const MAX_SWAP_PAGES = 2 ** 20;
const page = z.int().min(0).max(WINDOW_PAGES);
const pages = z.int().min(0).max(MAX_PAGES);
const flags = z.int().min(-0x80000000).max(0xffffffff);
const slot = z.int().min(0).max(7);
const byte = z.int().min(0).max(255);
const wide = z.union([
  z.int(),
  z
    .string()
    .regex(/^-?\d+$/)
    .transform((digits) => BigInt(digits)),
]);

/** Arguments by call. */
const argsOf = {
  mmap: z.tuple([page, pages, flags, flags, z.int().min(-1).max(7), pages]),
  munmap: z.tuple([page, pages]),
  mprotect: z.tuple([page, pages, flags]),
  madvise: z.tuple([page, pages, flags]),
  madvise_bytes: z.tuple([wide, wide, flags]),
  mremap: z.tuple([page, pages, pages, flags, page]),
  mlock: z.tuple([page, pages]),
  munlock: z.tuple([page, pages]),
  mlock2: z.tuple([page, pages, flags]),
  msync: z.tuple([page, pages, flags]),
  name: z.union([z.tuple([page, pages, z.string()]), z.tuple([page, pages])]),
  r: z.tuple([page]),
  w: z.tuple([page, byte]),
  memfd: z.tuple([slot, pages]),
  ftruncate: z.tuple([slot, pages]),
  pwrite: z.tuple([slot, pages, byte]),
  pread: z.tuple([slot, pages]),
  falloc: z.tuple([slot, flags, pages, pages]),
  mincore: z.tuple([page, pages]),
} as const;

const knownErrnos = new Set(Object.values(errnoNames));
const ret = z
  .string()
  .refine((r) => r === "0" || r === "SIGSEGV" || r === "SIGBUS" || knownErrnos.has(r) || /^E\d+$/.test(r), {
    error: "neither 0, an errno nor a signal",
  });
const range = z.string().refine(rangeIsSound, { error: "not a range of pages" });
const Vma = z.tuple([
  range,
  z.string().regex(/^[r-][w-][x-][ps]$/, "not permissions as in smaps"),
  z.int().min(0),
  z.string(),
  z.string().regex(/^(?:[a-z?]{2}(?: [a-z?0-9]{2})*)?$/, "not VmFlags as in smaps"),
  z
    .string()
    .regex(/^[-zacfTFkw]*$/, "has characters that docs/RECORDINGS.md does not name")
    .max(1024),
]);
const vmas = z.array(Vma).optional();

function rangeIsSound(text: string): boolean {
  const m = /^(\d{1,12})-(\d{1,12})$/.exec(text);
  return m !== null && Number(m[1]) < Number(m[2]) && Number(m[1]) < WINDOW_PAGES;
}

const result = {
  ret,
  code: z.int().optional(),
  val: byte.optional(),
  vec: z
    .string()
    .regex(/^[01]*$/)
    .optional(),
  vmas,
};

function callSchema<T extends z.ZodType>(name: string, args: T) {
  return z.object({ call: z.literal(name), args, ...result, to: wide.optional() });
}

const plain = Object.entries(argsOf).map(([name, args]) => callSchema(name, args));
const knownCalls = new Set([...Object.keys(argsOf), "fork"]);
const byCall = z.discriminatedUnion("call", plain as [(typeof plain)[number], ...typeof plain]);
const Fork: z.ZodType = z.object({
  call: z.literal("fork"),
  child_vmas: z.array(Vma),
  child: z.array(z.unknown()),
  status: z.int().min(0).max(255),
  vmas,
});

const HeaderConfig = z.strictObject({
  ANON_VMA_NAME: z.boolean(),
  KSM: z.boolean(),
  TRANSPARENT_HUGEPAGE: z.boolean(),
  mm_forbids_zeropage: z.boolean(),
  overcommit_memory: z.int().min(0).max(2),
  thp_enabled: z.enum(["always", "madvise", "never"]).exactOptional(),
  thp_defrag: z.enum(["always", "defer", "defer+madvise", "madvise", "never"]).exactOptional(),
  shmem_enabled: z.enum(["always", "within_size", "advise", "never", "deny", "force"]).exactOptional(),
  page_cluster: z.int().min(0).max(31).exactOptional(),
});
/** The one device that was swapped to: pages, and what it is like. */
const Swap = z.strictObject({
  pages: z.int().min(2).max(MAX_SWAP_PAGES),
  rotational: z.boolean(),
  synchronous: z.boolean(),
});
const Header = z.object({
  format: z.literal("mm-trace/1", { error: "not of format mm-trace/1" }),
  kernel: z.string(),
  variant: z.string(),
  cpu: z.string(),
  config: HeaderConfig.optional(),
  swap: Swap.optional(),
});
const Case = z.object({
  case: z.string().min(1),
  memlock: z.int().min(-1).optional(),
  steps: z.array(z.unknown()),
});

const TODO = "compare with docs/RECORDINGS.md or record it again";

function complain(where: string, at: string, error: z.ZodError): never {
  const issue = error.issues[0]!;
  const path = [at, ...issue.path.map(String)].filter((part) => part !== "").join(".");
  throw new UserError(where, `${path === "" ? "" : `${path}: `}${issue.message}`, TODO);
}

function check<T extends z.ZodType>(schema: T, value: unknown, where: string, at: string): z.output<T> {
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : complain(where, at, parsed.error);
}

function nameOfCall(value: unknown): string {
  if (typeof value !== "object" || value === null || !("call" in value)) return "";
  return typeof value.call === "string" ? value.call : "";
}

function readStep(value: unknown, where: string, at: string): TraceStep {
  const call = nameOfCall(value);
  if (!knownCalls.has(call)) throw new UserError(where, `${at}: unknown call ${JSON.stringify(call)}`, TODO);
  if (call !== "fork") return check(byCall, value, where, at);
  const fork = check(Fork, value, where, at) as TraceStep & { child: unknown[] };
  return { ...fork, args: [], child: fork.child.map((s, i) => readStep(s, where, `${at}.child.${String(i)}`)) };
}

/** Numbers too long for a double become strings, which the schema turns into bigints. */
function parseJson(line: string, where: string): unknown {
  const exact = /\d{16}/.test(line) ? line.replace(/(?<=[[,:])-?\d{16,}(?=[,\]}])/g, '"$&"') : line;
  try {
    return JSON.parse(exact) as unknown;
  } catch {
    throw new UserError(where, "the line is cut or damaged: it is not one JSON object", "fetch the recording again");
  }
}

function readCase(line: string, path: string, nr: number): TraceCase {
  const where = `${path}:${String(nr)}`;
  const c = check(Case, parseJson(line, where), where, "");
  const steps = c.steps.map((s, i) => readStep(s, where, `steps.${String(i)}`));
  return { id: c.case, line: nr, memlock: c.memlock, steps };
}

/** Does this first line say that a file is of format mm-trace/1? */
export function isTraceHeader(line: string): boolean {
  return line.startsWith("{") && line.includes('"mm-trace/');
}

/** Checks the lines of a recording; bad input is a UserError that names `path` and line. */
export function parseTrace(lines: readonly string[], path: string): TraceFile {
  const header = check(Header, parseJson(lines[0]!, `${path}:1`), `${path}:1`, "");
  const cases = lines.slice(1).map((line, i) => readCase(line, path, i + 2));
  return { path, variant: header.variant, cpu: header.cpu, config: header.config ?? {}, swap: header.swap, cases };
}

/** Reads and checks a whole recording. */
export function readTrace(path: string): TraceFile {
  return parseTrace(readLines(path), path);
}

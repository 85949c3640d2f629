// SPDX-License-Identifier: GPL-2.0-only
/** Runs one test on one variant: body, invariants, and what was declared about it. */
import { noteOf } from "../ktap/outcome.js";
import { TestContext } from "./context.js";
import { isLoaded, kernelOf, type BootOptions } from "./kernels.js";
import { InvariantError, isAssertion, SkipSignal, XfailSignal } from "./signals.js";

/**
 * A variant on which the body is to fail. The plain reason allows for a failed assertion only; with `error`, whatever
 * fails must match it, as "Name: message" (`KernelBug`, `InvariantError` …).
 */
export type Difference = string | { readonly reason: string; readonly error: RegExp };

export interface TestOptions {
  /** Variants on which the body is expected to fail: what happens there, and why. If it passes there, that is a failure. */
  readonly differs?: Readonly<Record<string, Difference>>;
  /** The only variants that it runs on, and why; skipped on the others. */
  readonly only?: Readonly<Record<string, string>>;
  /** Runs on these variants and no others, whatever the others run on: alternatives that it is about. */
  readonly kernels?: readonly string[];
  /** How the test's machine is booted, over what the fixture says. */
  readonly boot?: BootOptions;
  /** Milliseconds. */
  readonly timeout?: number;
}

export interface TestSpec {
  /** Name without the variant. */
  readonly title: string;
  readonly options: TestOptions;
  readonly boot: BootOptions;
  readonly param: unknown;
  run(t: TestContext<unknown, unknown>): unknown;
}

const BUILD_TIMEOUT_MS = 120_000;

function reasonOf(difference: Difference): string {
  return typeof difference === "string" ? difference : difference.reason;
}

function matches(difference: Difference, error: unknown): boolean {
  if (typeof difference === "string") return isAssertion(error);
  return error instanceof Error && difference.error.test(`${error.name}: ${error.message}`);
}

/** Skipped on this variant by `only`? */
function skipReason(options: TestOptions, variant: string): string | undefined {
  const { only } = options;
  return only === undefined || variant in only ? undefined : Object.values(only).join("; ");
}

/** Invariants of all machines that the test booted: as they are, then with every task gone. */
function brokenInvariants(t: TestContext<unknown, unknown>): string[] {
  const broken = [...t.violations];
  t.machines.forEach(({ k }, i) => {
    const which = t.machines.length > 1 ? `machine ${String(i + 1)}: ` : "";
    const live = t.kernel.checkMachine(k);
    const lines = live.length > 0 ? live : t.kernel.checkExit(k).map((line) => `after exit: ${line}`);
    broken.push(...lines.map((line) => which + line));
  });
  return broken;
}

/** What went wrong, or undefined. A broken invariant counts unless the body has ended with something worse. */
async function failureOf(spec: TestSpec, t: TestContext<unknown, unknown>): Promise<unknown> {
  let failure: unknown;
  try {
    await spec.run(t);
  } catch (error) {
    failure = error ?? new Error("nothing was thrown");
  } finally {
    t.restore();
  }
  const early = failure instanceof SkipSignal || failure instanceof XfailSignal;
  if (failure !== undefined && !early && !isAssertion(failure)) return failure;
  let broken: string[];
  try {
    broken = brokenInvariants(t);
  } catch (error) {
    return failure ?? error;
  }
  if (broken.length === 0) return failure;
  const also = failure instanceof Error && !early ? { cause: failure } : {};
  return new InvariantError(`the test left the machine broken:\n${broken.join("\n")}`, also);
}

/** The body of mocha's test. */
export async function runOn(variant: string, spec: TestSpec, context: Mocha.Context): Promise<void> {
  const note = noteOf(context.test ?? {});
  const skip = skipReason(spec.options, variant);
  if (skip !== undefined) {
    note.skip = skip;
    context.skip();
  }
  if (!isLoaded(variant)) context.timeout(BUILD_TIMEOUT_MS);
  else if (spec.options.timeout !== undefined) context.timeout(spec.options.timeout);
  const kernel = await kernelOf(variant);
  const t = new TestContext<unknown, unknown>(variant, kernel, { ...spec.boot, ...spec.options.boot }, spec.param);
  const failure = await failureOf(spec, t);
  t.retire();
  if (Object.keys(t.observations).length > 0) note.observations = t.observations;
  if (failure instanceof SkipSignal) {
    note.skip = failure.message;
    context.skip();
  }
  const declared = spec.options.differs?.[variant];
  if (declared !== undefined) {
    if (failure === undefined) throw new Error(`declared to differ on ${variant}, does not: ${reasonOf(declared)}`);
    // What the test threw is handed on as it is.
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    if (!matches(declared, failure)) throw failure;
    note.xfail = reasonOf(declared);
  } else if (failure instanceof XfailSignal) {
    note.xfail = failure.message;
  } else if (failure !== undefined) {
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    throw failure;
  }
}

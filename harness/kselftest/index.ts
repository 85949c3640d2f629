// SPDX-License-Identifier: GPL-2.0-only
/**
 * The words of tools/testing/selftests/kselftest_harness.h over mocha. Each test runs on each kernel variant, on a
 * machine of its own, and is followed by a check of the machine's invariants.
 *
 *     describe("madvise: split and merge", () => {
 *       const advised = FIXTURE("advised", { setup: (t) => ({ addr: t.sys.mmap(…) }) });
 *       FIXTURE_VARIANT(advised, "shared", { flags: MAP_SHARED | MAP_ANONYMOUS });
 *       TEST_F(advised, "head", { differs: { base: "EINVAL: base does not know the advice" } }, (t) => {
 *         expect(t.sys.madvise(t.self.addr, PAGE_SIZE, MADV_NOMOVABLE)).to.equal(0);
 *       });
 *     });
 */
import { noteOf } from "../ktap/outcome.js";
import { DEFAULT_BOOT, type TestContext } from "./context.js";
import { variantsFor, type BootOptions } from "./kernels.js";
import { runOn, type TestOptions, type TestSpec } from "./run.js";

export { expect } from "chai";
export { TestContext, type Booted } from "./context.js";
export { testedVariants, type BootOptions, type KernelModule, type Syscalls } from "./kernels.js";
export type { Difference, TestOptions } from "./run.js";
export { SKIP, XFAIL } from "./signals.js";

export type Body<Self, Param> = (t: TestContext<Self, Param>) => void | Promise<void>;

export interface FixtureOptions<Self, Param> {
  /** How the machine of each test is booted. */
  readonly boot?: BootOptions;
  /** Runs before each test; what it returns is `t.self`. */
  readonly setup?: (t: TestContext<undefined, Param>, param: Param) => Self;
  /** Runs after each test that its setup did not fail. */
  readonly teardown?: (t: TestContext<Self, Param>) => void;
}

/** A fixture and its variants; made by {@link FIXTURE}. */
export interface Fixture<Self, Param> {
  readonly name: string;
  readonly options: FixtureOptions<Self, Param>;
  readonly variants: { readonly name: string; readonly param: Param; readonly options: TestOptions }[];
}

/** Declares a fixture. */
export function FIXTURE<Self = undefined, Param = undefined>(
  name: string,
  options: FixtureOptions<Self, Param> = {},
): Fixture<Self, Param> {
  return { name, options, variants: [] };
}

/** Adds a variant of a fixture: its later TEST_Fs run once for each, with `param` as `t.param`. */
export function FIXTURE_VARIANT<Self, Param>(
  fixture: Fixture<Self, Param>,
  name: string,
  param: Param,
  options: TestOptions = {},
): void {
  fixture.variants.push({ name, param, options });
}

function register(spec: TestSpec): void {
  for (const variant of variantsFor(spec.options.kernels)) {
    const test = it(`${spec.title} [${variant}]`, function () {
      return runOn(variant, spec, this);
    });
    Object.assign(noteOf(test), { variant, title: spec.title });
  }
}

/** Declares a test. */
export function TEST(name: string, body: Body<undefined, undefined>): void;
export function TEST(name: string, options: TestOptions, body: Body<undefined, undefined>): void;
export function TEST(
  name: string,
  first: TestOptions | Body<undefined, undefined>,
  second?: Body<undefined, undefined>,
): void {
  const [options, body] = typeof first === "function" ? [{}, first] : [first, second];
  if (body === undefined) throw new TypeError(`TEST("${name}") has no body`);
  register({ title: name, options, boot: DEFAULT_BOOT, param: undefined, run: (t) => body(t as TestContext) });
}

function merged(a: TestOptions, b: TestOptions): TestOptions {
  const differs = { ...a.differs, ...b.differs };
  return { ...a, ...b, differs, boot: { ...a.boot, ...b.boot } };
}

function fixtureSpec<Self, Param>(
  fixture: Fixture<Self, Param>,
  title: string,
  options: TestOptions,
  param: Param,
  body: Body<Self, Param>,
): TestSpec {
  const { boot, setup, teardown } = fixture.options;
  return {
    title,
    options,
    boot: { ...DEFAULT_BOOT, ...boot },
    param,
    async run(any) {
      const t = any as TestContext<Self, Param>;
      if (setup !== undefined) t.self = setup(any as TestContext<undefined, Param>, param);
      try {
        await body(t);
      } finally {
        teardown?.(t);
      }
    },
  };
}

/** Declares a test on a fixture; it runs on each of the fixture's variants declared so far. */
export function TEST_F<Self, Param>(fixture: Fixture<Self, Param>, name: string, body: Body<Self, Param>): void;
export function TEST_F<Self, Param>(
  fixture: Fixture<Self, Param>,
  name: string,
  options: TestOptions,
  body: Body<Self, Param>,
): void;
export function TEST_F<Self, Param>(
  fixture: Fixture<Self, Param>,
  name: string,
  first: TestOptions | Body<Self, Param>,
  second?: Body<Self, Param>,
): void {
  const [options, body] = typeof first === "function" ? [{}, first] : [first, second];
  if (body === undefined) throw new TypeError(`TEST_F(${fixture.name}, "${name}") has no body`);
  if (fixture.variants.length === 0) {
    register(fixtureSpec(fixture, `${fixture.name}.${name}`, options, undefined as Param, body));
  }
  for (const one of fixture.variants) {
    const title = `${fixture.name}.${one.name}.${name}`;
    register(fixtureSpec(fixture, title, merged(one.options, options), one.param, body));
  }
}

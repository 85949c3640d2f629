// SPDX-License-Identifier: GPL-2.0-only
/** Each system call of the model, and each command of its drivers, has an errno table somewhere in these tests. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, TEST } from "../../harness/kselftest/index.js";
import { type Call, ioctls } from "./lib/errnos.js";

/** Calls that never answer with an errno, and why. */
const NEVER: Partial<Record<Call, string>> = {
  brk: "answers where the heap ends, changed or not",
  exit: "does not return",
  getpid: "always has one",
  load: "is no call: a signal is drawn in fault_drawings",
  munlockall: "only a signal could stop it",
  store: "as load",
  VFIO_CHECK_EXTENSION: "answers 0 for what it does not know",
  VFIO_GET_API_VERSION: "always has one",
};

/** The calls that tables are about, by the text of the compiled tests next to this one. */
function tabled(): Set<string> {
  const here = new URL("./", import.meta.url);
  const files = readdirSync(here).filter((name) => name.endsWith(".test.js"));
  const texts = files.map((name) => readFileSync(new URL(name, here), "utf8"));
  return new Set(
    texts.flatMap((text) => [...text.matchAll(/\b(?:errnoTable|refused)\(\s*"(\w+)"/g)].map((m) => m[1]!)),
  );
}

TEST("every system call and every command of ioctl() has an errno table", (t) => {
  const found = tabled();
  const missing = [...Object.keys(t.kernel.syscalls(t.k)), ...Object.keys(ioctls)].filter(
    (call) => !found.has(call) && !(call in NEVER),
  );
  expect(missing).to.deep.equal([]);
});

TEST("calls that are said never to have an errno have no table, and exist", (t) => {
  const found = tabled();
  expect(Object.keys(NEVER).filter((call) => found.has(call))).to.deep.equal([]);
  expect(Object.keys(NEVER)).to.satisfy((names: string[]) => names.every((name) => name in t.sys || name in ioctls));
});

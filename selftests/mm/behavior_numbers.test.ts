// SPDX-License-Identifier: GPL-2.0-only
/** Which numbers madvise() knows: every one from -1 to 200, on a page of anonymous memory, as an ordinary user. */
import { CAP_SYS_ADMIN } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F, type TestOptions } from "../../harness/kselftest/index.js";
import { EAGAIN, EINVAL, EPERM, errnoNames } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { advise, bytes, at, map, touch } from "./lib/memory.js";

const names = new Map<number, string>();
for (const [name, value] of Object.entries(uapi)) if (name.startsWith("MADV_")) names.set(value, name);

/** What v6.1 answers where it is neither 0 nor, for a number that is no advice, EINVAL. */
const refused = new Map([
  [uapi.MADV_REMOVE, EINVAL],
  [uapi.MADV_COLLAPSE, EINVAL],
  [uapi.MADV_HWPOISON, EPERM],
  [uapi.MADV_SOFT_OFFLINE, EPERM],
]);

const anonymous = FIXTURE("anonymous", {
  setup(t) {
    t.k.current.capabilities.delete(CAP_SYS_ADMIN);
    map(t, 0, 1);
    touch(t, 0, 1);
  },
});

function differs(behavior: number): TestOptions {
  return behavior === uapi.MADV_NOMOVABLE ? { differs: { base: "EINVAL: 26 is no advice on base" } } : {};
}

describe("madvise: which behaviors are valid", () => {
  for (let behavior = -1; behavior <= 200; behavior++) {
    const name = names.get(behavior);
    const expected = name === undefined ? EINVAL : (refused.get(behavior) ?? 0);
    const title = `behavior ${behavior}${name === undefined ? "" : ` (${name})`}: ${errnoNames[expected] ?? "success"}`;
    TEST_F(anonymous, title, differs(behavior), (t) => {
      const ret = advise(t, 0, 1, behavior);
      t.observe("errno", ret === 0 ? "0" : (errnoNames[-ret] ?? String(ret)));
      expect(ret).to.equal(expected === 0 ? 0 : -expected);
    });
  }

  const configured: readonly [string, Record<string, boolean>, readonly number[]][] = [
    ["KSM", { KSM: false }, [uapi.MADV_MERGEABLE, uapi.MADV_UNMERGEABLE]],
    [
      "TRANSPARENT_HUGEPAGE",
      { TRANSPARENT_HUGEPAGE: false },
      [uapi.MADV_HUGEPAGE, uapi.MADV_NOHUGEPAGE, uapi.MADV_COLLAPSE],
    ],
    ["MEMORY_FAILURE", { MEMORY_FAILURE: false }, [uapi.MADV_HWPOISON, uapi.MADV_SOFT_OFFLINE]],
  ];
  for (const [option, config, behaviors] of configured) {
    for (const behavior of behaviors) {
      TEST_F(anonymous, `${names.get(behavior)} without CONFIG_${option}: EINVAL`, { boot: { config } }, (t) => {
        expect(advise(t, 0, 1, behavior)).to.equal(-EINVAL);
        expect(t.sys.madvise(at(0), 0, behavior), "zero length").to.equal(-EINVAL);
      });
    }
  }

  const odd: readonly [string, number, number][] = [
    ["2^31 - 1", 2 ** 31 - 1, -EINVAL],
    ["-2^31", -(2 ** 31), -EINVAL],
    ["-EAGAIN", -EAGAIN, -EINVAL],
    ["26 with bit 31 set", 26 - 2 ** 31, -EINVAL],
  ];
  for (const [name, behavior, expected] of odd) {
    TEST_F(anonymous, `behavior ${name}: EINVAL`, (t) => {
      expect(t.sys.madvise(at(0), bytes(1), behavior)).to.equal(expected);
    });
  }
});

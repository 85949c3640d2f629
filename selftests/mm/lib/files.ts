// SPDX-License-Identifier: GPL-2.0-only
/** Files of sysfs and debugfs, as a shell reads and writes them. */
import { expect } from "../../../harness/kselftest/index.js";
import type { T } from "./memory.js";

const O_RDONLY = 0;
const O_WRONLY = 1;

function withFile<R>(t: T, path: string, flags: number, use: (fd: number) => R): R {
  const fd = t.sys.open(path, flags);
  expect(fd, path).to.be.at.least(0);
  const got = use(fd);
  t.sys.close(fd);
  return got;
}

/** echo TEXT > PATH: 0, or -errno. */
export function echo(t: T, text: string, path: string): number {
  const got = withFile(t, path, O_WRONLY, (fd) => t.sys.write(fd, `${text}\n`));
  return got === text.length + 1 ? 0 : got;
}

/** cat PATH, without the newline at its end; or -errno. */
export function cat(t: T, path: string): string | number {
  const got = withFile(t, path, O_RDONLY, (fd) => t.sys.read(fd));
  return typeof got === "string" ? got.replace(/\n$/, "") : got;
}

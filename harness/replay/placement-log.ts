// SPDX-License-Identifier: GPL-2.0-only
/**
 * The log that a recording was written to. place.c prints into a pipe, cut(1) shortens its lines and writes them to a
 * file in tmpfs: a page in 4096 bytes that no run gives back, allocated while guests come and go. Where such a page
 * lands in CMA, its pageblock is never free as a whole again.
 */
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine, Syscalls, Task } from "./kernel.js";

const LOG_PATH = "log";
/** Bytes that stdio and cut(1) gather before they write. */
const BUFFER = 4096;
/** Bytes of the description of the machine, which the log starts with. */
const DESCRIPTION = 3839;

/** Bytes of place.c's lines, as in the recordings. */
export const LINE = { title: 31, start: 295, step: 69, populated: 254, trial: 290 };

export class PlacementLog {
  private readonly k: Machine;
  private readonly sys: Syscalls;
  /** The shell, which outlives all runs. */
  private readonly shell: Task;
  private readonly fd: number;
  private printed = 0;
  private cut = 0;

  constructor(k: Machine, sys: Syscalls) {
    this.k = k;
    this.sys = sys;
    this.shell = k.current;
    const open = [...this.shell.files].find(([, f]) => f.path.includes(LOG_PATH));
    this.fd = open === undefined ? sys.memfd_create(LOG_PATH, 0) : open[0];
    if (open === undefined) this.write(DESCRIPTION);
  }

  /** The shell itself prints a line. */
  title(): void {
    this.write(LINE.title);
  }

  /** place.c prints a line. */
  print(bytes: number): void {
    this.printed += bytes;
    if (this.printed >= BUFFER) this.pass(BUFFER);
  }

  /** place.c ends; its guest is still there. */
  flush(): void {
    this.pass(this.printed);
  }

  /** cut(1) ends too. */
  close(): void {
    this.write(this.cut);
    this.cut = 0;
  }

  private pass(bytes: number): void {
    this.printed -= bytes;
    this.cut += bytes;
    if (this.cut < BUFFER) return;
    this.cut -= BUFFER;
    this.write(BUFFER);
  }

  private write(bytes: number): void {
    const file = this.shell.files.get(this.fd);
    if (file === undefined || bytes === 0) return;
    const running = this.k.current;
    this.k.current = this.shell;
    const end = file.f_inode.i_size + bytes;
    for (let at = file.f_inode.i_size; at < end; at += PAGE_SIZE) this.sys.pwrite(this.fd, 0, at);
    this.sys.pwrite(this.fd, 0, end - 1);
    this.k.current = running;
  }
}

// SPDX-License-Identifier: GPL-2.0-only
/** Reads what `strace -f -y` wrote into calls, in the order in which they ended. */
import { UserError } from "../errors.js";
import { readLines } from "../replay/lines.js";
import { BadLine, type CallText, parseCall, parseLine, type StraceReturn } from "./strace-line.js";

export interface StraceCall {
  readonly pid: number;
  readonly name: string;
  readonly args: readonly string[];
  readonly ret: StraceReturn;
  /** Lines, from 1, at which the call was made and at which it ended. */
  readonly from: number;
  readonly line: number;
}

export interface StraceExit {
  readonly pid: number;
  readonly status: number;
  readonly signal: string | null;
  readonly line: number;
}

export type StraceEvent = StraceCall | StraceExit;

export interface Strace {
  readonly path: string;
  readonly events: readonly StraceEvent[];
  /** The first process. */
  readonly pid: number;
  /** Calls that the recording did not see the end of. */
  readonly unfinished: readonly { readonly pid: number; readonly name: string; readonly line: number }[];
}

export function isCall(event: StraceEvent): event is StraceCall {
  return "name" in event;
}

/** Calls that the replay makes. */
const made = new Set(
  `brk clone clone3 close close_range dup dup2 dup3 eventfd2 execve exit exit_group fallocate fork ftruncate
  madvise mbind memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap open openat pkey_alloc
  pkey_free pkey_mprotect prctl process_madvise set_mempolicy vfork`.split(/\s+/),
);

/** Calls that a trace may hold and that change nothing the model shows. */
const harmless = new Set(
  `access arch_prctl bind chdir clock_gettime clock_nanosleep connect creat epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd
  faccessat faccessat2 fadvise64 fcntl fdatasync flock fstat fstatfs fsync futex get_mempolicy get_robust_list getcwd getdents64
  getegid geteuid getgid getpid getppid getrandom getrlimit getrusage getsockname getsockopt gettid getuid io_uring_enter
  io_uring_register io_uring_setup ioctl kill listen lseek lstat membarrier migrate_pages mkdir mkdirat move_pages
  nanosleep newfstatat open_by_handle_at pipe pipe2 pkey_get pkey_set poll ppoll pread64 preadv prlimit64 pselect6 pwrite64 pwritev read
  readahead readlink readlinkat readv recvfrom recvmsg rename restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend
  rt_sigtimedwait sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler
  sched_setaffinity sched_setparam sched_setscheduler sched_yield select sendmsg sendto set_mempolicy_home_node
  set_robust_list set_tid_address setitimer setpgid setpriority setrlimit setsid setsockopt shutdown sigaltstack signalfd4
  socket socketpair stat statfs statx sync sysinfo tgkill time timer_create timer_delete timer_settime timerfd_create
  timerfd_settime times umask uname unlink unlinkat utimensat wait4 waitid write writev`.split(/\s+/),
);

/** Does the replay make this call? */
export function isMade(name: string): boolean {
  return made.has(name);
}

interface Open {
  readonly name: string;
  readonly text: string;
  readonly line: number;
}

class Reader {
  readonly events: StraceEvent[] = [];
  readonly open = new Map<number, Open>();
  private readonly path: string;
  first = -1;

  constructor(path: string) {
    this.path = path;
  }

  line(text: string, nr: number): void {
    try {
      this.take(text, nr);
    } catch (error) {
      if (!(error instanceof BadLine)) throw error;
      throw new UserError(this.where(nr), error.message, "record the workload again with strace -f -y");
    }
  }

  private where(nr: number): string {
    return `${this.path}:${String(nr)}`;
  }

  private take(text: string, nr: number): void {
    const detached = text.replace(/ <detached \.\.\.>$/, " <unfinished ...>");
    const parsed = parseLine(detached);
    if (this.first < 0) this.first = parsed.pid;
    switch (parsed.kind) {
      case "call":
        this.end(parsed.pid, parsed.call, parsed.ret, nr, nr);
        break;
      case "unfinished":
        this.known(parsed.name);
        this.open.set(parsed.pid, { name: parsed.name, text: parsed.text, line: nr });
        break;
      case "resumed":
        this.resumed(parsed.pid, parsed.name, parsed.text, nr);
        break;
      case "exited":
        this.open.delete(parsed.pid);
        this.events.push({ pid: parsed.pid, status: parsed.status, signal: parsed.signal, line: nr });
        break;
      case "signal":
        break;
    }
  }

  private known(name: string): void {
    if (!made.has(name) && !harmless.has(name)) throw new BadLine(`unknown call ${JSON.stringify(name)}`);
  }

  private end(pid: number, call: CallText, ret: StraceReturn, from: number, line: number): void {
    this.known(call.name);
    this.events.push({ pid, name: call.name, args: call.args, ret, from, line });
  }

  private resumed(pid: number, name: string, rest: string, nr: number): void {
    const begun = this.open.get(pid);
    if (begun?.name !== name) throw new BadLine(`${name} is resumed, but was not begun by ${String(pid)}`);
    this.open.delete(pid);
    const glue = begun.text === "" || begun.text.endsWith(",") || rest.trimStart().startsWith(")") ? "" : " ";
    const { call, ret } = parseCall(`${name}(${begun.text}${glue}${rest.trimStart()}`);
    this.end(pid, call, ret, begun.line, nr);
  }
}

/** Reads a whole recording; bad input is a UserError that names file and line. */
export function readStrace(path: string): Strace {
  const reader = new Reader(path);
  for (const [i, text] of readLines(path).entries()) reader.line(text, i + 1);
  const unfinished = [...reader.open].map(([pid, o]) => ({ pid, name: o.name, line: o.line }));
  return { path, events: reader.events, pid: reader.first, unfinished };
}

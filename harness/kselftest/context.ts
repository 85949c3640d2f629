// SPDX-License-Identifier: GPL-2.0-only
/** What a test's body is handed: a machine of its own, the system calls, and means to watch and to compare. */
import { config, expect } from "chai";
import sinon from "sinon";
import type { task_struct } from "../../include/linux/sched.js";
import { PF_CHECKED } from "../task-flags.js";
import type { BootOptions, KernelModule, Machine, Syscalls } from "./kernels.js";
import { SkipSignal } from "./signals.js";

// Misspelt assertions do not compile, so chai need not look out for them while tests run.
config.useProxy = false;

/** What tests share that run on one kernel. */
class Shared {
  /** What boots came to, by their options. */
  readonly baselines = new Map<string, object>();
  readonly buffers: InstanceType<KernelModule["BufferPool"]>;
  private methods: object | undefined;
  constructor(kernel: KernelModule) {
    this.buffers = new kernel.BufferPool();
  }

  /** The system calls of a machine; what is wrong after one is added to `violations`. */
  watched(k: Machine, sys: Syscalls, violations: string[]): Syscalls {
    this.methods ??= watching(sys);
    return Object.assign(Object.create(this.methods) as object, { k, sys, violations }) as unknown as Syscalls;
  }
}

const sharedOf = new WeakMap<KernelModule, Shared>();

function shared(kernel: KernelModule): Shared {
  let known = sharedOf.get(kernel);
  if (known === undefined) sharedOf.set(kernel, (known = new Shared(kernel)));
  return known;
}

/** Small and fast; a fixture or a test that needs more says so. */
export const DEFAULT_BOOT: BootOptions = { memory: 16 << 20 };

/** One booted machine and its system calls, run by `k.current`. */
export interface Booted {
  readonly k: Machine;
  readonly sys: Syscalls;
}

/** What a method of {@link watching} has at hand. */
interface Watched {
  readonly k: Machine;
  readonly sys: Record<string, (...args: unknown[]) => unknown>;
  readonly violations: string[];
}

/** A table's calls as methods of {@link Watched}, each noting a PF_MEMALLOC flag that it leaves on its task. */
function watching(table: Syscalls): object {
  const methods: Record<string, unknown> = {};
  for (const name of Object.keys(table)) {
    methods[name] = function (this: Watched, ...args: unknown[]): unknown {
      const task = this.k.current;
      const before = task.flags & PF_CHECKED;
      const result = this.sys[name]!(...args);
      const left = task.flags & PF_CHECKED & ~before;
      if (left !== 0) this.violations.push(`${name}() left flag 0x${left.toString(16)} on task ${String(task.pid)}`);
      return result;
    };
  }
  return methods;
}

export class TestContext<Self = undefined, Param = undefined> {
  /** The variant's name: "base", "patch" … */
  readonly variant: string;
  /** What kernel/index.ts of the variant exports. */
  readonly kernel: KernelModule;
  /** What the fixture's setup returned. */
  self!: Self;
  /** What the FIXTURE_VARIANT gave. */
  readonly param: Param;
  readonly expect = expect;
  readonly observations: Record<string, unknown> = {};
  /** Every machine that the test booted. */
  readonly machines: Booted[] = [];
  /** Invariants that broke while the body ran. */
  readonly violations: string[] = [];
  private readonly bootOptions: BootOptions;
  private sandbox_: sinon.SinonSandbox | undefined;
  private first: Booted | undefined;

  constructor(variant: string, kernel: KernelModule, bootOptions: BootOptions, param: Param) {
    this.variant = variant;
    this.kernel = kernel;
    this.bootOptions = bootOptions;
    this.param = param;
  }

  /** The test's machine. */
  get k(): Machine {
    return this.machine.k;
  }

  /** The test's system calls, run by `k.current`. */
  get sys(): Syscalls {
    return this.machine.sys;
  }

  private get machine(): Booted {
    return (this.first ??= this.boot());
  }

  /** Boots a machine: another one each time. Options are put over the fixture's. */
  boot(options: BootOptions = {}): Booted {
    const { buffers } = shared(this.kernel);
    const k = this.kernel.boot({ buffers, ...this.bootOptions, ...options });
    this.checkBoot(k, JSON.stringify([this.bootOptions, options]));
    const booted = { k, sys: shared(this.kernel).watched(k, this.kernel.syscalls(k), this.violations) };
    this.machines.push(booted);
    this.first ??= booted;
    return booted;
  }

  /** Checks a machine that has just booted, once for all that boot in the same way: a boot has no chance in it. */
  private checkBoot(k: Machine, how: string): void {
    const { baselines } = shared(this.kernel);
    const baseline = baselines.get(how);
    if (baseline !== undefined) {
      this.kernel.adoptBaseline(k, baseline);
      return;
    }
    const broken = this.kernel.checkMachine(k);
    if (broken.length > 0) this.violations.push(...broken.map((line) => `at boot: ${line}`));
    const noted = this.kernel.checkedBaseline(k);
    if (broken.length === 0 && noted !== undefined) baselines.set(how, noted);
  }

  /** Gives up the machine that was booted last, before the test ends; its invariants are the caller's to check. */
  drop(): void {
    const { k } = this.machines.pop()!;
    if (this.first?.k === k) this.first = undefined;
    k.mem.retire();
    k.pte_memory.retire();
  }

  /** sinon, put back after the test. */
  get sandbox(): sinon.SinonSandbox {
    return (this.sandbox_ ??= sinon.createSandbox());
  }

  /** Runs a function as another task. */
  as<T>(task: task_struct, run: () => T): T {
    const { k } = this;
    const before = k.current;
    k.current = task;
    try {
      return run();
    } finally {
      if (!before.exited) k.current = before;
    }
  }

  /** Forks; returns the child, which has not run. Fails the test if fork does. */
  fork(): task_struct {
    const pid = this.sys.fork();
    const child = this.k.tasks.get(pid);
    if (child === undefined) throw new Error(`fork() returned ${String(pid)}`);
    return child;
  }

  /** Forks a child that runs the body and exits; returns what the body did. */
  inChild<T>(run: (child: task_struct) => T): T {
    const child = this.fork();
    const result = this.as(child, () => run(child));
    if (!child.exited) this.as(child, () => this.sys.exit(0));
    return result;
  }

  /** Rows of smaps of a task. */
  smaps(task: task_struct = this.k.current): ReturnType<KernelModule["show_smaps"]> {
    if (task.mm === null) throw new Error(`task ${String(task.pid)} has no address space`);
    return this.kernel.show_smaps(this.k, task.mm);
  }

  /** Records something that is compared between variants later. It must survive JSON. */
  observe(key: string, value: unknown): void {
    this.observations[key] = value;
  }

  /** Ends the test: it does not apply. */
  skip(reason: string): never {
    throw new SkipSignal(reason);
  }

  restore(): void {
    this.sandbox_?.restore();
  }

  /** Nothing of the test is used any more. */
  retire(): void {
    while (this.machines.length > 0) this.drop();
  }
}

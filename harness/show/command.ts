// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof show`: checks what was asked for, boots, replays, prints. */
import type { BootOptions } from "../../kernel/boot.js";
import { errnoNames } from "../../uapi/errno.js";
import type { ShowFlags } from "../commands/show.js";
import { UserError } from "../errors.js";
import { bootOptionsOf, planHost } from "../evaluate/host.js";
import { checkWritable, writeFileWhole } from "../output.js";
import { readPlacement } from "../replay/placement-format.js";
import { loadVariant } from "../variants/load.js";
import { findVariant } from "../variants/spec.js";
import { needGuest } from "../workload/guest.js";
import { readWorkload, type Workload } from "../workload/read.js";
import { replayProgram, type ReplayedProgram, type ReplayOptions } from "../workload/replay.js";
import { procFiles, type ProcFile, type Subject } from "./files.js";

const USES: Readonly<Record<string, NonNullable<ReplayOptions["onGuestMemory"]>>> = {
  none: "none",
  advised: "after-mmap",
  late: "after-populate",
};

const SEED = 1;

function wantedFiles(names: readonly string[], flags: ShowFlags): (readonly [string, ProcFile])[] {
  const files = names.map((name) => {
    const file = procFiles.get(name.replace(/^\/proc\/(?:self\/)?/, ""));
    if (file === undefined) throw new UserError(name, "cannot be shown", `known: ${[...procFiles.keys()].join(", ")}`);
    return [name.replace(/^\/proc\/(?:self\/)?/, ""), file] as const;
  });
  if (flags.binary !== true) return files;
  const binary = [...procFiles].filter(([, file]) => file.binary !== undefined).map(([name]) => name);
  if (files.length > 1) throw new UserError("--binary", "one file at a time", `give one of ${binary.join(", ")}`);
  if (files[0]?.[1].binary === undefined) {
    throw new UserError("--binary", `${String(files[0]?.[0])} is text`, `give one of ${binary.join(", ")}`);
  }
  if (flags.output === undefined) throw new UserError("--binary", "where to is not said", "give --output FILE");
  return files;
}

/** The machine to boot. */
function hostOf(flags: ShowFlags): BootOptions {
  const { like, memory, cma, movablecore } = flags;
  if (like !== undefined) {
    const size = [["--memory", memory] as const, ["--cma", cma] as const, ["--movablecore", movablecore] as const];
    const given = size.find(([, bytes]) => bytes !== undefined);
    if (given !== undefined) throw new UserError(given[0], "the recording of --like says how large the machine is");
    return { like: readPlacement(like).boots[0]!, seed: SEED };
  }
  const sizes = { ...(memory === undefined ? {} : { memory }), ...(cma === undefined ? {} : { cma }) };
  if (movablecore === undefined) {
    const use = { id: "", variant: "", advice: "none", title: "" } as const;
    return bootOptionsOf({ ...planHost(sizes), kernelDir: "", use, workload: "", seed: SEED });
  }
  const host = planHost({ ...sizes, cma: cma ?? 0 });
  if (movablecore >= host.memory) {
    throw new UserError("--movablecore", "is not less than the memory", "give less of it or more --memory");
  }
  return { memory: host.memory, cma: host.cma, movablecore, seed: SEED };
}

function replayOptions(flags: ShowFlags, workload: Workload): ReplayOptions {
  const onGuestMemory = USES[flags.use];
  if (onGuestMemory === undefined) {
    throw new UserError("--use", `unknown use '${flags.use}'`, `known: ${Object.keys(USES).join(", ")}`);
  }
  if (onGuestMemory !== "none") needGuest(workload.strace);
  const last = workload.strace.events.at(-1)?.line ?? 0;
  const { at } = flags;
  if (at !== undefined && at > last) {
    const what = `line ${String(at)} is behind the last call of ${workload.strace.path}, at line ${String(last)}`;
    throw new UserError("--at", what, "give a smaller number");
  }
  return { onGuestMemory, ...(at === undefined ? {} : { until: at }) };
}

/** The process to show, which must have an address space if a file of it is asked for. */
function taskOf(run: ReplayedProgram, workload: Workload, pid: number, needed: boolean): ReplayedProgram["task"] {
  const task = run.tasks.get(pid);
  const known = [...run.tasks].filter(([, one]) => !one.exited).map(([n]) => String(n));
  const todo = known.length === 0 ? "give a smaller --at" : `there are ${known.join(", ")}`;
  if (task === undefined) throw new UserError("--pid", `${workload.name} has no process ${String(pid)} then`, todo);
  if (needed && (task.exited || task.mm === null)) {
    throw new UserError("--pid", `process ${String(pid)} of ${workload.name} has ended by then`, todo);
  }
  return task;
}

function textOf(files: readonly (readonly [string, ProcFile])[], s: Subject): string {
  const title = (name: string, file: ProcFile): string =>
    files.length === 1 ? "" : `==> /proc/${file.ofTask ? `${String(s.pid)}/` : ""}${name} <==\n`;
  return files.map(([name, file]) => title(name, file) + file.text(s)).join("\n");
}

/** Replays and prints, or writes to --output. */
export async function show(names: readonly string[], flags: ShowFlags): Promise<void> {
  const files = wantedFiles(names, flags);
  const host = hostOf(flags);
  const spec = findVariant(flags.variant);
  const workload = readWorkload(flags.workload);
  const options = replayOptions(flags, workload);
  if (flags.output !== undefined) checkWritable([flags.output]);
  const { kernel } = await loadVariant(spec);
  const k = kernel.boot(host);
  const run = replayProgram(kernel, k, workload, options);
  if (run.advice !== null && run.advice < 0) {
    const what = `${spec.name} refuses the advice (${errnoNames[-run.advice] ?? String(run.advice)})`;
    throw new UserError("--use", what, "give a --variant that knows it, such as patch");
  }
  const pid = flags.pid ?? workload.strace.pid;
  const needed = files.some(([, file]) => file.ofTask);
  const subject: Subject = { kernel, k, task: taskOf(run, workload, pid, needed), pid };
  const binary = flags.binary === true ? files[0]?.[1].binary : undefined;
  const content = binary === undefined ? textOf(files, subject) : [...binary(subject)];
  if (flags.output !== undefined) writeFileWhole(flags.output, content);
  else if (typeof content === "string") process.stdout.write(content);
}

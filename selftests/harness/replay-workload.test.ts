// SPDX-License-Identifier: GPL-2.0-only
/** A recorded program, line by line: how files were opened, policies of nodes that the machine lacks, other kernels. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { KernelModule } from "../../harness/replay/kernel.js";
import { loadVariant } from "../../harness/variants/load.js";
import { compareAfter, type WorkloadComparison } from "../../harness/workload/compare.js";
import { readWorkload } from "../../harness/workload/read.js";
import { type ReplayedProgram, replayProgram } from "../../harness/workload/replay.js";

const AT = 0x7f0000000000;
const HEX = AT.toString(16);
const BEFORE = "00400000-00401000 r-xp 00000000 00:00 0 /bin/true\nVmFlags: rd ex mr mw me \n";
const ANON = "MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS";

/** A line of smaps: pages from, to and before which (of the offset), and the rest. */
function vma(from: number, to: number, perms: string, name: string, flags: string, anonymous = 0): string {
  const range = `${(AT + from * 4096).toString(16)}-${(AT + to * 4096).toString(16)}`;
  return `${range} ${perms} 00000000 00:00 0 ${name}\nAnonymous: ${String(anonymous)} kB\nVmFlags: ${flags}\n`;
}

describe("replay: a recorded program", () => {
  let base: KernelModule;
  let patch: KernelModule;
  let folder: string;
  before(async function () {
    this.timeout(60000);
    base = (await loadVariant("base")).kernel;
    patch = (await loadVariant("patch")).kernel;
    folder = mkdtempSync(join(tmpdir(), "patchproof-workload-"));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function replay(
    calls: readonly string[],
    after: readonly string[],
    kernel = base,
  ): { run: ReplayedProgram; compared: WorkloadComparison } {
    writeFileSync(join(folder, "w.before.smaps"), BEFORE);
    writeFileSync(join(folder, "w.after.smaps"), BEFORE + after.join(""));
    writeFileSync(join(folder, "w.strace"), calls.map((call) => `7 ${call}\n`).join(""));
    const workload = readWorkload(join(folder, "w.strace"));
    const k = kernel.boot({ memory: 16 << 20 });
    const run = replayProgram(kernel, k, workload);
    return { run, compared: compareAfter(kernel, k, workload, run) };
  }

  /** All as recorded, but for what these rules accept. */
  function same({ run, compared }: ReturnType<typeof replay>, accepted: readonly string[] = []): void {
    expect(run.divergences).to.deep.equal([]);
    expect(compared.differences).to.deep.equal([]);
    expect(compared.accepted.map((a) => a.rule)).to.deep.equal(accepted);
  }

  it("shares a file that was opened for reading as one that cannot be written", () => {
    const calls = [
      'openat(AT_FDCWD</>, "/etc/cache", O_RDONLY|O_CLOEXEC) = 3</etc/cache>',
      `mmap(0x${HEX}, 8192, PROT_READ, MAP_SHARED|MAP_FIXED, 3</etc/cache>, 0) = 0x${HEX}`,
      `mprotect(0x${HEX}, 8192, PROT_READ|PROT_WRITE) = -1 EACCES (Permission denied)`,
      'openat(AT_FDCWD</>, "/etc/log", O_WRONLY) = 4</etc/log>',
      `mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 4</etc/log>, 0) = -1 EACCES (Permission denied)`,
    ];
    same(replay(calls, [vma(0, 2, "r--s", "/etc/cache", "rd mr me ms")]));
  });

  it("binds to the machine's first node what was bound to one that it lacks, so that VMAs part", () => {
    const calls = [
      `mmap(0x${HEX}, 16384, PROT_READ|PROT_WRITE, ${ANON}, -1, 0) = 0x${HEX}`,
      `mbind(0x${(AT + 4096).toString(16)}, 4096, MPOL_BIND, [0x2], 65, MPOL_MF_STRICT) = 0`,
      "set_mempolicy(MPOL_PREFERRED, [0x4], 65) = 0",
      `mbind(0x${HEX}, 4096, MPOL_BIND, [0x4], 65, 0) = -1 EINVAL (Invalid argument)`,
    ];
    const flags = "rd wr mr mw me ac";
    same(replay(calls, [vma(0, 1, "rw-p", "", flags), vma(1, 2, "rw-p", "", flags), vma(2, 4, "rw-p", "", flags)]));
  });

  it("tells a name that went without a call, and names of flags that came later", () => {
    const calls = [
      'openat(AT_FDCWD</>, "/tmp/gone", O_RDWR|O_CREAT, 0600) = 3</tmp/gone>',
      `mmap(0x${HEX}, 8192, PROT_READ, MAP_SHARED|MAP_FIXED, 3</tmp/gone>, 0) = 0x${HEX}`,
      `mlock2(0x${HEX}, 8192, MLOCK_ONFAULT) = 0`,
    ];
    const gone = vma(0, 2, "r--s", "/tmp/gone (deleted)", "rd sh mr mw me ms lo lf");
    same(replay(calls, [gone]), ["lockonfault", "unlinked"]);
  });

  it("takes VM_ACCOUNT for dropped by mprotect() in untouched memory alone", () => {
    const calls = [
      `mmap(0x${HEX}, 16384, PROT_READ|PROT_WRITE, ${ANON}, -1, 0) = 0x${HEX}`,
      `mprotect(0x${HEX}, 8192, PROT_READ) = 0`,
    ];
    const rest = vma(2, 4, "rw-p", "", "rd wr mr mw me ac");
    same(replay(calls, [vma(0, 2, "r--p", "", "rd mr mw me"), rest]), ["account"]);
    same(replay(calls, [vma(0, 1, "r--p", "", "rd mr mw me"), vma(1, 2, "r--p", "", "rd mr mw me ac"), rest]), [
      "account",
    ]);
    const touched = replay(calls, [vma(0, 2, "r--p", "", "rd mr mw me", 4), rest]);
    expect(touched.compared.differences).to.have.length(1);
  });

  it("gives an advice by number where the variant knows it", () => {
    const calls = [
      `mmap(0x${HEX}, 8192, PROT_READ, ${ANON}, -1, 0) = 0x${HEX}`,
      `madvise(0x${HEX}, 8192, 0x1a /* MADV_??? */) = 0`,
    ];
    const plain = [vma(0, 2, "r--p", "", "rd mr mw me")];
    expect(replay(calls, plain).run.skipped.map((s) => s.line)).to.deep.equal([2]);
    expect(replay(calls, plain, patch).run.skipped).to.deep.equal([]);
  });

  it("takes a kernel that names no memory for one without CONFIG_ANON_VMA_NAME", () => {
    const map = `mmap(0x${HEX}, 8192, PROT_READ, ${ANON}, -1, 0) = 0x${HEX}`;
    const name = `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x${HEX}, 8192, "heap")`;
    same(replay([map, `${name} = -1 EINVAL (Invalid argument)`], [vma(0, 2, "r--p", "", "rd mr mw me")]));
    same(replay([map, `${name} = 0`], [vma(0, 2, "r--p", "[anon:heap]", "rd mr mw me")]));
  });
});

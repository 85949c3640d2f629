// SPDX-License-Identifier: GPL-2.0-only
/** patchproof show: files of /proc for a workload at a point, and what is said of bad input. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { projectRoot } from "../../harness/root.js";
import { patchproofHere } from "./program.js";

async function shown(...args: readonly string[]): Promise<string> {
  const { status, out, err } = await patchproofHere(projectRoot(), "show", ...args);
  expect(err).to.equal("");
  expect(status).to.equal(0);
  return out;
}

const MIB = 256;

/** Lines of page-types' summary as [flags in words, pages]. */
function summaryRows(out: string): Map<string, number> {
  const rows = [...out.matchAll(/^0x[0-9a-f]{16}\t *(\d+) +\d+ {2}[\w]{45}\t(.*)$/gm)];
  return new Map(rows.map((m) => [m[2]!, Number(m[1])]));
}

describe("show", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "patchproof-show-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("prints zoneinfo as the kernel would", async () => {
    expect(await shown("zoneinfo")).to.match(/^Node 0, zone {6}DMA\n {2}per-node stats\n {6}nr_inactive_anon \d+\n/);
  });

  it("gives several files their headings, and each as when alone", async () => {
    const both = await shown("buddyinfo", "maps", "--at", "100");
    const [buddyinfo, maps] = [await shown("buddyinfo", "--at", "100"), await shown("maps", "--at", "100")];
    const pid = /^==> \/proc\/(\d+)\/maps <==$/m.exec(both)?.[1];
    expect(both).to.equal(`==> /proc/buddyinfo <==\n${buddyinfo}\n==> /proc/${String(pid)}/maps <==\n${maps}`);
  });

  it("stops behind the line that it is told", async () => {
    const trace = readFileSync(join(projectRoot(), "fixtures/workloads/qemu-memfd.strace"), "utf8").split("\n");
    const line = trace.findIndex((text) => /mmap\(.*memfd:/.test(text)) + 1;
    expect(line).to.be.greaterThan(1);
    expect(await shown("maps", "--at", String(line - 1))).to.not.include("memfd:");
    expect(await shown("maps", "--at", String(line))).to.include("/memfd:");
  });

  it("shows the memory of a guest, in CMA or out of it by what is done with the advice", async () => {
    const freeCma = async (...args: string[]): Promise<number> =>
      Number(/^nr_free_cma (\d+)$/m.exec(await shown("vmstat", ...args))?.[1] ?? NaN);
    const plain = await freeCma("--variant", "patch");
    expect(await freeCma("--variant", "patch", "--use", "late")).to.equal(plain);
    expect(await freeCma("--variant", "patch", "--use", "advised")).to.be.greaterThan(plain);
  });

  it("boots the host that it is told", async () => {
    const total = async (...args: string[]): Promise<string> =>
      /^MemTotal: .*$/m.exec(await shown("meminfo", "--at", "1", ...args))![0];
    expect(await total("--memory", "1G", "--cma", "0")).to.equal("MemTotal:        1047552 kB");
    expect(await total("--like", join(projectRoot(), "fixtures/placement/p256-cma64.fresh.json"))).to.match(
      / 24\d{4} kB$/,
    );
    expect(await shown("zoneinfo", "--at", "1", "--memory", "512M", "--movablecore", "128M")).to.match(
      /zone {2}Movable\n(?: .*\n)* +present {2}32768\n/,
    );
  });

  it("lists a process's pages, and sums up all page frames, in the words of page-types", async () => {
    const out = await shown("kpageflags", "--at", "1208");
    const rows = summaryRows(out);
    const mapped = [...rows].filter(([flags]) => flags.includes("mmap")).reduce((n, [, pages]) => n + pages, 0);
    expect(mapped).to.be.at.least(MIB * 256);
    expect([...rows.values()].reduce((a, b) => a + b, 0)).to.equal(512 * 256);
    expect(out).to.match(/\n {13}total\t {4}131072 {6}512\n$/);
    expect(await shown("pagemap")).to.match(
      /^voffset\toffset\tlen\tflags\n([0-9a-f]+\t[0-9a-f]+\t[0-9a-f]+\t\S{45}\n)+$/,
    );
    expect(await shown("kpagecount")).to.match(/^map-cnt\toffset\tlen\n(\d+\t[0-9a-f]+\t[0-9a-f]+\n)+$/);
  });

  it("writes records: 64 bits a page, little-endian", async () => {
    const path = join(folder, "kpageflags");
    await shown("kpageflags", "--binary", "--output", path);
    const bytes = readFileSync(path);
    expect(bytes.length).to.equal(512 * 256 * 8);
    expect(bytes.readBigUInt64LE(8).toString(16), "page frame 1 is the zero page").to.equal("101000000");
    expect(readdirSync(folder)).to.deep.equal(["kpageflags"]);
  });

  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a file that there is not", ["slabinfo"], /slabinfo: cannot be shown; known: vmstat, /],
    ["no file", [], /missing required argument 'file'/],
    ["a line behind the end", ["maps", "--at", "999999"], /--at: line 999999 is behind the last call .*at line \d+/],
    ["line 0", ["maps", "--at", "0"], /--at: '0' is not a whole number from 1/],
    ["a process that there is not", ["maps", "--pid", "1"], /--pid: qemu-memfd has no process 1 then; there are \d+/],
    ["an unknown use", ["maps", "--use", "early"], /--use: unknown use 'early'; known: none, advised, late/],
    [
      "advice that the variant does not know",
      ["maps", "--use", "advised"],
      /--use: base refuses the advice \(EINVAL\)/,
    ],
    ["a use without a guest", ["maps", "--use", "late", "--workload", "node-worker"], /no guest/],
    ["an unknown variant", ["maps", "--variant", "nope"], /unknown variant 'nope'; known: base/],
    ["an unknown workload", ["maps", "--workload", "nope"], /nope: no such workload/],
    ["text as records", ["maps", "--binary", "--output", "x"], /--binary: maps is text; give one of/],
    ["records to the terminal", ["pagemap", "--binary"], /--binary: where to is not said; give --output FILE/],
    ["two files as records", ["pagemap", "kpageflags", "--binary"], /--binary: one file at a time/],
    [
      "a size beside a recording",
      ["vmstat", "--like", "x.json", "--memory", "1G"],
      /--memory: the recording of --like/,
    ],
    [
      "more movable memory than memory",
      ["vmstat", "--movablecore", "1G"],
      /--movablecore: is not less than the memory/,
    ],
    ["a folder that cannot be", ["vmstat", "--output", "/dev/null/x"], /cannot be written/],
  ];
  for (const [title, args, message] of refused) {
    it(`refuses ${title} in one line`, async () => {
      const { status, out, err } = await patchproofHere(projectRoot(), "show", ...args);
      expect(err).to.match(message);
      expect(err.trimEnd().split("\n"), "lines").to.have.length(1);
      expect(out).to.equal("");
      expect(status).to.equal(2);
    });
  }
});

// SPDX-License-Identifier: GPL-2.0-only
/** Developers' way in: `node OUT/harness/replay/run.js FILE… [--no-pages] [--case ID] [--quiet] [--stop] [--check]`. */
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { describeFailure } from "../errors.js";
import { compiledRoot } from "../root.js";
import { importKernel } from "../variants/load.js";
import { colours } from "../output.js";
import { printDivergence } from "./print.js";
import { runCases } from "./run-file.js";
import { readTrace } from "./trace-format.js";

const kernel = await importKernel(compiledRoot());

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "no-pages": { type: "boolean", default: false },
      case: { type: "string" },
      quiet: { type: "boolean", default: false },
      stop: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
    },
  });
  const pages = !values["no-pages"];
  let failed = 0;
  for (const path of positionals) {
    const file = readTrace(path);
    const cases = values.case === undefined ? file.cases : file.cases.filter((c) => c.id === values.case);
    const from = performance.now();
    const r = runCases(kernel, file, cases, { pages, stop: values.stop, checkEvery: values.check ? 1 : 0 });
    const seconds = (performance.now() - from) / 1000;
    for (const d of r.divergences) {
      if (values.quiet)
        console.log(
          `${d.caseId} ${d.step} ${d.call.call}: ${d.differences.map((x) => `${x.what} ${x.expected} ≠ ${x.got}`).join("; ")}`,
        );
      else console.log(printDivergence(d, basename(path), pages, colours()).join("\n"));
    }
    for (const b of r.broken.slice(0, 20)) console.log(`broken ${b}`);
    console.log(
      `${basename(path)}: ${String(r.passed)} passed, ${String(r.divergences.length)} failed, ${(cases.length / seconds).toFixed(0)} cases/s`,
    );
    failed += r.divergences.length + r.broken.length;
  }
  process.exitCode = failed === 0 ? 0 : 1;
}

try {
  main();
} catch (error) {
  const { line, status } = describeFailure(error);
  console.error(process.env["PATCHPROOF_DEBUG"] === "1" ? error : line);
  process.exitCode = status;
}

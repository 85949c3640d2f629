// SPDX-License-Identifier: GPL-2.0-only
/**
 * A variant's kernel in one file and one scope. The engine knows the constants and functions of a scope that is entered
 * once, and not those of imported modules: on faults and migration that is a third of the time.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { rolldown } from "rolldown";

/** Puts the module `entry`, TypeScript or JavaScript, and all that it needs into the module `out`, which exports the same. */
export async function bundleKernel(entry: string, out: string): Promise<void> {
  const bundle = await rolldown({
    input: entry,
    resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
    tsconfig: false,
    logLevel: "silent",
  });
  const { output } = await bundle.generate({ format: "iife", name: "kernel", sourcemap: true, file: out });
  await bundle.close();
  const { code, exports, map } = output[0];
  if (map === null) throw new Error("the bundle has no source map");
  const bare = code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n");
  writeFileSync(`${out}.map`, map.toString());
  writeFileSync(
    out,
    `${bare}export const { ${exports.join(", ")} } = kernel;\n//# sourceMappingURL=${basename(out)}.map\n`,
  );
}

// SPDX-License-Identifier: GPL-2.0-only
/**
 * A variant's kernel in one file and one scope. The engine knows the constants and functions of a scope that is entered
 * once, and not those of imported modules: on faults and migration that is a third of the time.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { type Plugin, rolldown } from "rolldown";

export interface BundleOptions {
  /** Files that the variant's patches change; left out: nobody knows, and each page goes all the way. */
  readonly changed?: readonly string[];
  /** Without blanks and without a source map: what is read in a tenth of a second instead of a whole. */
  readonly forMachines?: boolean;
}

/** Says in the bundle which files the variant changes. */
function sayChanged(changed: readonly string[]): Plugin {
  return {
    name: "changed-files",
    load: {
      filter: { id: /\/include\/changed_files\.[jt]s$/ },
      handler: () => `export const changedFiles = ${JSON.stringify(changed)};`,
    },
  };
}

/** Puts the module `entry`, TypeScript or JavaScript, and all that it needs into the module `out`, which exports the same. */
export async function bundleKernel(
  entry: string,
  out: string,
  { changed, forMachines = false }: BundleOptions = {},
): Promise<void> {
  const bundle = await rolldown({
    input: entry,
    plugins: changed === undefined ? [] : [sayChanged(changed)],
    resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
    tsconfig: false,
    logLevel: "silent",
  });
  const minify = forMachines ? { compress: false, mangle: false } : false;
  const { output } = await bundle.generate({
    format: "iife",
    name: "kernel",
    sourcemap: !forMachines,
    minify,
    file: out,
  });
  await bundle.close();
  const { code, exports, map } = output[0];
  const bare = code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n");
  const lines = [bare, `export const { ${exports.join(", ")} } = kernel;\n`];
  if (map !== null) {
    writeFileSync(`${out}.map`, map.toString());
    lines.push(`//# sourceMappingURL=${basename(out)}.map\n`);
  }
  writeFileSync(out, lines.join(""));
}

// SPDX-License-Identifier: GPL-2.0-only
/** Which file of this tree stands for which file of the kernel. */

/** Folders of the model, from the top of the project. */
export const MODEL_FOLDERS = ["uapi", "include", "arch", "lib", "mm", "kernel", "fs", "drivers"] as const;

/** Is this a source file of the model, by its path? */
export function isModelPath(path: string): boolean {
  return path.endsWith(".ts") && MODEL_FOLDERS.some((folder) => path.startsWith(`${folder}/`));
}

/** Where a kernel file's mirror lies in this tree, whether it is there or not. */
export function treePathOf(kernelPath: string): string {
  const uapi = /^include\/uapi\/(?:asm-generic|linux|asm)\/(.+)\.h$/.exec(kernelPath);
  if (uapi !== null) return `uapi/${uapi[1] ?? ""}.ts`;
  const asm = /^arch\/([^/]+)\/include\/(?:uapi\/)?asm\/(.+)\.h$/.exec(kernelPath);
  if (asm !== null) return `arch/${asm[1] ?? ""}/${asm[2] ?? ""}.ts`;
  return kernelPath.replace(/\.[chS]$/, ".ts");
}

/** Does `treePath` hold code of this kernel file: the file itself, or one of the folder it is split into? */
export function mirrors(treePath: string, kernelPath: string): boolean {
  const main = treePathOf(kernelPath);
  if (treePath === main) return true;
  return kernelPath.endsWith(".c") && treePath.startsWith(`${main.slice(0, -".ts".length)}/`);
}

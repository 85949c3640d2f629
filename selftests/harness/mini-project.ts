// SPDX-License-Identifier: GPL-2.0-only
/** A project of a few lines with a patch under review, in a folder of its own, to build and break. */
import { expect } from "chai";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { projectRoot } from "../../harness/root.js";

/** Base of mm/small.ts; the patch under review adds two case labels, a function and a constant to it. */
export const SMALL_BASE = `export const LOW = 1;
export const HIGH = 2;

export function nameOf(n: number): string {
  switch (n) {
    case 0:
    case LOW:
      return "low";
    default:
      return "none";
  }
}
`;

export const SMALL_PATCH = `diff --git a/mm/small.ts b/mm/small.ts
--- a/mm/small.ts
+++ b/mm/small.ts
@@ -1,11 +1,20 @@
 export const LOW = 1;
 export const HIGH = 2;
+export const TOP = 0x3;
 
+/** Twice the number. */
+export function twice(n: number): number {
+  return n * 2;
+}
+
 export function nameOf(n: number): string {
   switch (n) {
     case 0:
     case LOW:
+    case TOP:
       return "low";
+    case HIGH:
+      return "high";
     default:
       return "none";
   }
`;

const SMALL = `export const LOW = 1;
export const HIGH = 2;
export const TOP = 0x3;

/** Twice the number. */
export function twice(n: number): number {
  return n * 2;
}

export function nameOf(n: number): string {
  switch (n) {
    case 0:
    case LOW:
    case TOP:
      return "low";
    case HIGH:
      return "high";
    default:
      return "none";
  }
}
`;

const SERIES = `# title: a small change\n# role: review\nsmall.patch\n`;
const INDEX = `import * as small from "../mm/small.js";\nexport const names = [0, 1, 2, 3].map(small.nameOf);\nexport const nameOf = small.nameOf;\n`;

export interface MiniProject {
  readonly root: string;
  write(path: string, text: string): void;
  read(path: string): string;
  remove(): void;
}

/** Makes the project; the caller removes it. */
export function miniProject(): MiniProject {
  const root = mkdtempSync(join(tmpdir(), "patchproof-mini-"));
  const project: MiniProject = {
    root,
    write: (path, text) => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    },
    read: (path) => readFileSync(join(root, path), "utf8"),
    remove: () => {
      rmSync(root, { recursive: true, force: true });
    },
  };
  project.write("package.json", JSON.stringify({ name: "patchproof", version: "0.0.0", type: "module" }));
  cpSync(join(projectRoot(), "tsconfig.json"), join(root, "tsconfig.json"));
  symlinkSync(join(projectRoot(), "node_modules"), join(root, "node_modules"));
  project.write("mm/small.ts", SMALL);
  project.write("kernel/index.ts", INDEX);
  project.write("patches/small.patch", SMALL_PATCH);
  project.write("patches/series", SERIES);
  return project;
}

/** What a UserError says that must come. */
export async function complaint(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    expect(error).to.have.property("name", "UserError");
    return (error as Error).message;
  }
  throw new Error("it was taken without complaint");
}

// SPDX-License-Identifier: GPL-2.0-only
/**
 * patches/series: which patches of this tree there are. One patch a line, by its path below patches/; the comment
 * lines `# key: value` above it belong to it (title, mail, role, depends; see the file itself).
 */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileError, UserError } from "../errors.js";
import { projectRoot } from "../root.js";

export interface SeriesEntry {
  /** The patch's name: its file without folder and ".patch" or ".diff". */
  readonly name: string;
  /** Path of the diff, from the top of the project. */
  readonly path: string;
  readonly title: string;
  /** The mail that it is the port of, from the top of the project; "" where there is none. */
  readonly mail: string;
  readonly role: "review" | "alternative";
  /** Name of the alternative on top of which it goes; "" for base. */
  readonly depends: string;
  /** Line in patches/series. */
  readonly line: number;
}

const SERIES = "patches/series";

function entryOf(text: string, line: number, keys: ReadonlyMap<string, string>, root: string): SeriesEntry {
  const where = `${SERIES}:${String(line)}`;
  const path = `patches/${text}`;
  if (!existsSync(join(root, path))) throw new UserError(where, `${path} does not exist`, "name a file below patches/");
  const role = keys.get("role");
  if (role !== "review" && role !== "alternative") {
    throw new UserError(where, `${text} has no role`, "write '# role: review' or '# role: alternative' above it");
  }
  const mail = keys.get("mail") ?? "";
  if (mail !== "" && !existsSync(join(root, mail)))
    throw new UserError(where, `its mail ${mail} does not exist`, "mend '# mail:'");
  const name = basename(text).replace(/\.(patch|diff)$/, "");
  return { name, path, title: keys.get("title") ?? name, mail, role, depends: keys.get("depends") ?? "", line };
}

/** Reads the series of the project at `root`: exactly one patch is under review, and names differ. */
export function readSeries(root: string = projectRoot()): SeriesEntry[] {
  let text: string;
  try {
    text = readFileSync(join(root, SERIES), "utf8");
  } catch (error) {
    throw fileError(SERIES, error, "series of patches");
  }
  const entries: SeriesEntry[] = [];
  let keys = new Map<string, string>();
  text.split("\n").forEach((raw, i) => {
    const line = raw.trim();
    const key = /^#\s*(title|mail|role|depends):\s*(.*)$/.exec(line);
    if (key !== null) keys.set(key[1] ?? "", key[2] ?? "");
    if (line === "" || line.startsWith("#")) return;
    const entry = entryOf(line, i + 1, keys, root);
    if (["base", "patch", ...entries.map((one) => one.name)].includes(entry.name)) {
      throw new UserError(`${SERIES}:${String(i + 1)}`, `the name ${entry.name} is taken`, "rename the patch");
    }
    if (entry.depends !== "" && !entries.some((one) => one.name === entry.depends && one.role === "alternative")) {
      const what = `${entry.name} depends on ${entry.depends}, which is no alternative above it`;
      throw new UserError(`${SERIES}:${String(i + 1)}`, what, "mend '# depends:', or move the line down");
    }
    entries.push(entry);
    keys = new Map();
  });
  const review = entries.filter((entry) => entry.role === "review");
  if (review.length !== 1) {
    const where = `${SERIES}:${String(review[1]?.line ?? 1)}`;
    throw new UserError(where, `${String(review.length)} patches are under review`, "give the role 'review' to one");
  }
  return entries;
}

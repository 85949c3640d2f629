// SPDX-License-Identifier: GPL-2.0-only
/** One case on the running kernel and in the model. */
import type { Divergence } from "../replay/run-case.js";
import { TraceMachine } from "../replay/run-file.js";
import type { TraceCase, TraceStep } from "../replay/trace-format.js";
import type { KernelModule } from "../variants/load.js";
import type { Environment, Host } from "./host.js";
import { asModelled, knownDifference, type KnownList } from "./known.js";

export interface Compared {
  /** The first difference that is not on the list. */
  readonly divergence: Divergence | null;
  /** The case as it was last run, with the answers of the running kernel. */
  readonly answered: TraceCase;
  /** Differences that are on the list, by name: calls that were left out because of them. */
  readonly known: ReadonlyMap<string, number>;
}

/** A case without one of its calls; `place` as a divergence names it ("3", "5.child.2"). */
function without(steps: readonly TraceStep[], place: string): TraceStep[] {
  const [index, , ...inner] = place.split(".");
  return steps.flatMap((step, i) => {
    if (i !== Number(index)) return [step];
    return inner.length === 0 ? [] : [{ ...step, child: without(step.child ?? [], inner.join(".")) }];
  });
}

/** Compares cases on one host with one variant. */
export class Comparer {
  private readonly host: Host;
  private readonly model: TraceMachine;
  private readonly list: KnownList;

  constructor(host: Host, kernel: KernelModule, list: KnownList) {
    this.host = host;
    this.model = new TraceMachine(kernel, host.environment);
    this.list = list;
  }

  get environment(): Environment {
    return this.host.environment;
  }

  /** Compares after every call. Calls with a known difference are counted and left out, and the rest is compared. */
  async compare(given: TraceCase): Promise<Compared> {
    const { memlock: hard, pages } = this.host.environment;
    const asked = given.memlock ?? -1;
    let c: TraceCase = { ...given, memlock: hard >= 0 && (asked < 0 || asked > hard) ? hard : asked };
    const known = new Map<string, number>();
    for (;;) {
      const answered = { ...c, steps: asModelled(await this.host.run(c), this.list) };
      const divergence = this.model.runCase(answered, { pages });
      if (divergence === null) return { divergence, answered, known };
      const name = nameOf(divergence, this.list);
      if (name === null) return { divergence, answered, known };
      known.set(name, (known.get(name) ?? 0) + 1);
      c = { ...c, steps: without(c.steps, divergence.step) };
    }
  }
}

/** The name under which a difference is counted: of its entry in the list, or what the model refuses; null for none. */
function nameOf(d: Divergence, list: KnownList): string | null {
  const refused = /^NotModelled: (.*)/.exec(d.thrown ?? "");
  return refused === null ? (knownDifference(d, list)?.id ?? null) : `the model refuses: ${refused[1]!}`;
}

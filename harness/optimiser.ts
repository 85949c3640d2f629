// SPDX-License-Identifier: GPL-2.0-only
/** How V8 optimises, where its defaults cost much: both ways were measured, and go for what is compiled from then on. */
import { setFlagsFromString } from "node:v8";

/** Bytecode of callees that one function takes in, as V8 has it unasked. */
const INLINED = 920;

/**
 * For what runs most of its code once, as tests do: functions are optimised after several times as much of their running
 * as unasked. A third of the suite's time went into optimising that.
 */
export function optimiseLate(): void {
  setFlagsFromString("--interrupt-budget=700000");
}

/**
 * For what faults in pages by the million: the whole way of a fault becomes a few functions. Half as fast again; what runs
 * for less than seconds never gains what the compiling takes.
 */
export function inlineMore(more: boolean): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${String(more ? 4000 : INLINED)}`);
}

// SPDX-License-Identifier: GPL-2.0-only
/** What a file of the kernel keeps in global variables: made when it is first asked for, and kept by the machine. */
import type { Machine } from "../machine.js";

/** The state under this name, in Machine.subsys. */
export function subsys_state<T extends object>(k: Machine, name: string, make: (k: Machine) => T): T {
  let state = k.subsys.get(name) as T | undefined;
  if (state === undefined) {
    state = make(k);
    k.subsys.set(name, state);
  }
  return state;
}

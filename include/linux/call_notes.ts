// SPDX-License-Identifier: GPL-2.0-only
/**
 * By which entry into the kernel (Machine.calls) each of 512 places was filled: no part of the kernel. As long as one entry
 * filled them all, as populate does, that is one number, and noting another place is one comparison.
 */

const PLACES = 512;
const NONE = -1;
const SEVERAL = -2;

export class call_notes {
  /** The one entry that filled whatever is filled; negative where there is none, or more than one. */
  by = NONE;
  private calls: Uint32Array | null = null;

  /** Notes a place. Callers that fill many leave it out where `by` is the call. */
  note(place: number, call: number): void {
    if (this.by === call) return;
    if (this.by === NONE) this.by = call;
    else (this.calls ?? this.write_out())[place] = call;
  }

  /** Notes the places from `from` up to, but not, `to`. */
  note_range(from: number, to: number, call: number): void {
    for (let place = from; place < to && this.by !== call; place++) this.note(place, call);
  }

  /** Notes them all. */
  note_all(call: number): void {
    this.by = call;
    this.calls = null;
  }

  private write_out(): Uint32Array {
    this.calls = new Uint32Array(PLACES).fill(this.by);
    this.by = SEVERAL;
    return this.calls;
  }

  /** The entry that filled a place which is filled; 0 outside of any. */
  of(place: number): number {
    return this.calls === null ? Math.max(0, this.by) : this.calls[place]!;
  }
}

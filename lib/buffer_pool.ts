// SPDX-License-Identifier: GPL-2.0-only
/** Memory for per-page data that machines which are gone leave to those to come. */

/** Buffers by size. To clear one costs a tenth of the time of a fresh one, whose pages the host has yet to find. */
export class BufferPool {
  private readonly free = new Map<number, ArrayBuffer[]>();

  /** A buffer of so many bytes, all zero. */
  take(bytes: number): ArrayBuffer {
    const buffer = this.free.get(bytes)?.pop();
    if (buffer === undefined) return new ArrayBuffer(bytes);
    new Uint8Array(buffer).fill(0);
    return buffer;
  }

  /** Takes back a buffer that nothing reads or writes any more. */
  give(buffer: ArrayBuffer): void {
    const same = this.free.get(buffer.byteLength);
    if (same === undefined) this.free.set(buffer.byteLength, [buffer]);
    else same.push(buffer);
  }
}

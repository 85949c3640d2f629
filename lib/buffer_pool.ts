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

/** Pieces of one size, cut one after the other from buffers, each of which has twice as many as the one before. */
export class BufferPieces {
  /** The last piece: where it is. */
  buffer = new ArrayBuffer(0);
  at = 0;
  private readonly bytes: number;
  private readonly most: number;
  private readonly pool: BufferPool;
  private readonly taken: ArrayBuffer[] = [];

  /** A buffer has `most` pieces of `bytes` at most. */
  constructor(bytes: number, most: number, pool: BufferPool) {
    this.bytes = bytes;
    this.most = most;
    this.pool = pool;
  }

  /** Goes on to a fresh piece, all zero. */
  next(): void {
    const had = this.buffer.byteLength;
    this.at += this.bytes;
    if (this.at < had) return;
    this.buffer = this.pool.take(Math.min(Math.max(2 * had, this.bytes), this.most * this.bytes));
    this.taken.push(this.buffer);
    this.at = 0;
  }

  /** Gives all buffers back; no piece can be used any more. */
  retire(): void {
    for (const buffer of this.taken) this.pool.give(buffer);
    this.taken.length = 0;
    this.buffer = new ArrayBuffer(0);
    this.at = 0;
  }
}

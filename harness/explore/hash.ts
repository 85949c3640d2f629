// SPDX-License-Identifier: GPL-2.0-only
/** Numbers made one number. */

/** Two hashes of 32 bits, of which {@link value} keeps 53: of a million states, no two are likely to be the same. */
export class Digest {
  private low = 0x811c9dc5;
  private high = 0x2545f491;

  add(n: number): void {
    const { low, high } = this;
    this.low = Math.imul(low ^ (n | 0), 0x01000193) ^ (low >>> 15);
    this.high = Math.imul(high ^ (n | 0), 0x5bd1e995) ^ (high >>> 13);
  }

  /** A number of more than 32 bits. */
  wide(n: number): void {
    this.add(n);
    this.add(n / 2 ** 32);
  }

  text(s: string): void {
    for (let i = 0; i < s.length; i++) this.add(s.charCodeAt(i));
  }

  get value(): number {
    return (this.high >>> 11) * 2 ** 32 + (this.low >>> 0);
  }
}

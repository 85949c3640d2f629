// SPDX-License-Identifier: GPL-2.0-only
/** The machine's only source of chance: xoshiro128**, seeded through splitmix32, so that a seed reproduces a run. */
export class Prng {
  /** The whole state; a snapshot of these four words is a snapshot of the generator. */
  readonly state = new Uint32Array(4);

  constructor(seed: number) {
    this.reseed(seed);
  }

  /** Starts over from a seed: any number; its value modulo 2^32 counts. */
  reseed(seed: number): void {
    let x = (Math.floor(seed) % 0x100000000) >>> 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x ^ (x >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      this.state[i] = z ^ (z >>> 15);
    }
  }

  /** The next 32 bits, as a number from 0 to 2^32 - 1. */
  next(): uint32 {
    const s = this.state;
    const s1 = s[1]!;
    let r = Math.imul(s1, 5);
    r = Math.imul((r << 7) | (r >>> 25), 9) >>> 0;
    s[2]! ^= s[0]!;
    s[3]! ^= s1;
    s[1] = s1 ^ s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= s1 << 9;
    const s3 = s[3]!;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return r;
  }

  /** A whole number from 0 to n - 1, for n from 1 to 2^32. */
  below(n: number): number {
    return Math.floor((this.next() / 0x100000000) * n);
  }

  /** A number from 0 up to, not including, 1, with 32 random bits. */
  float(): number {
    return this.next() / 0x100000000;
  }
}

type uint32 = number;

// SPDX-License-Identifier: GPL-2.0-only
declare module "jstat" {
  export const jStat: { beta: { inv(p: number, alpha: number, beta: number): number } };
}

// SPDX-License-Identifier: GPL-2.0-only
/** The part of istanbul-lib-instrument that is used; the package brings no types. */
declare module "istanbul-lib-instrument" {
  export interface Position {
    readonly line: number;
    readonly column: number;
  }
  export interface Range {
    readonly start: Position;
    readonly end: Position;
  }
  export interface FileCoverage {
    readonly path: string;
    readonly statementMap: Readonly<Record<string, Range>>;
    readonly fnMap: Readonly<Record<string, { readonly name: string; readonly decl: Range; readonly loc: Range }>>;
    readonly branchMap: Readonly<Record<string, { readonly type: string; readonly locations: readonly Range[] }>>;
    readonly s: Record<string, number>;
    readonly f: Record<string, number>;
    readonly b: Record<string, number[]>;
  }
  export interface Instrumenter {
    instrumentSync(code: string, filename: string, inputSourceMap?: object): string;
    lastFileCoverage(): FileCoverage;
  }
  export function createInstrumenter(options: {
    readonly esModules: boolean;
    readonly coverageVariable: string;
    readonly compact: boolean;
    readonly preserveComments: boolean;
  }): Instrumenter;
}

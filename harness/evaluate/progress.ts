// SPDX-License-Identifier: GPL-2.0-only
/** A progress line on standard error where that is a terminal; nothing anywhere else. */
import cliProgress from "cli-progress";

export class Progress {
  private readonly bar: cliProgress.SingleBar | null;
  private readonly withTests: boolean;
  private readonly parts = { sweep: [0, 0], tests: [0, 0] };

  /** `withTests`: are there selftests to wait for beside the sweep, or whatever else the bar is of? */
  constructor(withTests: boolean, stream: NodeJS.WriteStream = process.stderr, what = "sweep") {
    this.withTests = withTests;
    const format = `{bar} {percentage} %  ${what} {sweep}${withTests ? "  selftests {tests}" : ""}`;
    const options = { format, stream, clearOnComplete: true, hideCursor: true, barsize: 24 };
    this.bar = stream.isTTY ? new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic) : null;
    this.bar?.start(1000, 0, { sweep: "-", tests: "-" });
  }

  sweep(done: number, total: number): void {
    this.parts.sweep = [done, total];
    this.show();
  }

  tests(done: number, total: number): void {
    this.parts.tests = [done, total];
    this.show();
  }

  stop(): void {
    this.bar?.stop();
  }

  private show(): void {
    const share = ([done, total]: number[]): number => (total === 0 ? 0 : done! / total!);
    const words = ([done, total]: number[]): string => (total === 0 ? "-" : `${String(done)}/${String(total)}`);
    const { sweep, tests } = this.parts;
    const done = this.withTests ? (share(sweep) + share(tests)) / 2 : share(sweep);
    this.bar?.update(Math.round(1000 * done), { sweep: words(sweep), tests: words(tests) });
  }
}

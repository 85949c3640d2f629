// SPDX-License-Identifier: GPL-2.0-only
/** Which of mocha's tests a run will reach, known before it starts. */

interface Filtered {
  _grep?: RegExp;
  _invert?: boolean;
}

/** Tells the tests that a run's --grep leaves. */
export class Plan {
  private readonly runner: Mocha.Runner;

  constructor(runner: Mocha.Runner) {
    this.runner = runner;
  }

  private wanted(test: Mocha.Test): boolean {
    const { _grep, _invert } = this.runner as unknown as Filtered;
    if (_grep === undefined) return true;
    _grep.lastIndex = 0;
    return _grep.test(test.fullTitle()) !== (_invert === true);
  }

  /** A suite's own tests. */
  tests(suite: Mocha.Suite): Mocha.Test[] {
    return suite.tests.filter((test) => this.wanted(test));
  }

  /** A suite's child suites that hold a test. */
  suites(suite: Mocha.Suite): Mocha.Suite[] {
    return suite.suites.filter((child) => this.total(child) > 0);
  }

  /** How many results a suite's block has. */
  results(suite: Mocha.Suite): number {
    return this.tests(suite).length + this.suites(suite).length;
  }

  total(suite: Mocha.Suite): number {
    return this.tests(suite).length + suite.suites.reduce((sum, child) => sum + this.total(child), 0);
  }
}

// SPDX-License-Identifier: GPL-2.0-only
/** Required by mocha before any test: mocha loses rejections that nobody handles, and would exit 0. */
process.on("unhandledRejection", (reason) => {
  throw reason;
});

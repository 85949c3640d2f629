// SPDX-License-Identifier: GPL-2.0-only
/**
 * Required by mocha before any test: places in stacks are those of the source, and rejections that nobody handles count;
 * mocha loses them, and would exit 0.
 */
process.setSourceMapsEnabled(true);
process.on("unhandledRejection", (reason) => {
  throw reason;
});

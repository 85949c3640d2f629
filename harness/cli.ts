// SPDX-License-Identifier: GPL-2.0-only
/** The program `patchproof`: commands, help, and one line on standard error for whatever goes wrong. */
import { Command, CommanderError } from "commander";
import { addCampaign } from "./commands/campaign.js";
import { compareHostCommand } from "./commands/compare-host.js";
import { addEvaluate } from "./commands/evaluate.js";
import { addExplore } from "./commands/explore.js";
import { replayCommand } from "./commands/replay.js";
import { addShow } from "./commands/show.js";
import { addVariant } from "./commands/variant.js";
import { addVersions } from "./commands/versions.js";
import { describeFailure, EXIT_BAD_INPUT, oneLine } from "./errors.js";
import { quietOnClosedPipe, wantsColour } from "./output.js";
import { packageVersion } from "./root.js";

const ABOUT = `
Exit status: 0 done; 1 something that was checked does not hold; 2 bad input.
Set NO_COLOR to have no colour, PATCHPROOF_DEBUG=1 to see the stack of an internal error.`;

/** The program's commands, each in its own file below commands/. */
export function makeProgram(): Command {
  const program = new Command("patchproof")
    .description("Runs a patch of Linux memory management in an executable model of v6.1 mm/, and says what it does.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .showSuggestionAfterError(true)
    .addHelpText("after", ABOUT)
    .configureOutput({
      outputError: () => undefined,
      getOutHasColors: () => wantsColour(process.stdout),
      getErrHasColors: () => wantsColour(process.stderr),
    })
    .exitOverride();
  addEvaluate(program);
  addExplore(program);
  replayCommand(program);
  addShow(program);
  compareHostCommand(program);
  addCampaign(program);
  addVersions(program);
  addVariant(program);
  return program;
}

function say(line: string): void {
  process.stderr.write(`patchproof: ${line}\n`);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") return EXIT_BAD_INPUT;
    say(`${oneLine(error.message).replace(/^error: |\.$/g, "")}; patchproof --help lists what there is`);
    return EXIT_BAD_INPUT;
  }
  const { line, status } = describeFailure(error);
  say(line);
  if (process.env["PATCHPROOF_DEBUG"] === "1" && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
  return status;
}

/** Runs the command line; the exit status is left in process.exitCode so that all output gets out. */
export async function main(argv: readonly string[]): Promise<void> {
  quietOnClosedPipe();
  try {
    await makeProgram().parseAsync([...argv]);
  } catch (error) {
    process.exitCode = report(error);
  }
}

// SPDX-License-Identifier: GPL-2.0-only
/** Worker threads whose jobs are functions made by {@link answering}. */
import { Tinypool } from "tinypool";
import { valueOf, type Answer } from "./workers.js";

export class Workers {
  private readonly pool: Tinypool;

  /** `module` exports the jobs' functions; `count` threads at most, each begun when there is work for it. */
  constructor(module: URL, count: number) {
    this.pool = new Tinypool({ filename: module.href, runtime: "worker_threads", minThreads: 1, maxThreads: count });
  }

  /** Runs the function of that name; what it throws is thrown here. */
  async run<T>(name: string, job: unknown): Promise<T> {
    return valueOf((await this.pool.run(job, { name })) as Answer<T>);
  }

  async end(): Promise<void> {
    await this.pool.destroy();
  }
}

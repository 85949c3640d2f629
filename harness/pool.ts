// SPDX-License-Identifier: GPL-2.0-only
/** Those who do jobs that are functions made by {@link answering}: worker threads, or this thread where one is enough. */
import { Tinypool } from "tinypool";
import { valueOf, type Answer } from "./workers.js";

type Job = (job: unknown) => Promise<Answer<unknown>>;

export class Workers {
  private readonly pool: Tinypool | undefined;
  private readonly module: URL;

  /**
   * `module` exports the jobs' functions; `count` threads at most, each begun when there is work for it. Where one would
   * do there is none, unless it is to run `apart`.
   */
  constructor(module: URL, count: number, apart = false) {
    this.module = module;
    if (count === 1 && !apart) return;
    this.pool = new Tinypool({ filename: module.href, runtime: "worker_threads", minThreads: 1, maxThreads: count });
  }

  /** Runs the function of that name; what it throws is thrown here. */
  async run<T>(name: string, job: unknown): Promise<T> {
    if (this.pool !== undefined) return valueOf((await this.pool.run(job, { name })) as Answer<T>);
    const jobs = (await import(this.module.href)) as Record<string, Job>;
    return valueOf((await jobs[name]!(job)) as Answer<T>);
  }

  async end(): Promise<void> {
    await this.pool?.destroy();
  }
}

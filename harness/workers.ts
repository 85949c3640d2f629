// SPDX-License-Identifier: GPL-2.0-only
/** Errors on their way out of a worker: a copy of an Error loses its name there, and with it what kind it is. */

interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

/** What a worker sends back: a value, or what was thrown instead. */
export type Answer<T> = { readonly value: T } | { readonly thrown: Thrown };

/** Makes a job's function into one that a pool can call. */
export function answering<J, T>(work: (job: J) => Promise<T>): (job: J) => Promise<Answer<T>> {
  return async (job) => {
    try {
      return { value: await work(job) };
    } catch (error) {
      const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
      return { thrown: { name, message, stack } };
    }
  };
}

/** The value of an answer; what was thrown in the worker is thrown again, under its name. */
export function valueOf<T>(answer: Answer<T>): T {
  if ("value" in answer) return answer.value;
  throw Object.assign(new Error(answer.thrown.message), answer.thrown);
}

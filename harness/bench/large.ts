// SPDX-License-Identifier: GPL-2.0-only
/** The rows of the bench about large guests: pinned out of CMA, and populated on a large host. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import { MADV_POPULATE_WRITE, MAP_SHARED } from "../../uapi/mman-common.js";
import { Scene } from "../campaign/scene.js";
import type { KernelModule } from "../variants/load.js";
import { GIB, inWords, map, medianNs, MIB, must, PATCHED, sizeOf, type Row } from "./measure.js";

/** Nanoseconds a page of mapping a guest for DMA that lies in CMA, all of it. */
function pinNs(kernel: KernelModule): number {
  const scene = new Scene(kernel, { memory: 512 * MIB, cma: 320 * MIB, pages: 32_768, advised: false, uses: 2 });
  if (scene.inCma.length !== scene.frames.length) throw new Error("the guest does not lie in CMA");
  return (
    medianNs(
      9,
      () => {
        scene.set([]);
      },
      () => {
        if (scene.play().outcome !== "succeeds") throw new Error("the guest cannot be pinned");
      },
    ) / scene.frames.length
  );
}

/** A guest of 64 GiB of memfd on a host of 256: seconds, and bytes of this process for it. */
function largeGuest(kernel: KernelModule): { seconds: number; bytes: number } {
  let seconds = 0;
  const bytes = sizeOf(() => {
    const k = kernel.boot({ memory: 256 * GIB });
    const sys = kernel.syscalls(k);
    const fd = must(sys.memfd_create("guest", 0));
    must(sys.ftruncate(fd, 64 * GIB));
    const addr = map(sys, (64 * GIB) / PAGE_SIZE, MAP_SHARED, fd);
    const start = process.hrtime.bigint();
    must(sys.madvise(addr, 64 * GIB, MADV_POPULATE_WRITE));
    seconds = Number(process.hrtime.bigint() - start) / 1e9;
    return k;
  });
  return { seconds, bytes };
}

export function largeRows(kernel: KernelModule, patch: KernelModule): Row[] {
  const pin = pinNs(kernel);
  const patched = inWords(pinNs(patch), "M/s");
  const { seconds, bytes } = largeGuest(kernel);
  const aPage = bytes / ((64 * GIB) / PAGE_SIZE);
  const row = (what: string, measured: string, promised: string, kept: boolean): Row => {
    return { what, measured, host: "", promised, kept };
  };
  return [
    row("pin and migrate, pages", inWords(pin, "M/s"), ">= 2 M/s", 1000 / pin >= 2),
    row(PATCHED, patched, "", true),
    row("populate a 64 GiB guest on 256 GiB", `${seconds.toFixed(1)} s`, "< 8 s", seconds < 8),
    row("its size", `${(bytes / MIB).toFixed(0)} MiB`, "< 1024 MiB", bytes < 1024 * MIB),
    row("bytes a populated page", aPage.toFixed(1), "<= 24", aPage <= 24),
  ];
}

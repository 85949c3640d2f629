// SPDX-License-Identifier: GPL-2.0-only
/* Times on the running kernel what bench.ts times in the model. Prints "NAME VALUE" a line, nanoseconds each. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define GUEST_PAGES 65536UL
#define PAIRS 20000
#define ROUNDS 5
#define BLOCK 4UL
#define POPULATE_WRITE 23

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static char *map(unsigned long pages, int flags, int fd)
{
	char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		fail("mmap");
	return at;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *of)
{
	qsort(of, ROUNDS, sizeof(*of), by_size);
	return of[ROUNDS / 2];
}

/* One page in the middle of a VMA is split off and merged back. */
static double pairs(char *page)
{
	double took[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double start = now();

		for (int i = 0; i < PAIRS; i++)
			if (madvise(page, PAGE, MADV_DONTFORK) || madvise(page, PAGE, MADV_DOFORK))
				fail("madvise");
		took[r] = (now() - start) / PAIRS;
	}
	return median(took);
}

static double populate(int memfd)
{
	double took[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		int fd = memfd ? memfd_create("guest", 0) : -1;
		char *at;
		double start;

		if (memfd && ftruncate(fd, GUEST_PAGES * PAGE))
			fail("ftruncate");
		at = map(GUEST_PAGES, memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd);
		start = now();
		if (madvise(at, GUEST_PAGES * PAGE, POPULATE_WRITE))
			fail("MADV_POPULATE_WRITE");
		took[r] = (now() - start) / GUEST_PAGES;
		munmap(at, GUEST_PAGES * PAGE);
		if (memfd)
			close(fd);
	}
	return median(took);
}

static double forks(void)
{
	double took[ROUNDS];
	char *at = map(GUEST_PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (madvise(at, GUEST_PAGES * PAGE, POPULATE_WRITE))
		fail("MADV_POPULATE_WRITE");
	for (int r = 0; r < ROUNDS; r++) {
		double start = now();
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		took[r] = (now() - start) / GUEST_PAGES;
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			fail("fork");
	}
	munmap(at, GUEST_PAGES * PAGE);
	return median(took);
}

int main(int argc, char **argv)
{
	unsigned long vmas = argc > 1 ? strtoul(argv[1], NULL, 10) : 60000;
	char *few, *many;

	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	few = map(8, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	printf("pair-few %.1f\n", pairs(few + 4 * PAGE));
	printf("populate-memfd %.2f\n", populate(1));
	printf("populate-anonymous %.2f\n", populate(0));
	printf("fork %.2f\n", forks());
	many = map(vmas * BLOCK, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	for (unsigned long i = 1; i < vmas; i += 2)
		if (madvise(many + i * BLOCK * PAGE, BLOCK * PAGE, MADV_DONTDUMP))
			fail("madvise");
	printf("pair-many %.1f\n", pairs(many + (vmas / 2 * BLOCK + 2) * PAGE));
	return 0;
}

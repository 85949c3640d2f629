// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the memory calls of a case on the running kernel and tells what came of them (harness/compare/host.ts).
 *
 * In:  "case MEMLOCK" (pages, or -1), one call a line with numbers in C notation, "fork" and "join" around what a
 *      child does, "end". Out: "= ERRNO WORD…" for a call, "child", "joined STATUS"; then, where the window is another
 *      than before, "w COUNT" and a line for each VMA; "." ends a case. "! WHY" says that the case cannot be run.
 *
 * A case runs in a process of its own, with no capabilities; every address is looked at before a call is made: no call
 * can reach anything that lies outside of the window. MADV_HWPOISON and MADV_SOFT_OFFLINE are refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define WINDOW 0x200000000000L
#define WINDOW_PAGES 4096L
#define SLOTS 8
#define SHOWN_PAGES 1024
#define MAX_CALLS 256
#define LINE 160
#define NOREPLACE 0x100000
#define NAME_VMA 0x53564d41

/* PAGEMAP_SCAN, which headers older than 6.7 lack. */
struct region {
	uint64_t start, end, categories;
};
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, wanted;
};
#define SCAN _IOWR('f', 16, struct scan)
#define IS_ZERO_PAGE (1 << 5)

static char calls[MAX_CALLS][LINE];
static int call_count;
static int files[SLOTS];
static int pagemap = -1, can_scan;
static sigjmp_buf escape;
static volatile sig_atomic_t touching, caught, caught_code;
static char text[1 << 20], last_text[1 << 20], raw[1 << 20];

static void quit(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("! ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_exit(3);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!touching)
		_exit(98);
	caught = number;
	caught_code = info->si_code;
	siglongjmp(escape, 1);
}

/* The whole of a file of /proc as far as the window reaches; VMAs come in the order of their addresses. */
static long read_smaps(void)
{
	int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	long have = 0, got = 0, parsed = 0;

	if (fd < 0)
		return -1;
	while ((got = read(fd, raw + have, sizeof(raw) - 1 - have)) > 0) {
		have += got;
		raw[have] = 0;
		for (char *line = raw + parsed, *end; (end = strchr(line, '\n')); line = end + 1) {
			unsigned long start;

			parsed = end + 1 - raw;
			if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-') && strchr(line, '-') < strchr(line, ' ') &&
			    start >= (unsigned long)(WINDOW + WINDOW_PAGES * PAGE)) {
				close(fd);
				*line = 0;
				return line - raw;
			}
		}
	}
	close(fd);
	return got < 0 ? -1 : have;
}

static int zero_pages(unsigned long start, unsigned long end, struct region *found, int room)
{
	struct scan scan = { .size = sizeof(scan), .start = start, .end = end, .vec = (uintptr_t)found,
			     .vec_len = room, .mask = IS_ZERO_PAGE, .wanted = IS_ZERO_PAGE };

	return ioctl(pagemap, SCAN, &scan);
}

/* One character a page, as in recordings; all '?' where the kernel cannot tell the zero page from another. */
static char *show_pages(char *out, unsigned long start, unsigned long end)
{
	static uint64_t entries[SHOWN_PAGES];
	static struct region zeroes[SHOWN_PAGES];
	long pages = (end - start) / PAGE, i, j, count = 0;

	if (pages > SHOWN_PAGES)
		pages = SHOWN_PAGES;
	if (pread(pagemap, entries, pages * 8, start / PAGE * 8) != pages * 8)
		quit("/proc/self/pagemap cannot be read");
	if (can_scan)
		count = zero_pages(start, start + pages * PAGE, zeroes, SHOWN_PAGES);
	for (i = 0; i < pages; i++) {
		uint64_t e = entries[i], at = start + i * PAGE;
		char c = !can_scan ? '?' : e >> 62 & 1 ? 'w' : !(e >> 63) ? '-' : e >> 61 & 1 ? 'f' : e >> 56 & 1 ? 'a' : 'c';

		for (j = 0; j < count; j++)
			if (at >= zeroes[j].start && at < zeroes[j].end)
				c = 'z';
		*out++ = c;
	}
	return out;
}

static void show_window(void)
{
	long size = read_smaps(), count = 0;
	unsigned long start = 0, end = 0, offset = 0, from;
	char perms[8] = "", name[256] = "", *out = text, *next;

	if (size < 0)
		quit("/proc/self/smaps cannot be read");
	for (char *line = raw; (next = strchr(line, '\n')); line = next + 1) {
		int head = 0;

		*next = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s%n", &from, &end, perms, &offset, &head) == 4 && head) {
			start = from;
			snprintf(name, sizeof(name), "%s", line + head + strspn(line + head, " "));
			continue;
		}
		if (strncmp(line, "VmFlags:", 8) || start < (unsigned long)WINDOW)
			continue;
		out += sprintf(out, "%ld\t%ld\t%s\t%ld\t%s\t%s\t", (long)(start - WINDOW) / PAGE,
			       (long)(end - WINDOW) / PAGE, perms, (long)offset / PAGE, name, line + 8);
		out = show_pages(out, start, end);
		*out++ = '\n';
		if (out > text + sizeof(text) - 4096)
			quit("more VMAs than fit");
		count++;
	}
	*out = 0;
	if (strcmp(text, last_text)) {
		printf("w %ld\n%s", count, text);
		strcpy(last_text, text);
	}
}

/* Does [start, start + length) lie in the window? A range that is empty or that wraps is refused by every call. */
static void must_be_inside(unsigned long start, unsigned long length)
{
	unsigned long up = (length + PAGE - 1) & -PAGE, low = WINDOW, high = WINDOW + WINDOW_PAGES * PAGE;

	if (start < low || start > high)
		quit("an address outside of the window");
	if ((length && !up) || start + up < start || (start + up >= low && start + up <= high && start + up >= start))
		return;
	quit("a range that leaves the window");
}

static void may_be_advised(long behavior)
{
	if ((int)behavior == 100 || (int)behavior == 101)
		quit("MADV_HWPOISON and MADV_SOFT_OFFLINE are never made");
}

static void answer(long ret, const char *words, ...)
{
	int error = ret < 0 ? errno : 0;
	va_list args;

	printf("= %d", error);
	if (!error) {
		va_start(args, words);
		vprintf(words, args);
		va_end(args);
	}
	printf("\n");
}

static void touch(char *at, int write, int value)
{
	volatile unsigned char seen = 0;

	caught = 0;
	if (!sigsetjmp(escape, 1)) {
		touching = 1;
		if (write)
			*(volatile char *)at = value;
		else
			seen = *(volatile unsigned char *)at;
	}
	touching = 0;
	if (caught)
		printf("= 0 %s code %d\n", caught == SIGSEGV ? "SIGSEGV" : "SIGBUS", (int)caught_code);
	else if (write)
		printf("= 0\n");
	else
		printf("= 0 val %d\n", seen);
}

static void map_or_move(long at, int quiet)
{
	if (at == -1 || quiet)
		answer(at == -1 ? -1 : 0, "");
	else
		answer(0, " to %ld", (at - WINDOW) / PAGE);
}

static void core_of(char *at, long pages)
{
	unsigned char resident[WINDOW_PAGES];
	char shown[WINDOW_PAGES + 1];
	long ret = mincore(at, pages * PAGE, resident);

	for (long i = 0; i < pages; i++)
		shown[i] = '0' + (resident[i] & 1);
	shown[pages] = 0;
	answer(ret, " vec %s", shown);
}

static int file_of(long slot)
{
	return slot >= 0 && slot < SLOTS && files[slot] ? files[slot] : -1;
}

static int file_call(const char *call, const long *a)
{
	int fd = file_of(a[0]);
	unsigned char byte = a[2];

	if (!strcmp(call, "memfd")) {
		int made = memfd_create("m", 0);

		if (made >= 0 && a[0] >= 0 && a[0] < SLOTS)
			files[a[0]] = made;
		answer(made < 0 ? -1 : ftruncate(made, a[1] * PAGE), "");
	} else if (!strcmp(call, "ftruncate")) {
		answer(ftruncate(fd, a[1] * PAGE), "");
	} else if (!strcmp(call, "pwrite")) {
		answer(pwrite(fd, &byte, 1, a[1] * PAGE) == 1 ? 0 : -1, "");
	} else if (!strcmp(call, "pread")) {
		long got = pread(fd, &byte, 1, a[1] * PAGE);

		answer(got, got == 1 ? " val %d" : "", byte);
	} else if (!strcmp(call, "falloc")) {
		answer(fallocate(fd, a[1], a[2] * PAGE, a[3] * PAGE), "");
	} else {
		return 0;
	}
	return 1;
}

/* The calls whose first arguments are a range in pages. */
static int range_call(const char *call, const char *line, const long *a)
{
	char *at = (char *)WINDOW + a[0] * PAGE;
	long length = a[1] * PAGE;
	char name[81] = "";

	must_be_inside((unsigned long)at, length);
	if (!strcmp(call, "mmap")) {
		int fixed = (a[3] & (MAP_FIXED | NOREPLACE)) != 0;

		map_or_move((long)mmap(at, length, a[2], a[3], file_of(a[4]), a[5] * PAGE), fixed);
	} else if (!strcmp(call, "munmap")) {
		answer(munmap(at, length), "");
	} else if (!strcmp(call, "mprotect")) {
		answer(mprotect(at, length, a[2]), "");
	} else if (!strcmp(call, "madvise")) {
		may_be_advised(a[2]);
		answer(madvise(at, length, a[2]), "");
	} else if (!strcmp(call, "mremap")) {
		must_be_inside(WINDOW + a[4] * PAGE, a[2] * PAGE);
		map_or_move((long)mremap(at, length, a[2] * PAGE, a[3], (char *)WINDOW + a[4] * PAGE), 0);
	} else if (!strcmp(call, "mlock")) {
		answer(mlock(at, length), "");
	} else if (!strcmp(call, "mlock2")) {
		answer(syscall(SYS_mlock2, at, length, a[2]), "");
	} else if (!strcmp(call, "munlock")) {
		answer(munlock(at, length), "");
	} else if (!strcmp(call, "msync")) {
		answer(msync(at, length, a[2]), "");
	} else if (!strcmp(call, "mincore")) {
		core_of(at, a[1]);
	} else if (!strcmp(call, "name")) {
		sscanf(line, "%*s %*s %*s %80s", name);
		answer(prctl(NAME_VMA, 0, at, length, name[0] ? name : NULL), "");
	} else {
		return 0;
	}
	return 1;
}

static void make_call(const char *line)
{
	long a[6] = { 0 };
	char call[32];

	if (sscanf(line, "%31s %li %li %li %li %li %li", call, a, a + 1, a + 2, a + 3, a + 4, a + 5) < 1)
		quit("an empty line");
	if (!strcmp(call, "r") || !strcmp(call, "w")) {
		must_be_inside(WINDOW + a[0] * PAGE, PAGE);
		touch((char *)WINDOW + a[0] * PAGE, call[0] == 'w', a[1]);
	} else if (!strcmp(call, "madvise_bytes")) {
		must_be_inside(WINDOW + a[0], a[1]);
		may_be_advised(a[2]);
		answer(syscall(SYS_madvise, WINDOW + a[0], a[1], a[2]), "");
	} else if (!file_call(call, a) && !range_call(call, line, a)) {
		quit("unknown call %s", call);
	}
}

static void open_pagemap(void)
{
	if (pagemap >= 0)
		close(pagemap);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		quit("/proc/self/pagemap cannot be opened");
}

static int after_join(int i)
{
	for (int depth = 1; depth && i < call_count; i++)
		depth += !strcmp(calls[i], "fork") ? 1 : !strcmp(calls[i], "join") ? -1 : 0;
	return i;
}

static void run(int i);

static void fork_child(int i)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		quit("fork: %s", strerror(errno));
	if (!pid) {
		open_pagemap();
		last_text[0] = 1;
		printf("child\n");
		show_window();
		run(i);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("joined %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void run(int i)
{
	while (i < call_count && strcmp(calls[i], "join")) {
		if (!strcmp(calls[i], "fork")) {
			fork_child(i + 1);
			i = after_join(i + 1);
		} else {
			make_call(calls[i++]);
		}
		show_window();
	}
}

static void limit_memlock(long pages)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = pages < 0 || (rlim_t)pages * PAGE > limit.rlim_max ? limit.rlim_max : (rlim_t)pages * PAGE;
	setrlimit(RLIMIT_MEMLOCK, &limit);
}

static void run_case(long memlock)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		quit("fork: %s", strerror(errno));
	if (!pid) {
		limit_memlock(memlock);
		open_pagemap();
		last_text[0] = 0;
		run(0);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		printf("! the process of the case ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	printf(".\n");
	fflush(stdout);
}

static int works(long ret)
{
	return ret >= 0 || errno != EINVAL;
}

/* Some kernels for virtual machines have no zero page to map: a read takes a page then. */
static int reads_zero_page(char *page)
{
	struct region found;

	mprotect(page, PAGE, PROT_READ);
	(void)*(volatile char *)page;
	return zero_pages(WINDOW, WINDOW + PAGE, &found, 1) == 1;
}

/* What the kernel was built with, found by asking it, in a window that is left as empty as it was. */
static void say_ready(void)
{
	char *page = mmap((void *)WINDOW, WINDOW_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | NOREPLACE, -1, 0);
	struct region none;
	struct rlimit memlock;

	if (page != (char *)WINDOW)
		quit("the window at %#lx is not free", WINDOW);
	if (munmap(page + PAGE, (WINDOW_PAGES - 1) * PAGE))
		quit("munmap: %s", strerror(errno));
	if (read_smaps() < 0)
		quit("/proc/self/smaps cannot be read");
	open_pagemap();
	can_scan = zero_pages(WINDOW, WINDOW + PAGE, &none, 1) >= 0;
	getrlimit(RLIMIT_MEMLOCK, &memlock);
	printf("ready scan=%d", can_scan);
	printf(" ANON_VMA_NAME=%d", works(prctl(NAME_VMA, 0, page, PAGE, "x")));
	printf(" KSM=%d", works(madvise(page, PAGE, MADV_MERGEABLE)));
	printf(" TRANSPARENT_HUGEPAGE=%d", works(madvise(page, PAGE, MADV_HUGEPAGE)));
	printf(" MEM_SOFT_DIRTY=%d", strstr(raw, " sd") != NULL);
	printf(" zeropage=%d", !can_scan || reads_zero_page(page));
	printf(" memlock=%ld\n", memlock.rlim_max == RLIM_INFINITY ? -1L : (long)(memlock.rlim_max / PAGE));
	fflush(stdout);
	munmap(page, PAGE);
}

static void drop_privileges(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (syscall(SYS_capset, &head, none))
		quit("capset: %s", strerror(errno));
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
	static char line[LINE];
	long memlock = -1;

	drop_privileges();
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	say_ready();
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "case ", 5)) {
			memlock = strtol(line + 5, NULL, 0);
			call_count = 0;
		} else if (!strcmp(line, "end")) {
			run_case(memlock);
		} else if (call_count < MAX_CALLS) {
			strcpy(calls[call_count++], line);
		} else {
			quit("more than %d calls in a case", MAX_CALLS);
		}
	}
	return 0;
}

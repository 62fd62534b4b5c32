/* Counts how often the code under test touches some pages: they are taken away, each access faults,
 * is let through alone (the trap flag stops it right after) and counted. What code reads twice is
 * seen so, without a race that has to be won. x86-64; one thread, one watch at a time. */
#ifndef VMGUI_TESTS_COUNT_ACCESSES_H
#define VMGUI_TESTS_COUNT_ACCESSES_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "core/util.h"

#define COUNT_TRAP_FLAG 0x100

static struct {
	void *pages;
	size_t length;
	volatile unsigned count;
	struct sigaction old_fault, old_trap;
} count_watch;

static inline void count_fault(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)number;
	if ((uintptr_t)info->si_addr - (uintptr_t)count_watch.pages >= count_watch.length)
		abort();
	count_watch.count++;
	mprotect(count_watch.pages, count_watch.length, PROT_READ | PROT_WRITE);
	user->uc_mcontext.gregs[REG_EFL] |= COUNT_TRAP_FLAG;
}

static inline void count_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)number;
	(void)info;
	user->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)COUNT_TRAP_FLAG;
	mprotect(count_watch.pages, count_watch.length, PROT_NONE);
}

/* pages: whole ones, nobody else's while counted. */
static inline void count_begin(void *pages, size_t length)
{
	struct sigaction fault = { .sa_sigaction = count_fault, .sa_flags = SA_SIGINFO };
	struct sigaction trap = { .sa_sigaction = count_trap, .sa_flags = SA_SIGINFO };

	count_watch.pages = pages;
	count_watch.length = length;
	count_watch.count = 0;
	if (sigaction(SIGSEGV, &fault, &count_watch.old_fault) ||
		sigaction(SIGTRAP, &trap, &count_watch.old_trap) ||
		mprotect(pages, length, PROT_NONE))
		abort();
}

static inline unsigned count_end(void)
{
	mprotect(count_watch.pages, count_watch.length, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &count_watch.old_fault, NULL);
	sigaction(SIGTRAP, &count_watch.old_trap, NULL);
	return count_watch.count;
}

#endif

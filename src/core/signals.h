/* Which signals a thread of ours takes.
 *
 * Signals that people send are the main thread's. A fault is whoever's that made it: the kernel
 * kills the process at once where such a signal is blocked, with no handler run, and a raw terminal
 * would stay raw (console_tty.h). Threads: any. */
#ifndef VMGUI_CORE_SIGNALS_H
#define VMGUI_CORE_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* For the creator of a thread: blocks all but faults. The thread inherits that; the creator then
 * puts `before` back. */
static inline void signals_block_for_thread(sigset_t *before)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_SETMASK, &set, before);
}

static inline void signals_restore(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

#endif

/* The terminal in raw mode, and its way back on every way out. See console_tty.h.
 *
 * Threads: the console's own claims, enters and releases; handlers run in any thread and use
 * async-signal-safe calls only (POSIX.1-2008, 2.4.3: tcsetattr, tcgetpgrp, getpgrp, sigaction,
 * raise, kill and write are). Specification: termios(3), "Non-canonical mode"; job control:
 * POSIX 11.1.4. */
#include "core/console_tty.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT,
	SIGXCPU, SIGXFSZ };
/* Only where main leaves them at their default, which is death. */
static const int fatal_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM };
static const int job_signals[] = { SIGTSTP, SIGCONT, SIGWINCH };

#define SIGNALS_MAX 65

static struct {
	pthread_mutex_t lock; /* claim and release */
	bool claimed;
	bool have_saved;
	atomic_bool raw; /* set after the fields that the handlers read */
	atomic_bool continued, resized;
	int fd, wake_fd;
	struct termios saved;
	struct sigaction previous[SIGNALS_MAX];
	bool installed[SIGNALS_MAX];
} tty = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .wake_fd = -1 };

bool console_tty_foreground(void)
{
	pid_t group = tcgetpgrp(tty.fd);
	return group < 0 || group == getpgrp(); /* fails on a terminal that controls nobody */
}

/* Safe in a signal handler. A background job leaves the terminal alone: it is somebody else's now.
 */
static void restore(void)
{
	int keep = errno;
	if (atomic_exchange(&tty.raw, false) && console_tty_foreground())
		tcsetattr(tty.fd, TCSANOW, &tty.saved);
	errno = keep;
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
	(void)context;
	restore();
	sigaction(number, &tty.previous[number], NULL);
	/* A fault comes again by itself when the handler returns, with the right address for a
	 * debugger or a sanitizer; anything else has to be sent again. */
	bool fault = info->si_code > 0 && (number == SIGSEGV || number == SIGBUS ||
						  number == SIGILL || number == SIGFPE);
	if (!fault)
		raise(number);
}

static void on_stop(int number)
{
	(void)number;
	restore();
	kill(getpid(), SIGSTOP);
}

/* SIGCONT, SIGWINCH. A job in the background is not told of a new size, so that the first may mean
 * the second, too. */
static void on_wake(int number)
{
	int keep = errno;
	uint64_t one = 1;
	atomic_store(&tty.resized, true);
	if (number == SIGCONT)
		atomic_store(&tty.continued, true);
	if (write(tty.wake_fd, &one, sizeof(one)) < 0) {
		/* The counter is at its limit: the thread is awake as it is. */
	}
	errno = keep;
}

static void install(int number, struct sigaction *action, bool only_default)
{
	if (sigaction(number, NULL, &tty.previous[number]))
		return;
	if (only_default && ((tty.previous[number].sa_flags & SA_SIGINFO) ||
				    tty.previous[number].sa_handler != SIG_DFL))
		return;
	tty.installed[number] = !sigaction(number, action, NULL);
}

static void install_handlers(void)
{
	struct sigaction fatal = { .sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction stop = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
	struct sigaction wake = { .sa_handler = on_wake, .sa_flags = SA_RESTART };
	sigfillset(&fatal.sa_mask);
	sigemptyset(&stop.sa_mask);
	sigaddset(&stop.sa_mask, SIGTTOU);
	sigemptyset(&wake.sa_mask);
	for (size_t i = 0; i < array_size(crash_signals); i++)
		install(crash_signals[i], &fatal, false);
	for (size_t i = 0; i < array_size(fatal_signals); i++)
		install(fatal_signals[i], &fatal, true);
	install(SIGTSTP, &stop, true);
	install(SIGCONT, &wake, true);
	install(SIGWINCH, &wake, true);
}

/* Puts back what was there, unless somebody has installed a handler of his own since. */
static void remove_handler(int number)
{
	struct sigaction now;
	if (!tty.installed[number])
		return;
	tty.installed[number] = false;
	if (sigaction(number, NULL, &now))
		return;
	bool ours = now.sa_flags & SA_SIGINFO
			    ? now.sa_sigaction == on_fatal
			    : now.sa_handler == on_stop || now.sa_handler == on_wake;
	if (ours)
		sigaction(number, &tty.previous[number], NULL);
}

static void remove_handlers(void)
{
	for (size_t i = 0; i < array_size(crash_signals); i++)
		remove_handler(crash_signals[i]);
	for (size_t i = 0; i < array_size(fatal_signals); i++)
		remove_handler(fatal_signals[i]);
	for (size_t i = 0; i < array_size(job_signals); i++)
		remove_handler(job_signals[i]);
}

int console_tty_claim(int fd, int wake_fd)
{
	static bool registered;
	int rc = 0;
	pthread_mutex_lock(&tty.lock);
	if (tty.claimed) {
		rc = -EBUSY;
	} else {
		tty.claimed = true;
		tty.have_saved = false;
		tty.fd = fd;
		tty.wake_fd = wake_fd;
		atomic_store(&tty.resized, true);
		if (!registered)
			registered = !atexit(restore);
		install_handlers();
	}
	pthread_mutex_unlock(&tty.lock);
	return rc;
}

bool console_tty_enter_raw(void)
{
	struct termios raw;
	if (!console_tty_foreground())
		return false;
	if (!tty.have_saved) {
		if (tcgetattr(tty.fd, &tty.saved))
			return false;
		tty.have_saved = true;
	}
	raw = tty.saved;
	cfmakeraw(&raw);
	/* Messages of our own go to the same screen: leave the translation of line ends on. */
	raw.c_oflag = tty.saved.c_oflag;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	atomic_store(&tty.raw, true);
	return !tcsetattr(tty.fd, TCSANOW, &raw);
}

bool console_tty_continued(void)
{
	return atomic_exchange(&tty.continued, false);
}

bool console_tty_resized(void)
{
	return atomic_exchange(&tty.resized, false);
}

void console_tty_release(void)
{
	pthread_mutex_lock(&tty.lock);
	if (tty.claimed) {
		restore();
		remove_handlers();
		tty.claimed = false;
	}
	pthread_mutex_unlock(&tty.lock);
}

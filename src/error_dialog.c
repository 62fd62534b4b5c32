/* Errors in a dialog; see error_dialog.h. */
#include "error_dialog.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/module.h"
#include "displays.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[2048]; /* under lock */

static void keep(const char *line)
{
	size_t used;

	pthread_mutex_lock(&lock);
	used = strlen(text);
	if (used + strlen(line) + 3 < sizeof(text))
		sprintf(text + used, "%s%s", used ? "\n\n" : "", line);
	pthread_mutex_unlock(&lock);
}

void error_dialog_collect(void)
{
	log_set_error_hook(keep);
}

static int exit_status; /* for end */

static void end(int number)
{
	(void)number;
	_exit(exit_status);
}

/* A guest's run leaves them blocked, and nobody takes them any more. */
static void let_signals_end_us(int status)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = end };
	sigset_t set;

	exit_status = status;
	sigemptyset(&set);
	for (size_t i = 0; i < array_size(signals); i++) {
		sigaction(signals[i], &action, NULL);
		sigaddset(&set, signals[i]);
	}
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void error_dialog_show(int status)
{
	/* The one with the better dialogs first. */
	static const char *const modules[] = { "gtk", "sdl" };
	bool shown = false;

	log_set_error_hook(NULL);
	if (!text[0] || !displays_in_desktop_session())
		return;
	let_signals_end_us(status);
	for (size_t i = 0; i < array_size(modules) && !shown; i++) {
		struct module *module;
		struct error err;
		void *symbol;

		if (module_open(modules[i], &module, &err))
			continue;
		if (!module_symbol(module, ERROR_DIALOG_SYMBOL, &symbol, &err)) {
			error_dialog_function *show;

			memcpy(&show, &symbol, sizeof(show));
			shown = show("vmgui", text) == 0;
		}
		/* It stays open: a toolkit does not like to be unloaded, and the process ends. */
	}
}

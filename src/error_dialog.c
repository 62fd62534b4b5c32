/* Errors in a dialog; see error_dialog.h. */
#include "error_dialog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/module.h"

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

void error_dialog_show(void)
{
	/* The one with the better dialogs first. */
	static const char *const modules[] = { "gtk", "sdl" };
	const char *wayland = getenv("WAYLAND_DISPLAY"), *x11 = getenv("DISPLAY");
	bool shown = false;

	log_set_error_hook(NULL);
	if (!text[0] || !((wayland && *wayland) || (x11 && *x11)))
		return;
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

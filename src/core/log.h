/* Messages to stderr, one line each, by level and component. Any thread may call; a line is written
 * with one write(2), so lines of two threads never mix. "vmgui: TEXT" for errors, warnings and
 * infos, "vmgui: debug: COMPONENT: TEXT" below that. */
#ifndef VMGUI_CORE_LOG_H
#define VMGUI_CORE_LOG_H

#include <stdatomic.h>

#include "core/util.h"

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
	LOG_TRACE,
};

/* Default: LOG_INFO. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Gets the text of each LOG_ERROR as well, without "vmgui: "; any thread. NULL takes it off. */
void log_set_error_hook(void (*hook)(const char *text));

/* component is a static string such as "pci"; the text has no final newline. */
void log_message(enum log_level level, const char *component, const char *format, ...)
	VMGUI_PRINTF(3, 4);

#define log_error(component, ...) log_message(LOG_ERROR, component, __VA_ARGS__)
#define log_warn(component, ...)  log_message(LOG_WARN, component, __VA_ARGS__)
#define log_info(component, ...)  log_message(LOG_INFO, component, __VA_ARGS__)
#define log_debug(component, ...)                                                                  \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_message(LOG_DEBUG, component, __VA_ARGS__);                            \
	} while (0)

/* For what a guest or a client can trigger: lets a burst of 10 through, then one a second, and says
 * how many were left out. One static struct per place; zero-initialised. */
struct log_limit {
	atomic_ullong window_ns;
	atomic_uint used, dropped;
};
bool log_limit_pass(struct log_limit *limit, unsigned *dropped);

#define log_guest(component, ...)                                                                  \
	do {                                                                                       \
		static struct log_limit log_limit_here;                                            \
		unsigned log_dropped;                                                              \
		if (log_enabled(LOG_DEBUG) && log_limit_pass(&log_limit_here, &log_dropped)) {     \
			if (log_dropped)                                                           \
				log_message(LOG_DEBUG, component, "%u more like the next",         \
					log_dropped);                                              \
			log_message(LOG_DEBUG, component, __VA_ARGS__);                            \
		}                                                                                  \
	} while (0)

#endif

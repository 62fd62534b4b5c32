#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BURST     10u
#define WINDOW_NS UINT64_C(1000000000)

static atomic_int current_level = LOG_INFO;
static void (*_Atomic error_hook)(const char *text);

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_set_error_hook(void (*hook)(const char *text))
{
	atomic_store(&error_hook, hook);
}

void log_message(enum log_level level, const char *component, const char *format, ...)
{
	static const char *const names[] = { "", "warning: ", "", "debug: ", "trace: " };
	char line[1024];
	void (*hook)(const char *text);
	va_list arguments;
	int saved_errno = errno, length;

	if (!log_enabled(level))
		return;
	if (level >= LOG_DEBUG)
		length = snprintf(line, sizeof(line), "vmgui: %s%s: ", names[level], component);
	else
		length = snprintf(line, sizeof(line), "vmgui: %s", names[level]);
	va_start(arguments, format);
	length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, arguments);
	va_end(arguments);
	if (length > (int)sizeof(line) - 2)
		length = (int)sizeof(line) - 2;
	for (int i = 0; i < length; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	hook = atomic_load(&error_hook);
	if (hook && level == LOG_ERROR) {
		line[length] = '\0';
		hook(line + strlen("vmgui: "));
	}
	line[length++] = '\n';
	/* Nothing sensible can be done where stderr cannot be written. */
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		errno = saved_errno;
	errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, unsigned *dropped)
{
	struct timespec now;
	unsigned long long now_ns, window = 0;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	now_ns = (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
	*dropped = 0;
	/* The first one starts the clock, before anybody can be past the burst. */
	if (atomic_compare_exchange_strong(&limit->window_ns, &window, now_ns))
		window = now_ns;
	if (atomic_fetch_add(&limit->used, 1) < BURST)
		return true;
	/* Keeps `used` from wrapping round into a new burst. */
	atomic_store(&limit->used, BURST);
	/* The burst is spent: one message a second from here on. Another thread may have moved the
	 * window past the time that this one has read. */
	if (now_ns > window && now_ns - window >= WINDOW_NS &&
		atomic_compare_exchange_strong(&limit->window_ns, &window, now_ns)) {
		*dropped = atomic_exchange(&limit->dropped, 0);
		return true;
	}
	atomic_fetch_add(&limit->dropped, 1);
	return false;
}

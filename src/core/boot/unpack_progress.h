/* Tells on stderr how far a decompression is when somebody has to wait for it: nothing in the first
 * two seconds, then a line every two.
 *
 * The libraries work on whole buffers and report nothing meanwhile; but the output is fresh memory,
 * and the kernel knows which of its pages have been written (mincore(2)).
 *
 * Threads: the caller's; one more runs between start and stop, made only then. */
#ifndef VMGUI_CORE_BOOT_UNPACK_PROGRESS_H
#define VMGUI_CORE_BOOT_UNPACK_PROGRESS_H

#include <pthread.h>

#include "core/util.h"

#define UNPACK_PROGRESS_PERIOD_MS 2000u

struct unpack_progress {
	const char *what; /* "xz" */
	const uint8_t *output;
	size_t output_bytes;
	unsigned period_ms;
	/* Says it; for tests. NULL: log_info. */
	void (*tell)(void *opaque, unsigned percent);
	void *opaque;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done; /* under lock */
	bool has_thread;
	pthread_t thread;
};

/* output: page-aligned, nothing of it written yet. Never fails: without it nothing is told. */
void unpack_progress_start(struct unpack_progress *progress, const char *what,
	const uint8_t *output, size_t output_bytes);
/* Where the output is written now. */
unsigned unpack_progress_percent(const struct unpack_progress *progress);
void unpack_progress_stop(struct unpack_progress *progress);

#endif

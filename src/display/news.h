/* What a display without a toolkit waits for: the surface's news and backend_notify's, together.
 *
 * Threads: init, wait and fini in the backend's own; wake in any. */
#ifndef VMGUI_DISPLAY_NEWS_H
#define VMGUI_DISPLAY_NEWS_H

#include <pthread.h>

#include "display/backend.h"

struct news {
	struct surface_reader *reader; /* immutable after init */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken; /* under lock */
};

VMGUI_MUST_USE int news_init(struct news *news, struct surface *surface); /* -ENOMEM */
void news_fini(struct news *news);
/* Only signals. */
void news_wake(struct news *news);
/* Sleeps until not_before_ns (CLOCK_MONOTONIC; 0: not) whatever happens, then until news_wake was
 * called since the last wait returned. A backend that is to stop is not kept. */
void news_wait(struct news *news, struct display_backend *backend, uint64_t not_before_ns);

#endif

/* Waiting for the surface's news and the backend's in one place; see news.h. */
#include "display/news.h"

#include <errno.h>

#include "core/clock.h"

static void surface_changed(void *opaque)
{
	news_wake(opaque);
}

int news_init(struct news *news, struct surface *surface)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&news->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&news->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	news->woken = false;
	news->reader = surface_reader_create(surface, surface_changed, news);
	if (news->reader)
		return 0;
	news_fini(news);
	return -ENOMEM;
}

void news_fini(struct news *news)
{
	/* The reader goes first: its wake-ups use the rest. */
	surface_reader_destroy(news->reader);
	pthread_cond_destroy(&news->changed);
	pthread_mutex_destroy(&news->lock);
}

void news_wake(struct news *news)
{
	pthread_mutex_lock(&news->lock);
	news->woken = true;
	pthread_cond_signal(&news->changed);
	pthread_mutex_unlock(&news->lock);
}

void news_wait(struct news *news, struct display_backend *backend, uint64_t not_before_ns)
{
	const struct timespec not_before = clock_timespec(not_before_ns);

	pthread_mutex_lock(&news->lock);
	while (!backend_should_stop(backend) &&
		pthread_cond_timedwait(&news->changed, &news->lock, &not_before) != ETIMEDOUT)
		;
	while (!backend_should_stop(backend) && !news->woken)
		pthread_cond_wait(&news->changed, &news->lock);
	news->woken = false;
	pthread_mutex_unlock(&news->lock);
}

/* How far a decompression is; see unpack_progress.h. */
#include "core/boot/unpack_progress.h"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/signals.h"

#define SAMPLES 1024u

/* Pages are looked at in samples, so that a gibibyte costs no more than a mebibyte. */
unsigned unpack_progress_percent(const struct unpack_progress *progress)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = progress->output_bytes / page;
	size_t samples = pages < SAMPLES ? pages : SAMPLES, written = 0;

	if (!samples)
		return 0;
	for (size_t i = 0; i < samples; i++) {
		uint8_t *at = (uint8_t *)(uintptr_t)progress->output + i * pages / samples * page;
		unsigned char resident = 0;

		if (mincore(at, page, &resident) == 0)
			written += resident & 1;
	}
	return (unsigned)(written * 100 / samples);
}

static void tell(const struct unpack_progress *progress)
{
	unsigned percent = unpack_progress_percent(progress);

	if (progress->tell)
		progress->tell(progress->opaque, percent);
	else
		log_info("boot", "decompressing (%s): %u%%", progress->what, percent);
}

static void *progress_main(void *opaque)
{
	struct unpack_progress *progress = opaque;
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	pthread_mutex_lock(&progress->lock);
	while (!progress->done) {
		due.tv_nsec += (long)(progress->period_ms % 1000) * 1000000;
		due.tv_sec += (time_t)(progress->period_ms / 1000) + due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		while (!progress->done &&
			!pthread_cond_timedwait(&progress->changed, &progress->lock, &due))
			;
		if (!progress->done)
			tell(progress);
	}
	pthread_mutex_unlock(&progress->lock);
	return NULL;
}

void unpack_progress_start(struct unpack_progress *progress, const char *what,
	const uint8_t *output, size_t output_bytes)
{
	pthread_condattr_t attributes;
	sigset_t before;

	progress->what = what;
	progress->output = output;
	progress->output_bytes = output_bytes;
	if (!progress->period_ms)
		progress->period_ms = UNPACK_PROGRESS_PERIOD_MS;
	progress->done = false;
	pthread_mutex_init(&progress->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	signals_block_for_thread(&before);
	progress->has_thread =
		pthread_create(&progress->thread, NULL, progress_main, progress) == 0;
	signals_restore(&before);
}

void unpack_progress_stop(struct unpack_progress *progress)
{
	pthread_mutex_lock(&progress->lock);
	progress->done = true;
	pthread_cond_signal(&progress->changed);
	pthread_mutex_unlock(&progress->lock);
	if (progress->has_thread)
		pthread_join(progress->thread, NULL);
	pthread_cond_destroy(&progress->changed);
	pthread_mutex_destroy(&progress->lock);
}

/* A display that is a PNG file: the file follows the screen, at most once a second, and holds the
 * last picture when the display ends. Whoever opens it finds a whole picture.
 *
 * Threads: init, run and fini in the backend's thread "png"; wakeup in any. */
#include "display/backend.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "display/backend_builtin.h"
#include "display/png_file.h"

struct png_display {
	struct surface_reader *reader;
	char *path;
	bool failed; /* said so, and not again until it works */
	pthread_mutex_t lock;
	pthread_cond_t news;
	bool woken; /* under lock */
};

static void wake(struct png_display *display)
{
	pthread_mutex_lock(&display->lock);
	display->woken = true;
	pthread_cond_signal(&display->news);
	pthread_mutex_unlock(&display->lock);
}

static void surface_changed(void *opaque)
{
	wake(opaque);
}

static int png_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct png_display *display = display_backend_private(backend);
	pthread_condattr_t attributes;
	int result;

	if (!argument || !*argument)
		return error_set(err, EINVAL, "display 'png': needs the name of its file");
	result = png_file_check(argument, err);
	if (!result)
		result = png_file_prepare(err);
	if (result)
		return result;
	display->path = strdup(argument);
	if (!display->path)
		return error_set(err, ENOMEM, "display 'png': out of memory");
	pthread_mutex_init(&display->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&display->news, &attributes);
	pthread_condattr_destroy(&attributes);
	display->reader = surface_reader_create(
		display_backend_host(backend)->surface, surface_changed, display);
	if (!display->reader) {
		pthread_cond_destroy(&display->news);
		pthread_mutex_destroy(&display->lock);
		free(display->path);
		return error_set(err, ENOMEM, "display 'png': out of memory");
	}
	return 0;
}

/* Writes the file if anything changed since it was written. */
static bool write_changes(struct display_backend *backend)
{
	struct png_display *display = display_backend_private(backend);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	struct error err;
	size_t count = surface_read_begin(display->reader, &view, rects);

	surface_read_end(display->reader);
	if (!count)
		return false;
	if (png_file_write_surface(display->path, display_backend_host(backend)->surface, &err)) {
		if (!display->failed)
			log_warn("png", "%s (the guest goes on; trying again)", err.text);
		display->failed = true;
	} else {
		display->failed = false;
	}
	return true;
}

/* Waits for news, or for the deadline and then for news. */
static void wait_news(struct display_backend *backend, const struct timespec *not_before)
{
	struct png_display *display = display_backend_private(backend);

	pthread_mutex_lock(&display->lock);
	while (!backend_should_stop(backend) &&
		pthread_cond_timedwait(&display->news, &display->lock, not_before) != ETIMEDOUT)
		;
	while (!backend_should_stop(backend) && !display->woken)
		pthread_cond_wait(&display->news, &display->lock);
	display->woken = false;
	pthread_mutex_unlock(&display->lock);
}

static void png_run(struct display_backend *backend)
{
	struct timespec not_before = { 0, 0 };

	while (!backend_should_stop(backend)) {
		if (write_changes(backend)) {
			clock_gettime(CLOCK_MONOTONIC, &not_before);
			not_before.tv_sec++;
		}
		wait_news(backend, &not_before);
	}
	write_changes(backend);
}

static void png_fini(struct display_backend *backend)
{
	struct png_display *display = display_backend_private(backend);

	surface_reader_destroy(display->reader);
	pthread_cond_destroy(&display->news);
	pthread_mutex_destroy(&display->lock);
	free(display->path);
}

static void png_wakeup(struct display_backend *backend)
{
	wake(display_backend_private(backend));
}

const struct display_backend_ops backend_png_ops = {
	.abi = DISPLAY_BACKEND_ABI,
	.name = "png",
	.description = "a PNG file that follows the screen",
	.private_size = sizeof(struct png_display),
	.init = png_init,
	.run = png_run,
	.fini = png_fini,
	.wakeup = png_wakeup,
};

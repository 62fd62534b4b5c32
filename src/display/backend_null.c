/* The display that shows nothing: what a headless run and the tests use, and the example for
 * writing another one. It takes each update as a real display would and counts them.
 *
 * A backend has three parts: a reader of the surface, whose wake-ups and those of backend_notify
 * come together in one thing to wait for (here a condition variable; an eventfd or a toolkit's
 * event elsewhere); a loop that waits, copies what is damaged while it holds the surface, and shows
 * it after it has let go; and an input source for what its user types.
 *
 * Threads: init, run and fini in the backend's thread "null"; wakeup in any. */
#include "display/backend.h"

#include <errno.h>
#include <pthread.h>

#include "core/log.h"
#include "display/backend_builtin.h"

struct null_display {
	struct surface_reader *reader;
	uint64_t updates, pixels; /* run's alone */
	pthread_mutex_t lock;
	pthread_cond_t news;
	bool woken; /* under lock */
};

static void wake(struct null_display *display)
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

static int null_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct null_display *display = display_backend_private(backend);

	if (argument && *argument)
		return error_set(
			err, EINVAL, "display 'null': takes no argument, but got '%s'", argument);
	pthread_mutex_init(&display->lock, NULL);
	pthread_cond_init(&display->news, NULL);
	display->reader = surface_reader_create(
		display_backend_host(backend)->surface, surface_changed, display);
	if (!display->reader) {
		pthread_cond_destroy(&display->news);
		pthread_mutex_destroy(&display->lock);
		return error_set(err, ENOMEM, "display 'null': out of memory");
	}
	return 0;
}

static void null_run(struct display_backend *backend)
{
	struct null_display *display = display_backend_private(backend);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	size_t count;

	while (!backend_should_stop(backend)) {
		/* Look first: what changed before there was a reader sends no wake-up. */
		count = surface_read_begin(display->reader, &view, rects);
		surface_read_end(display->reader);
		display->updates += count > 0;
		for (size_t i = 0; i < count; i++)
			display->pixels += (uint64_t)rects[i].width * rects[i].height;

		pthread_mutex_lock(&display->lock);
		while (!display->woken)
			pthread_cond_wait(&display->news, &display->lock);
		display->woken = false;
		pthread_mutex_unlock(&display->lock);
	}
}

static void null_fini(struct display_backend *backend)
{
	struct null_display *display = display_backend_private(backend);

	log_debug("null", "%llu updates, %llu pixels", (unsigned long long)display->updates,
		(unsigned long long)display->pixels);
	/* The reader goes first: its wake-ups use the rest. */
	surface_reader_destroy(display->reader);
	pthread_cond_destroy(&display->news);
	pthread_mutex_destroy(&display->lock);
}

static void null_wakeup(struct display_backend *backend)
{
	wake(display_backend_private(backend));
}

const struct display_backend_ops backend_null_ops = {
	.abi = DISPLAY_BACKEND_ABI,
	.name = "null",
	.description = "no display",
	.private_size = sizeof(struct null_display),
	.init = null_init,
	.run = null_run,
	.fini = null_fini,
	.wakeup = null_wakeup,
};

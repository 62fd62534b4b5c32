/* The display that shows nothing: what a headless run and the tests use, and the example for
 * writing another one. It takes each update as a real display would and counts them.
 *
 * A backend has three parts: a reader of the surface, whose wake-ups and those of backend_notify
 * come together in one thing to wait for (here news.h; an eventfd or a toolkit's event elsewhere);
 * a loop that waits, copies what is damaged while it holds the surface, and shows
 * it after it has let go; and an input source for what its user types.
 *
 * Threads: init, run and fini in the backend's thread "null"; wakeup in any. */
#include "display/backend.h"

#include <errno.h>

#include "core/log.h"
#include "display/backend_builtin.h"
#include "display/news.h"

struct null_display {
	struct news news;
	uint64_t updates, pixels; /* run's alone */
};

static int null_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct null_display *display = display_backend_private(backend);

	if (argument && *argument)
		return error_set(
			err, EINVAL, "display 'null': takes no argument, but got '%s'", argument);
	if (news_init(&display->news, display_backend_host(backend)->surface))
		return error_set(err, ENOMEM, "display 'null': out of memory");
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
		count = surface_read_begin(display->news.reader, &view, rects);
		surface_read_end(display->news.reader);
		display->updates += count > 0;
		for (size_t i = 0; i < count; i++)
			display->pixels += (uint64_t)rects[i].width * rects[i].height;
		news_wait(&display->news, backend, 0);
	}
}

static void null_fini(struct display_backend *backend)
{
	struct null_display *display = display_backend_private(backend);

	log_debug("null", "%llu updates, %llu pixels", (unsigned long long)display->updates,
		(unsigned long long)display->pixels);
	news_fini(&display->news);
}

static void null_wakeup(struct display_backend *backend)
{
	struct null_display *display = display_backend_private(backend);

	news_wake(&display->news);
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

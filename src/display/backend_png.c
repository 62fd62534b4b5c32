/* A display that is a PNG file: the file follows the screen, at most once a second, and holds the
 * last picture when the display ends. Whoever opens it finds a whole picture.
 *
 * Threads: init, run and fini in the backend's thread "png"; wakeup in any. */
#include "display/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "display/backend_builtin.h"
#include "display/news.h"
#include "display/png_file.h"

#define PERIOD_NS 1000000000u

struct png_display {
	struct news news;
	char *path;
	bool failed; /* said so, and not again until it works */
};

static int png_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct png_display *display = display_backend_private(backend);
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
	if (news_init(&display->news, display_backend_host(backend)->surface)) {
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
	size_t count = surface_read_begin(display->news.reader, &view, rects);

	surface_read_end(display->news.reader);
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

static void png_run(struct display_backend *backend)
{
	struct png_display *display = display_backend_private(backend);
	uint64_t not_before = 0;

	while (!backend_should_stop(backend)) {
		if (write_changes(backend))
			not_before = clock_now_ns() + PERIOD_NS;
		news_wait(&display->news, backend, not_before);
	}
	write_changes(backend);
}

static void png_fini(struct display_backend *backend)
{
	struct png_display *display = display_backend_private(backend);

	news_fini(&display->news);
	free(display->path);
}

static void png_wakeup(struct display_backend *backend)
{
	struct png_display *display = display_backend_private(backend);

	news_wake(&display->news);
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

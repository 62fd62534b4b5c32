/* A display that shows nothing and notes when the surface changed, for display.py. It is loaded in
 * place of the SDL window (VMGUI_MODULE_DIR) and writes one line for each change that `flash`
 * (assets/testcard/README.md) made: its number, and CLOCK_MONOTONIC in nanoseconds when the surface
 * called. The file is named by VMGUI_PROBE.
 *
 * Threads: the backend's own, and the refresh's for the wake. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/module.h"
#include "display/backend.h"

#define FLASH_X 504
#define FLASH_Y 308

MODULE_DEFINE();

struct probe {
	struct display_backend *backend; /* immutable, as all but called_ns */
	struct surface_reader *reader;
	FILE *out;
	int wake_fd;
	_Atomic uint64_t called_ns;
};

static void probe_wakeup(struct display_backend *backend)
{
	struct probe *probe = display_backend_private(backend);
	const uint64_t one = 1;

	(void)!write(probe->wake_fd, &one, sizeof(one));
}

static void on_news(void *opaque)
{
	struct probe *probe = opaque;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	atomic_store(&probe->called_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	probe_wakeup(probe->backend);
}

static int probe_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct probe *probe = display_backend_private(backend);
	const char *path = getenv("VMGUI_PROBE");

	(void)argument;
	probe->backend = backend;
	probe->out = path ? fopen(path, "we") : NULL;
	if (!probe->out)
		return error_set(err, EINVAL, "probe: VMGUI_PROBE names no file");
	setlinebuf(probe->out);
	probe->wake_fd = eventfd(0, EFD_CLOEXEC);
	probe->reader =
		surface_reader_create(display_backend_host(backend)->surface, on_news, probe);
	if (!probe->reader)
		return error_set(err, ENOMEM, "probe: out of memory");
	return 0;
}

static void probe_run(struct display_backend *backend)
{
	struct probe *probe = display_backend_private(backend);
	uint32_t before = 0;
	uint64_t count;

	while (!backend_should_stop(backend)) {
		struct rect rects[SURFACE_MAX_RECTS];
		struct surface_view view;
		uint32_t pixel = 0;

		(void)surface_read_begin(probe->reader, &view, rects);
		if (view.width > FLASH_X && view.height > FLASH_Y)
			pixel = view.pixels[(size_t)FLASH_Y * view.stride_pixels + FLASH_X];
		surface_read_end(probe->reader);
		if (pixel != before && pixel >> 16 == 1)
			fprintf(probe->out, "%u %llu\n", pixel & 0xffff,
				(unsigned long long)atomic_load(&probe->called_ns));
		before = pixel;
		(void)!read(probe->wake_fd, &count, sizeof(count));
	}
}

static void probe_fini(struct display_backend *backend)
{
	struct probe *probe = display_backend_private(backend);

	surface_reader_destroy(probe->reader);
	fclose(probe->out);
	close(probe->wake_fd);
}

extern const struct display_backend_ops vmgui_backend_ops;
const struct display_backend_ops vmgui_backend_ops = {
	.abi = DISPLAY_BACKEND_ABI,
	.name = "sdl",
	.description = "notes when the surface changed",
	.private_size = sizeof(struct probe),
	.init = probe_init,
	.run = probe_run,
	.fini = probe_fini,
	.wakeup = probe_wakeup,
};

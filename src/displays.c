#include "displays.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/log.h"
#include "devices/i8042.h"
#include "devices/vga.h"
#include "devices/vmmouse.h"

#define STOP_SECONDS 3u

bool displays_wanted(const struct config *config)
{
	return config->sdl || config->gtk || config->vnc.given ||
	       !(config->headless || config->nodefaults);
}

bool displays_want_console(const struct config *config)
{
	return config->gtk;
}

static void input_used(void *opaque)
{
	refresh_kick(opaque);
}

static void display_closed(void *opaque)
{
	const struct displays *displays = opaque;
	const uint64_t one = 1;

	(void)!write(displays->closed_fd, &one, sizeof(one));
}

static int create_router(struct displays *displays, struct board *board, struct error *err)
{
	int ret = input_router_create(&displays->router, err);

	if (!ret)
		ret = input_router_attach(displays->router, i8042_keyboard_sink(board->i8042));
	if (!ret)
		ret = input_router_attach(displays->router, i8042_mouse_sink(board->i8042));
	if (!ret) /* last: preferred where the guest has switched it on */
		ret = input_router_attach(displays->router, vmmouse_sink(board->vmmouse));
	if (!ret)
		input_router_watch(displays->router, input_used, displays->refresh);
	return ret;
}

int displays_init(struct displays *displays, const struct config *config, struct board *board,
	struct error *err)
{
	int ret;

	memset(displays, 0, sizeof(*displays));
	displays->config = config;
	displays->shows = displays_wanted(config);
	displays->closed_fd = -1;
	if (!displays->shows && !config->screenshot)
		return 0;
	displays->surface = surface_create();
	if (!displays->surface)
		return error_set(err, ENOMEM, "display: out of memory");
	ret = refresh_create(vga_get_source(board->vga), displays->surface, config->refresh_hz,
		&displays->refresh, err);
	if (ret || !displays->shows)
		return ret;
	displays->closed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (displays->closed_fd < 0)
		return error_set(err, errno, "display: eventfd: %s", strerror(errno));
	ret = create_router(displays, board, err);
	if (ret)
		return ret;
	displays->settings = config->display;
	displays->host = (struct display_host){
		.surface = displays->surface,
		.router = displays->router,
		.control = &board->machine.control,
		.settings = &displays->settings,
		.guest_name = config->name,
		.closed = display_closed,
		.closed_opaque = displays,
	};
	return refresh_start(displays->refresh, err);
}

static int start(
	struct displays *displays, const char *name, const char *argument, struct error *err)
{
	struct display_backend *backend;
	int ret = backend_create(name, &displays->host, &backend, err);

	if (ret)
		return ret;
	ret = backend_start(backend, argument, err);
	if (ret) {
		backend_destroy(backend);
		return ret;
	}
	displays->backends[displays->count++] = backend;
	return 0;
}

bool displays_in_desktop_session(void)
{
	const char *wayland = getenv("WAYLAND_DISPLAY"), *x11 = getenv("DISPLAY");

	return (wayland && *wayland) || (x11 && *x11);
}

/* Nothing was asked for: the best there is. */
static int start_default(struct displays *displays, struct error *err)
{
	if (displays_in_desktop_session()) {
		if (!start(displays, "sdl", NULL, err))
			return 0;
		log_warn("run", "%s; serving VNC instead", err->text);
		err->text[0] = '\0'; /* it is told; what is left there at the end is a failure */
	} else {
		log_info("run", "no desktop session for a window: serving VNC instead");
	}
	return start(displays, "vnc", NULL, err);
}

int displays_start(struct displays *displays, struct console_hub *console, struct error *err)
{
	const struct config *config = displays->config;
	int ret = 0;

	if (!displays->shows)
		return 0;
	if (config->keymap) {
		ret = keymap_create(config->keymap, &displays->keymap, err);
		if (ret)
			return ret;
	}
	displays->settings.keymap = displays->keymap;
	displays->host.console = console;
	if (config->sdl)
		ret = start(displays, "sdl", NULL, err);
	if (!ret && config->gtk)
		ret = start(displays, "gtk", NULL, err);
	if (!ret && config->vnc.given)
		ret = start(displays, "vnc", config->vnc.value, err);
	if (ret || config->sdl || config->gtk || config->vnc.given)
		return ret;
	return start_default(displays, err);
}

void displays_notify(struct displays *displays)
{
	const struct vm_control *control = displays->host.control;

	if (displays->router) {
		enum vm_state state = control->state(control->opaque);

		input_router_set_running(
			displays->router, state == VM_RUNNING || state == VM_POWERING_DOWN);
	}
	for (unsigned i = 0; i < displays->count; i++)
		backend_notify(displays->backends[i]);
}

void displays_guest_starts(struct displays *displays)
{
	if (displays->router)
		input_router_reset(displays->router);
}

static bool window_is_open(const struct displays *displays)
{
	for (unsigned i = 0; i < displays->count; i++) {
		if (backend_is_window(displays->backends[i]) &&
			!backend_ended(displays->backends[i]))
			return true;
	}
	return false;
}

bool displays_want_to_linger(const struct displays *displays)
{
	const struct vm_control *control = displays->host.control;

	return displays->settings.keep_open && control->state(control->opaque) == VM_ENDED &&
	       window_is_open(displays);
}

void displays_linger(struct displays *displays)
{
	sigset_t signals;
	int signal_fd;

	/* They are blocked; the machine, which took them so far, has ended. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return;
	while (window_is_open(displays)) {
		struct pollfd fds[] = {
			{ .fd = displays->closed_fd, .events = POLLIN },
			{ .fd = signal_fd, .events = POLLIN },
		};
		uint64_t count;

		if (poll(fds, array_size(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		(void)!read(displays->closed_fd, &count, sizeof(count));
	}
	close(signal_fd);
}

bool displays_stop(struct displays *displays)
{
	bool stuck = false;

	for (unsigned i = 0; i < displays->count; i++)
		stuck |= backend_stop_within(displays->backends[i], STOP_SECONDS) != 0;
	if (stuck)
		return false;
	if (displays->refresh)
		refresh_stop(displays->refresh);
	return true;
}

void displays_fini(struct displays *displays)
{
	for (unsigned i = 0; i < displays->count; i++)
		backend_destroy(displays->backends[i]);
	if (displays->router)
		input_router_destroy(displays->router);
	if (displays->refresh)
		refresh_destroy(displays->refresh);
	if (displays->surface)
		surface_destroy(displays->surface);
	keymap_destroy(displays->keymap);
	if (displays->closed_fd >= 0)
		close(displays->closed_fd);
}

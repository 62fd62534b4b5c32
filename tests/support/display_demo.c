/* Displays with no guest behind them: a test picture on the surface, and input that goes to stdout.
 *
 *   display_demo [--sdl] [--gtk] [--vnc[=WHERE]] [--null] [--size=WxH] [--move=HZ]
 *                [--storm=HZ] [--absolute] [--seconds=N] [--name=NAME] [--fullscreen] [--keep-open]
 *                [--scale=fit|integer|PERCENT] [--filter=auto|nearest|smooth] [--release=CHORD]
 *                [--slow]
 *
 * --move: a white square moves that often a second; --storm: the size changes that often. One line
 * on stdout for each event the "guest" gets; SIGINT or SIGTERM or the end of --seconds ends it, and
 * so does being asked to power down; with --keep-open the window's end. SIGUSR1 switches an
 * absolute pointer on or off. */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "display/backend.h"
#include "fake_sink.h"

#define SQUARE 32u

struct demo {
	struct surface *surface;
	uint32_t width, height;
	unsigned step;
	atomic_int state; /* enum vm_state */
	struct display_backend *backends[4];
	size_t backend_count;
};

static struct demo demo = { .width = 800, .height = 600 };
static struct display_settings settings;
static struct fake_sink sink;
static atomic_bool over;

static uint32_t picture(uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	static const uint32_t bars[8] = { 0xff0000, 0x00ff00, 0x0000ff, 0xffffff, 0x000000,
		0xffff00, 0x00ffff, 0xff00ff };

	if (x == 0 || y == 0 || x == width - 1 || y == height - 1)
		return 0xffffff; /* the border shows whether all of it is there */
	if (y < height / 2)
		return bars[x * 8 / width];
	return (x * 255 / width) << 16 | (y * 255 / height) << 8 | 0x40;
}

static struct rect square_at(unsigned step)
{
	struct rect rect = { .x = 8 + step * 4 % (demo.width - SQUARE - 16),
		.y = demo.height / 2,
		.width = SQUARE,
		.height = SQUARE };

	return rect;
}

static void paint(uint32_t *pixels, uint32_t stride, const struct rect *rect, bool white)
{
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		for (uint32_t x = rect->x; x < rect->x + rect->width; x++)
			pixels[(size_t)y * stride + x] =
				white ? 0xffffff : picture(x, y, demo.width, demo.height);
}

static void draw_all(void)
{
	const struct rect whole = { 0, 0, demo.width, demo.height };
	uint32_t *pixels, stride;

	if (surface_write_begin(demo.surface, demo.width, demo.height, &pixels, &stride))
		return;
	paint(pixels, stride, &whole, false);
	surface_write_end(demo.surface, &whole, 1);
}

static void draw_move(void)
{
	struct rect rects[2] = { square_at(demo.step), square_at(demo.step + 1) };
	uint32_t *pixels, stride;

	if (surface_write_begin(demo.surface, demo.width, demo.height, &pixels, &stride))
		return;
	paint(pixels, stride, &rects[0], false);
	paint(pixels, stride, &rects[1], true);
	surface_write_end(demo.surface, rects, 2);
	demo.step++;
}

static void draw_storm(void)
{
	static const uint16_t sizes[][2] = { { 640, 480 }, { 1024, 768 }, { 800, 600 },
		{ 1280, 720 }, { 320, 200 }, { 1920, 1080 } };
	static unsigned next;

	demo.width = sizes[next % array_size(sizes)][0];
	demo.height = sizes[next % array_size(sizes)][1];
	next++;
	draw_all();
}

/* A guest that takes 500 keys a second. */
static void take_some(void)
{
	fake_sink_give_room(&sink, 10);
}

static void say(const char *event)
{
	printf("%s\n", event);
	fflush(stdout);
}

static void notify_all(void)
{
	for (size_t i = 0; i < demo.backend_count; i++)
		backend_notify(demo.backends[i]);
}

static void end(void)
{
	atomic_store(&over, true);
	kill(getpid(), SIGTERM);
}

static void request_powerdown(void *opaque)
{
	(void)opaque;
	say("powerdown");
	if (!settings.keep_open) {
		end();
		return;
	}
	atomic_store(&demo.state, VM_ENDED);
	notify_all();
}

static const char *end_reason(void *opaque)
{
	(void)opaque;
	return atomic_load(&demo.state) == VM_ENDED ? "the guest powered down" : NULL;
}

static void display_closed(void *opaque)
{
	(void)opaque;
	say("closed");
	if (settings.keep_open)
		end();
}

static void request_quit(void *opaque)
{
	request_powerdown(opaque);
}

static void request_reset(void *opaque)
{
	(void)opaque;
	say("reset");
}

static void toggle_pause(void *opaque)
{
	(void)opaque;
	say("pause");
	atomic_fetch_xor(&demo.state, VM_RUNNING ^ VM_PAUSED);
	notify_all();
}

static enum vm_state state(void *opaque)
{
	(void)opaque;
	return (enum vm_state)atomic_load(&demo.state);
}

static void save_screenshot(void *opaque)
{
	(void)opaque;
	say("screenshot");
}

static int add_backend(const char *name, const char *argument, const struct display_host *host)
{
	struct error err;

	if (backend_create(name, host, &demo.backends[demo.backend_count], &err)) {
		log_error("demo", "%s", err.text);
		return -1;
	}
	if (backend_start(demo.backends[demo.backend_count], argument, &err)) {
		log_error("demo", "%s", err.text);
		backend_destroy(demo.backends[demo.backend_count]);
		return -1;
	}
	demo.backend_count++;
	return 0;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void run(int signals, int64_t end, unsigned hz, void (*draw)(void))
{
	int64_t next = now_ns();

	while (!atomic_load(&over)) {
		struct pollfd pollfd = { .fd = signals, .events = POLLIN };
		struct signalfd_siginfo info;
		int64_t until = end;
		int ready;

		if (hz && next < until)
			until = next;
		until -= now_ns();
		ready = poll(&pollfd, 1, until < 0 ? 0 : (int)(until / 1000000 + 1));
		if (ready > 0 && read(signals, &info, sizeof(info)) == sizeof(info) &&
			info.ssi_signo == SIGUSR1) {
			fake_sink_set_active(&sink, sink.active ^ INPUT_POINTER_ABSOLUTE);
			continue;
		}
		if (ready > 0 || now_ns() >= end)
			return;
		if (hz && now_ns() >= next) {
			draw();
			next += 1000000000 / hz;
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "sdl", no_argument, NULL, 's' },
		{ "gtk", no_argument, NULL, 'g' }, { "vnc", optional_argument, NULL, 'v' },
		{ "null", no_argument, NULL, 'n' }, { "size", required_argument, NULL, 'z' },
		{ "move", required_argument, NULL, 'm' }, { "storm", required_argument, NULL, 'S' },
		{ "absolute", no_argument, NULL, 'a' }, { "seconds", required_argument, NULL, 't' },
		{ "debug", no_argument, NULL, 'd' }, { "name", required_argument, NULL, 'N' },
		{ "fullscreen", no_argument, NULL, 'F' }, { "keep-open", no_argument, NULL, 'k' },
		{ "scale", required_argument, NULL, 'c' },
		{ "filter", required_argument, NULL, 'f' },
		{ "release", required_argument, NULL, 'r' }, { "slow", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 } };
	const struct vm_control control = { .request_powerdown = request_powerdown,
		.request_quit = request_quit,
		.request_reset = request_reset,
		.toggle_pause = toggle_pause,
		.state = state,
		.end_reason = end_reason,
		.save_screenshot = save_screenshot };
	struct display_host host = { .control = &control,
		.settings = &settings,
		.guest_name = "demo",
		.closed = display_closed };
	bool sdl = false, gtk = false, vnc = false, null = false, absolute = false;
	const char *vnc_argument = NULL;
	unsigned hz = 0, seconds = 3600;
	void (*draw)(void) = draw_move;
	struct error err;
	sigset_t set;
	int option, status = 0, signals;

	settings = display_settings_default;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			sdl = true;
			break;
		case 'g':
			gtk = true;
			break;
		case 'v':
			vnc = true;
			vnc_argument = optarg;
			break;
		case 'n':
			null = true;
			break;
		case 'z':
			if (sscanf(optarg, "%ux%u", &demo.width, &demo.height) != 2)
				return 2;
			break;
		case 'm':
			hz = (unsigned)atoi(optarg);
			break;
		case 'S':
			hz = (unsigned)atoi(optarg);
			draw = draw_storm;
			break;
		case 'l':
			hz = 50;
			draw = take_some;
			break;
		case 'a':
			absolute = true;
			break;
		case 't':
			seconds = (unsigned)atoi(optarg);
			break;
		case 'N':
			host.guest_name = optarg;
			break;
		case 'F':
			settings.fullscreen = true;
			break;
		case 'k':
			settings.keep_open = true;
			break;
		case 'c':
			settings.scale_given = true;
			settings.scale = *optarg == 'f'   ? DISPLAY_SCALE_FIT
					 : *optarg == 'i' ? DISPLAY_SCALE_INTEGER
							  : DISPLAY_SCALE_FIXED;
			if (settings.scale == DISPLAY_SCALE_FIXED)
				settings.scale_percent = (unsigned)atoi(optarg);
			break;
		case 'f':
			settings.filter = *optarg == 'a'   ? DISPLAY_FILTER_AUTO
					  : *optarg == 'n' ? DISPLAY_FILTER_NEAREST
							   : DISPLAY_FILTER_SMOOTH;
			break;
		case 'r':
			if (chord_parse(optarg, "--release", &settings.release, &err)) {
				log_error("demo", "%s", err.text);
				return 2;
			}
			break;
		case 'd':
			log_set_level(LOG_DEBUG);
			break;
		default:
			return 2;
		}
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);

	demo.surface = surface_create();
	if (!demo.surface || input_router_create(&host.router, &err))
		return 1;
	host.surface = demo.surface;
	fake_sink_init(&sink, "demo",
		INPUT_KEYBOARD | (absolute ? INPUT_POINTER_ABSOLUTE : INPUT_POINTER_RELATIVE),
		draw == take_some ? 10 : UINT32_MAX);
	sink.sink.capabilities |= INPUT_POINTER_ABSOLUTE; /* active or not */
	sink.echo = say;
	if (input_router_attach(host.router, &sink.sink))
		return 1;
	draw_all();
	if ((null && add_backend("null", NULL, &host)) ||
		(vnc && add_backend("vnc", vnc_argument, &host)) ||
		(sdl && add_backend("sdl", NULL, &host)) ||
		(gtk && add_backend("gtk", NULL, &host))) {
		status = 1;
	} else {
		say("ready");
		run(signals, now_ns() + (int64_t)seconds * 1000000000, hz, draw);
	}
	while (demo.backend_count)
		backend_destroy(demo.backends[--demo.backend_count]);
	input_router_destroy(host.router);
	surface_destroy(demo.surface);
	fake_sink_fini(&sink);
	close(signals);
	return status;
}

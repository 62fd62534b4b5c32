/* The GTK window on an X server without a screen (Xvfb): the displays' conformance suite, the
 * picture to the pixel at several scales, and what happens when the desktop goes away. Menus, keys
 * and what needs a window manager are tests/e2e/gtk.py's. */
#include <X11/Xatom.h>
#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <X11/extensions/XTest.h>
#include <X11/keysym.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/console_hub.h"
#include "display/backend.h"
#include "display/geometry.h"
#include "display_conformance.h"
#include "window_fixture.h"

#define SCREEN_WIDTH  2000
#define SCREEN_HEIGHT 1600
#define WAIT_MS       60000

#if defined(__SANITIZE_THREAD__)
/* Not instrumented; GLib's locks are not pthread's. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libglib-2.0.so.0\n"
	       "called_from_lib:libgobject-2.0.so.0\n"
	       "called_from_lib:libgio-2.0.so.0\n"
	       "called_from_lib:libgdk-3.so.0\n"
	       "called_from_lib:libgtk-3.so.0\n"
	       "called_from_lib:libcairo.so.2\n"
	       "called_from_lib:libpixman-1.so.0\n"
	       "called_from_lib:libX11.so.6\n"
	       "race:libglib-2.0.so.0\n"
	       "race:libgobject-2.0.so.0\n"
	       "race:libgio-2.0.so.0\n"
	       "race:libgdk-3.so.0\n"
	       "race:libgtk-3.so.0\n"
	       "race:libcairo.so.2\n"
	       "race:libfontconfig.so.1\n"
	       "race:libpango*\n"
	       "race:libX11.so.6\n"
	       /* Locked in one of the above, where it is not seen, and let go in these. */
	       "mutex:libX\n"
	       "mutex:libgdk_pixbuf\n"
	       "mutex:libpango\n"
	       "mutex:libcairo\n"
	       "mutex:libfontconfig\n";
}
#endif
#if defined(__SANITIZE_ADDRESS__)
/* GTK keeps what it has, and its threads, for as long as the process lives; LeakSanitizer, which
 * stops them all at the end, falls over them now and then. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static char folder[] = "/tmp/vmgui-gtk-XXXXXX";
static pid_t server;
static Display *x;
/* What the window has around the picture. */
static int border_left, border_top, border_right, border_bottom;

/* ---- The X server ---- */

static bool start_server(void)
{
	char number[16] = "", screen[32], fd[16], name[24];
	int pipe_fds[2];
	ssize_t length;

	if (pipe(pipe_fds))
		return false;
	snprintf(fd, sizeof(fd), "%d", pipe_fds[1]);
	snprintf(screen, sizeof(screen), "%dx%dx24", SCREEN_WIDTH, SCREEN_HEIGHT);
	server = fork();
	if (server == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execlp("Xvfb", "Xvfb", "-displayfd", fd, "-screen", "0", screen, "-nolisten", "tcp",
			"-noreset", (char *)NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	length = read(pipe_fds[0], number, sizeof(number) - 1);
	close(pipe_fds[0]);
	if (length <= 0) {
		waitpid(server, NULL, 0);
		return false;
	}
	number[strcspn(number, "\n")] = '\0';
	snprintf(name, sizeof(name), ":%s", number);
	setenv("DISPLAY", name, 1);
	x = XOpenDisplay(name);
	return x != NULL;
}

static void stop_server(void)
{
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
}

/* Windows come and go while we look. */
static int ignore_error(Display *display, XErrorEvent *event)
{
	(void)display;
	(void)event;
	return 0;
}

/* ---- Looking at the window ---- */

static bool read_title(Window window, char title[128])
{
	Atom type, name = XInternAtom(x, "_NET_WM_NAME", False);
	unsigned long count = 0, left;
	unsigned char *text = NULL;
	int format;

	if (XGetWindowProperty(x, window, name, 0, 64, False, AnyPropertyType, &type, &format,
		    &count, &left, &text) != Success ||
		!text)
		return false;
	snprintf(title, 128, "%.*s", (int)count, (const char *)text);
	XFree(text);
	return strstr(title, " - ") != NULL;
}

static Window find_window(char title[128], XWindowAttributes *attributes)
{
	Window root, parent, *children = NULL, found = None;
	unsigned count = 0;

	if (!XQueryTree(x, DefaultRootWindow(x), &root, &parent, &children, &count))
		return None;
	for (unsigned i = 0; i < count && !found; i++) {
		if (XGetWindowAttributes(x, children[i], attributes) &&
			attributes->map_state == IsViewable && read_title(children[i], title))
			found = children[i];
	}
	if (children)
		XFree(children);
	return found;
}

static uint32_t *get_pixels(Window window, int left, int top, int width, int height)
{
	XImage *image = XGetImage(
		x, window, left, top, (unsigned)width, (unsigned)height, AllPlanes, ZPixmap);
	uint32_t *pixels;

	if (!image)
		return NULL;
	pixels = calloc((size_t)width * (size_t)height, sizeof(*pixels));
	for (int row = 0; row < height; row++)
		for (int column = 0; column < width; column++)
			pixels[row * width + column] =
				(uint32_t)XGetPixel(image, column, row) & 0xffffff;
	XDestroyImage(image);
	return pixels;
}

/* The picture's area in the window as it is. */
static bool capture_area(struct display_picture *area, char title[128])
{
	XWindowAttributes attributes;
	Window window = find_window(title, &attributes);
	int width, height;

	if (!window)
		return false;
	width = attributes.width - border_left - border_right;
	height = attributes.height - border_top - border_bottom;
	if (width <= 0 || height <= 0)
		return false;
	area->pixels = get_pixels(window, border_left, border_top, width, height);
	area->width = (uint32_t)width;
	area->height = (uint32_t)height;
	return area->pixels != NULL;
}

/* Where in the area a picture stands that is shown 1:1; a window has a least width, and may be
 * wider than a small picture. */
static bool find_picture(const struct display_picture *area, unsigned width, unsigned height,
	struct placement *place)
{
	*place = geometry_place(DISPLAY_SCALE_FIT, 100, (int)width, (int)height, (int)area->width,
		(int)area->height, 0, 0);
	return place->width == (int)width && place->height == (int)height;
}

static void crop(struct display_picture *picture, const struct placement *place)
{
	uint32_t *pixels = calloc((size_t)place->width * (size_t)place->height, sizeof(*pixels));

	for (int row = 0; row < place->height; row++)
		memcpy(pixels + (size_t)row * (size_t)place->width,
			picture->pixels + (size_t)(place->y + row) * picture->width + place->x,
			(size_t)place->width * sizeof(*pixels));
	free(picture->pixels);
	*picture =
		(struct display_picture){ pixels, (uint32_t)place->width, (uint32_t)place->height };
}

/* For the suite: the picture, once the window is as large as it. */
static bool capture(void *opaque, struct display_picture *picture)
{
	struct placement place;
	unsigned width, height;
	char title[128];

	(void)opaque;
	if (!capture_area(picture, title) ||
		sscanf(strstr(title, " - ") + 3, "running - %ux%u", &width, &height) != 2 ||
		!find_picture(picture, width, height, &place))
		return false;
	crop(picture, &place);
	return true;
}

/* ---- A guest that stands still ---- */

static uint32_t reference(uint32_t column, uint32_t row)
{
	return (column * 7 & 255) << 16 | (row * 5 & 255) << 8 | ((column ^ row) & 255);
}

static uint32_t magenta(uint32_t column, uint32_t row)
{
	(void)column;
	(void)row;
	return 0xff00ff;
}

static struct fixture *create(void)
{
	struct fixture *fixture = fixture_create("gtk", "still", INPUT_POINTER_ABSOLUTE);

	fixture_create_backend(fixture);
	return fixture;
}

/* Finds out what stands around a picture that has one colour of its own. */
static bool measure_borders(void)
{
	struct fixture *fixture = create();
	bool found = false;

	fixture_draw(fixture, 640, 400, magenta);
	fixture_start(fixture);
	for (int64_t until = now_ms() + WAIT_MS; !found && now_ms() < until; usleep(50000)) {
		struct display_picture all = { .pixels = NULL };
		int left = INT_MAX, top = INT_MAX, right = -1, bottom = -1;
		char title[128];

		if (!capture_area(&all, title))
			continue;
		for (int i = 0; i < (int)(all.width * all.height); i++) {
			int column = i % (int)all.width, row = i / (int)all.width;

			if (all.pixels[i] != 0xff00ff)
				continue;
			left = column < left ? column : left;
			right = column > right ? column : right;
			top = row < top ? row : top;
			bottom = row > bottom ? row : bottom;
		}
		free(all.pixels);
		if (right - left != 639 || bottom - top != 399)
			continue;
		found = true;
		border_left = left;
		border_top = top;
		border_right = (int)all.width - 1 - right;
		border_bottom = (int)all.height - 1 - bottom;
	}
	fixture_destroy(fixture);
	return found;
}

/* ---- Tests ---- */

static bool is_scaled(const struct display_picture *area, uint32_t width, uint32_t height,
	unsigned factor, char text[128])
{
	if (area->width != width * factor || area->height != height * factor) {
		snprintf(text, 128, "%ux%u", area->width, area->height);
		return false;
	}
	for (uint32_t row = 0; row < area->height; row++) {
		for (uint32_t column = 0; column < area->width; column++) {
			uint32_t shown = area->pixels[row * area->width + column];

			if (shown == reference(column / factor, row / factor))
				continue;
			snprintf(text, 128, "pixel %u,%u is %06x", column, row, shown);
			return false;
		}
	}
	return true;
}

static void expect_scaled(uint32_t width, uint32_t height, unsigned factor)
{
	char text[128] = "nothing", title[128];

	for (int64_t until = now_ms() + WAIT_MS; now_ms() < until; usleep(50000)) {
		struct display_picture area = { .pixels = NULL };
		bool right =
			capture_area(&area, title) && is_scaled(&area, width, height, factor, text);

		free(area.pixels);
		if (right)
			return;
	}
	fail_msg("at %u: %s", factor, text);
}

static void gtk_reference_picture_is_exact_at_whole_factors(void **state)
{
	(void)state;
	for (unsigned factor = 1; factor <= 3; factor++) {
		for (enum display_filter filter = DISPLAY_FILTER_AUTO;
			filter <= DISPLAY_FILTER_NEAREST; filter++) {
			struct fixture *fixture = create();

			fixture->settings.scale_given = true;
			fixture->settings.scale = DISPLAY_SCALE_FIXED;
			fixture->settings.scale_percent = factor * 100;
			fixture->settings.filter = filter;
			fixture_draw(fixture, 620, 300, reference);
			fixture_start(fixture);
			expect_scaled(620, 300, factor);
			fixture_draw(fixture, 571, 203, reference); /* the window follows */
			expect_scaled(571, 203, factor);
			fixture_destroy(fixture);
		}
	}
}

/* The window's title has that in it, soon. */
static void expect_title(const char *text)
{
	XWindowAttributes attributes;
	char title[128] = "";

	for (int64_t until = now_ms() + WAIT_MS; now_ms() < until; usleep(10000)) {
		if (find_window(title, &attributes) && strstr(title, text))
			return;
	}
	fail_msg("the title is %s", title);
}

static uint32_t changed_pixel(uint32_t column, uint32_t row)
{
	return ~reference(column, row) & 0xffffff;
}

/* That part alone, and nothing else is told. */
static void draw_part(struct fixture *fixture, struct rect part, bool changed)
{
	uint32_t *pixels, stride;

	assert_int_equal(surface_write_begin(fixture->surface, 620, 300, &pixels, &stride), 0);
	for (uint32_t row = part.y; row < part.y + part.height; row++)
		for (uint32_t column = part.x; column < part.x + part.width; column++)
			pixels[(size_t)row * stride + column] =
				changed ? changed_pixel(column, row) : reference(column, row);
	surface_write_end(fixture->surface, &part, 1);
}

static bool is_changed_in_part(
	const struct display_picture *area, struct rect part, unsigned factor)
{
	if (area->width != 620 * factor || area->height != 300 * factor)
		return false;
	for (uint32_t row = 0; row < area->height; row++) {
		for (uint32_t column = 0; column < area->width; column++) {
			uint32_t left = column / factor, top = row / factor;
			bool inside = left >= part.x && left < part.x + part.width &&
				      top >= part.y && top < part.y + part.height;

			if (area->pixels[row * area->width + column] !=
				(inside ? changed_pixel(left, top) : reference(left, top)))
				return false;
		}
	}
	return true;
}

static void gtk_changes_in_part_are_exact(void **state)
{
	static const struct rect parts[] = { { 0, 0, 1, 1 }, { 101, 57, 33, 21 },
		{ 619, 299, 1, 1 }, { 0, 150, 620, 1 }, { 310, 0, 1, 300 } };

	(void)state;
	for (unsigned factor = 1; factor <= 2; factor++) {
		struct fixture *fixture = create();

		fixture->settings.scale_given = true;
		fixture->settings.scale = DISPLAY_SCALE_FIXED;
		fixture->settings.scale_percent = factor * 100;
		fixture_draw(fixture, 620, 300, reference);
		fixture_start(fixture);
		expect_scaled(620, 300, factor);
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
			bool right = false;

			draw_part(fixture, parts[i], true);
			for (int64_t until = now_ms() + WAIT_MS; !right && now_ms() < until;
				usleep(20000)) {
				struct display_picture area = { .pixels = NULL };
				char title[128];

				right = capture_area(&area, title) &&
					is_changed_in_part(&area, parts[i], factor);
				free(area.pixels);
			}
			if (!right)
				fail_msg("part %zu at %u", i, factor);
			draw_part(fixture, parts[i], false);
			expect_scaled(620, 300, factor);
		}
		fixture_destroy(fixture);
	}
}

static void ask_to_close(void)
{
	XEvent event = { .xclient = { .type = ClientMessage,
				 .message_type = XInternAtom(x, "WM_PROTOCOLS", False),
				 .format = 32 } };
	XWindowAttributes attributes;
	char title[128];

	event.xclient.window = find_window(title, &attributes);
	event.xclient.data.l[0] = (long)XInternAtom(x, "WM_DELETE_WINDOW", False);
	assert_true(event.xclient.window != None);
	XSendEvent(x, event.xclient.window, False, NoEventMask, &event);
	XFlush(x);
}

static void expect_ended(struct fixture *fixture, bool ended)
{
	for (int64_t until = now_ms() + WAIT_MS;
		backend_ended(fixture->backend) != ended && now_ms() < until;)
		usleep(10000);
	assert_int_equal(backend_ended(fixture->backend), ended);
}

static void gtk_closing_asks_for_power_down_each_time(void **state)
{
	struct fixture *fixture = create();

	(void)state;
	fixture_draw(fixture, 600, 300, reference);
	fixture_start(fixture);
	expect_scaled(600, 300, 1);
	for (unsigned i = 1; i <= 2; i++) {
		ask_to_close();
		for (int64_t until = now_ms() + WAIT_MS;
			atomic_load(&fixture->powerdowns) != i && now_ms() < until;)
			usleep(10000);
		assert_int_equal(atomic_load(&fixture->powerdowns), i);
	}
	assert_false(backend_ended(fixture->backend));
	fixture_destroy(fixture);
}

/* The picture's upper half is magenta, and the lower edge a message's. */
static bool has_message(void)
{
	struct display_picture area = { .pixels = NULL };
	uint32_t upper = 0, lower = 0;
	char title[128];
	bool right;

	if (!capture_area(&area, title))
		return false;
	for (uint32_t i = 0; i < area.width * (area.height / 2); i++)
		upper += area.pixels[i] != 0xff00ff;
	for (uint32_t i = area.width * (area.height - 10); i < area.width * area.height; i++)
		lower += area.pixels[i] == 0xff00ff;
	right = !upper && lower < area.width;
	free(area.pixels);
	return right;
}

static void gtk_message_stays_over_a_picture_that_changes(void **state)
{
	struct fixture *fixture = create();
	bool shown = false;

	(void)state;
	fixture_draw(fixture, 640, 400, reference);
	fixture_start(fixture);
	expect_scaled(640, 400, 1);
	ask_to_close();
	for (int64_t until = now_ms() + WAIT_MS; !shown && now_ms() < until; usleep(20000)) {
		fixture_draw(fixture, 640, 400, magenta);
		shown = has_message();
	}
	assert_true(shown);
	usleep(500000); /* it has come all of its way */
	for (int i = 0; i < 20; i++) {
		fixture_draw(fixture, 640, 400, reference);
		usleep(20000);
		fixture_draw(fixture, 640, 400, magenta);
		usleep(20000);
	}
	shown = false;
	for (int64_t until = now_ms() + 5000; !shown && now_ms() < until; usleep(20000))
		shown = has_message();
	assert_true(shown);
	fixture_destroy(fixture);
}

static void gtk_kept_open_closes_after_the_guests_end(void **state)
{
	struct fixture *fixture = create();

	(void)state;
	fixture->settings.keep_open = true;
	fixture_draw(fixture, 600, 300, reference);
	fixture_start(fixture);
	expect_scaled(600, 300, 1);
	set_state(fixture, VM_ENDED);
	expect_title("powered down");
	assert_false(backend_ended(fixture->backend));
	ask_to_close();
	expect_ended(fixture, true);
	assert_int_equal(atomic_load(&fixture->powerdowns), 0);
	fixture_destroy(fixture);
}

static void gtk_two_at_once_are_refused_in_words(void **state)
{
	struct fixture *fixture = create(), *other = create();
	struct error err;

	(void)state;
	fixture_draw(fixture, 600, 300, reference);
	fixture_start(fixture);
	assert_int_equal(backend_start(other->backend, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "gtk: "));
	backend_stop(fixture->backend);
	fixture_draw(other, 560, 200, reference);
	fixture_start(other);
	expect_scaled(560, 200, 1);
	fixture_destroy(other);
	fixture_destroy(fixture);
}

/* As Xlib keeps them (X11/Xlibint.h): asking it means setting others for a moment. */
extern int (*_XErrorFunction)(Display *display, XErrorEvent *event);
extern int (*_XIOErrorFunction)(Display *display);

static bool is_in(const void *function, const char *library)
{
	Dl_info info;

	return dladdr(function, &info) && strstr(info.dli_fname, library);
}

/* The library has set both of Xlib's handlers, or will soon. */
static void expect_handlers_of(const char *library)
{
	bool set = false;

	for (int64_t until = now_ms() + WAIT_MS; !set && now_ms() < until; usleep(10000))
		set = is_in(*(void **)&_XErrorFunction, library) &&
		      is_in(*(void **)&_XIOErrorFunction, library);
	assert_true(set);
}

/* A window of SDL's comes before GTK's and goes again: whether GTK's handlers are still set. */
static bool keeps_handlers(struct fixture *fixture, struct display_backend *sdl)
{
	struct error err;
	bool kept;

	setenv("SDL_VIDEODRIVER", "x11", 1);
	assert_int_equal(backend_start(sdl, NULL, &err), 0);
	unsetenv("SDL_VIDEODRIVER");
	/* Its handlers come first, then GTK's. */
	expect_handlers_of("vmgui-sdl.so");
	fixture_start(fixture);
	expect_handlers_of("vmgui-gtk.so");
	usleep(500000);
	backend_stop(sdl);
	kept = is_in(*(void **)&_XErrorFunction, "vmgui-gtk.so") &&
	       is_in(*(void **)&_XIOErrorFunction, "vmgui-gtk.so");
	backend_stop(fixture->backend);
	return kept;
}

/* Xlib's handlers are the process's, and without ours an error ends it. */
static void gtk_keeps_its_error_handlers_when_an_sdl_window_closes(void **state)
{
	struct fixture *fixture = create();
	struct display_backend *sdl = NULL;
	bool kept = false;
	struct error err;

	(void)state;
	fixture_draw(fixture, 800, 500, reference);
	if (backend_create("sdl", &fixture->host, &sdl, &err)) {
		fixture_destroy(fixture);
		skip();
	}
	/* GDK sets its own for a moment now and then; who stands still just there puts back what it
	 * has found. */
	for (int tries = 0; !kept && tries < 5; tries++)
		kept = keeps_handlers(fixture, sdl);
	assert_true(kept);
	backend_destroy(sdl);
	fixture_destroy(fixture);
}

/* ---- The clipboard ---- */

static void press_paste(Window window)
{
	static const KeySym keys[] = { XK_Control_L, XK_Alt_L, XK_v };

	XSetInputFocus(x, window, RevertToPointerRoot, CurrentTime);
	XSync(x, False);
	usleep(300000);
	for (size_t i = 0; i < array_size(keys); i++)
		XTestFakeKeyEvent(x, XKeysymToKeycode(x, keys[i]), True, CurrentTime);
	for (size_t i = array_size(keys); i-- > 0;)
		XTestFakeKeyEvent(x, XKeysymToKeycode(x, keys[i]), False, CurrentTime);
	XSync(x, False);
}

/* Somebody asks for the clipboard, which is `owner`'s. */
static void expect_asked(XEvent *event)
{
	for (int64_t until = now_ms() + WAIT_MS; now_ms() < until; usleep(10000)) {
		while (XPending(x)) {
			XNextEvent(x, event);
			if (event->type == SelectionRequest)
				return;
		}
	}
	fail_msg("nobody asks for the clipboard");
}

static void gtk_clipboard_that_answers_too_late_is_nobodys(void **state)
{
	Atom clipboard = XInternAtom(x, "CLIPBOARD", False);
	Window owner = XCreateSimpleWindow(x, DefaultRootWindow(x), 0, 0, 1, 1, 0, 0, 0);
	struct fixture *fixture = create();
	XWindowAttributes attributes;
	XEvent asked, answer;
	char title[128];

	(void)state;
	XSetSelectionOwner(x, clipboard, owner, CurrentTime);
	fixture_draw(fixture, 800, 500, reference);
	fixture_start(fixture);
	expect_scaled(800, 500, 1);
	press_paste(find_window(title, &attributes));
	expect_asked(&asked);
	fixture_destroy(fixture);

	fixture = create();
	fixture_draw(fixture, 800, 500, reference);
	fixture_start(fixture);
	expect_scaled(800, 500, 1);
	XDestroyWindow(x, owner); /* what else it is asked for, it does not have */
	answer.xselection = (XSelectionEvent){ .type = SelectionNotify,
		.requestor = asked.xselectionrequest.requestor,
		.selection = clipboard,
		.target = asked.xselectionrequest.target,
		.property = None,
		.time = asked.xselectionrequest.time };
	XSendEvent(x, asked.xselectionrequest.requestor, False, NoEventMask, &answer);
	XSync(x, False);
	usleep(300000);
	fixture_draw(fixture, 810, 500, reference);
	expect_scaled(810, 500, 1);
	fixture_destroy(fixture);
}

/* ---- The serial console ---- */

static size_t take_nothing(void *opaque, const uint8_t *data, size_t length)
{
	(void)opaque;
	(void)data;
	(void)length;
	return 0;
}

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, resident = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
	fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

struct flood {
	const struct char_host *line;
	atomic_bool stop;
};

static void *flood(void *opaque)
{
	struct flood *flood = opaque;
	static uint8_t text[4096];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 64 == 63 ? '\n' : (uint8_t)('a' + i % 26);
	while (!atomic_load(&flood->stop))
		(void)flood->line->write(flood->line->opaque, text, sizeof(text));
	return NULL;
}

/* As a guest can with a virtio console: faster than any terminal shows it. */
static void gtk_flooded_console_costs_neither_memory_nor_the_picture(void **state)
{
	const struct char_device device = { .receive = take_nothing };
	struct fixture *fixture = create();
	struct flood flooding = { .stop = false };
	struct console_hub *hub;
	pthread_t thread;
	struct error err;
	long before, after;

	(void)state;
	assert_int_equal(console_hub_create(&device, NULL, &hub, &err), 0);
	flooding.line = console_hub_char_host(hub);
	fixture_close(fixture);
	fixture->host.console = hub;
	fixture_draw(fixture, 800, 500, reference);
	fixture_start(fixture);
	expect_scaled(800, 500, 1);
	before = resident_kib();
	assert_int_equal(pthread_create(&thread, NULL, flood, &flooding), 0);
	usleep(3000000);
	fixture_draw(fixture, 800, 500, magenta);
	usleep(200000);
	fixture_draw(fixture, 800, 500, reference);
	expect_scaled(800, 500, 1);
	atomic_store(&flooding.stop, true);
	pthread_join(thread, NULL);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)before, (void)after; /* they keep what was freed, and more */
#else
	after = resident_kib();
	if (after - before >= 65536)
		fail_msg("from %ld to %ld KiB", before, after);
#endif
	fixture_destroy(fixture);
	console_hub_destroy(hub);
}

/* The last one: GTK is of no use afterwards. */
static void gtk_lost_desktop_ends_the_window_alone(void **state)
{
	struct fixture *fixture = create();
	struct error err;

	(void)state;
	fixture_draw(fixture, 600, 300, reference);
	fixture_start(fixture);
	expect_scaled(600, 300, 1);
	XCloseDisplay(x);
	x = NULL;
	stop_server();
	expect_ended(fixture, true);
	backend_stop(fixture->backend);
	assert_int_equal(backend_start(fixture->backend, NULL, &err), -ENODEV);
	fixture_destroy(fixture);
}

static void gtk_without_a_session_says_what_to_do(void **state)
{
	struct fixture *fixture = create();
	char *display = strdup(getenv("DISPLAY"));
	struct error err = { "" };

	(void)state;
	unsetenv("DISPLAY");
	assert_int_equal(backend_start(fixture->backend, "an argument", &err), -EINVAL);
	assert_non_null(strstr(err.text, "an argument"));
	assert_int_equal(backend_start(fixture->backend, NULL, &err), -ENODEV);
	assert_non_null(strstr(err.text, "--vnc"));
	setenv("DISPLAY", display, 1);
	free(display);
	fixture_destroy(fixture);
}

/* ---- The suite ---- */

static void use(void *opaque, uint32_t width, uint32_t height)
{
	XWindowAttributes attributes;
	KeyCode a = XKeysymToKeycode(x, XK_a);
	Window window = None, child;
	struct display_picture area = { .pixels = NULL };
	struct placement place = { 0, 0, 0, 0 };
	int left, top;
	char title[128];

	(void)opaque;
	/* It has to be there, with its last size. */
	for (int64_t until = now_ms() + WAIT_MS; now_ms() < until; usleep(20000)) {
		bool ready =
			capture_area(&area, title) && find_picture(&area, width, height, &place);

		free(area.pixels);
		area.pixels = NULL;
		if (ready)
			break;
	}
	window = find_window(title, &attributes);
	assert_true(window != None);
	XSetInputFocus(x, window, RevertToPointerRoot, CurrentTime);
	XSync(x, False);
	usleep(300000);
	XTestFakeKeyEvent(x, a, True, CurrentTime);
	XTestFakeKeyEvent(x, a, False, CurrentTime);
	XTranslateCoordinates(x, window, DefaultRootWindow(x),
		border_left + place.x + (int)width / 2, border_top + place.y + (int)height / 2,
		&left, &top, &child);
	XTestFakeMotionEvent(x, 0, left, top, CurrentTime);
	XFlush(x);
}

static void remove_folder(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/fontconfig", folder);
	rmdir(path);
	rmdir(folder);
}

static void gtk_silent_session_bus_does_not_hold_up_the_start(void **state)
{
	const char *before = getenv("DBUS_SESSION_BUS_ADDRESS");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fixture *fixture = create();
	int silent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *old = strdup(before), text[160];
	struct error err = { "" };

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/silent", folder);
	assert_int_equal(bind(silent, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(silent, 8), 0);
	snprintf(text, sizeof(text), "unix:path=%s,guid=0123", address.sun_path);
	setenv("DBUS_SESSION_BUS_ADDRESS", text, 1);
	assert_int_equal(backend_start(fixture->backend, NULL, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "session bus"));
	setenv("DBUS_SESSION_BUS_ADDRESS", old, 1);
	unlink(address.sun_path);
	close(silent);
	free(old);
	fixture_destroy(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gtk_reference_picture_is_exact_at_whole_factors),
		cmocka_unit_test(gtk_changes_in_part_are_exact),
		cmocka_unit_test(gtk_closing_asks_for_power_down_each_time),
		cmocka_unit_test(gtk_message_stays_over_a_picture_that_changes),
		cmocka_unit_test(gtk_kept_open_closes_after_the_guests_end),
		cmocka_unit_test(gtk_two_at_once_are_refused_in_words),
		cmocka_unit_test(gtk_keeps_its_error_handlers_when_an_sdl_window_closes),
		cmocka_unit_test(gtk_clipboard_that_answers_too_late_is_nobodys),
		cmocka_unit_test(gtk_flooded_console_costs_neither_memory_nor_the_picture),
		cmocka_unit_test(gtk_lost_desktop_ends_the_window_alone),
	};
	const struct CMUnitTest no_session[] = {
		cmocka_unit_test(gtk_without_a_session_says_what_to_do),
		cmocka_unit_test(gtk_silent_session_bus_does_not_hold_up_the_start),
	};
	const struct display_conformance conformance = {
		.backend = "gtk", .capture = capture, .wrong_argument = "nonsense", .use = use
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	/* None of the desktop that this may run on. */
	unsetenv("WAYLAND_DISPLAY");
	setenv("GDK_BACKEND", "x11", 1);
	setenv("HOME", folder, 1);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	setenv("XDG_STATE_HOME", "/nonexistent", 1); /* nothing is remembered */
	setenv("XDG_CACHE_HOME", folder, 1);
	setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent", 1);
	setenv("GSETTINGS_BACKEND", "memory", 1);
	setenv("NO_AT_BRIDGE", "1", 1);
	if (!start_server() && !start_server()) {
		fprintf(stderr, "skipped: no Xvfb starts (scripts/setup test installs it)\n");
		return 77;
	}
	XSetErrorHandler(ignore_error);
	failed = cmocka_run_group_tests(no_session, NULL, NULL);
	if (!measure_borders()) {
		fprintf(stderr, "no window with a picture in it\n");
		stop_server();
		return 1;
	}
	failed += display_conformance_run(&conformance);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	remove_folder();
	return failed;
}

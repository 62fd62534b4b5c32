/* What the desktop guest does as an X client: a window over the whole screen that tells each key,
 * button and motion that X gives it, draws a known picture, and tells what the X server has on its
 * screen (one CRC-32 for each row, see desktop_guest_pattern.h).
 *
 * Lines in: "pattern SEED", "colour RRGGBB", "rows", "where", "leds", "hide", "show", "quit"; after
 * each "@x STATUS", and "@done" once X has done it. In between come "key CODE DOWN KEYSYM", "button
 * N DOWN", "motion X Y" and "size WIDTH HEIGHT", whenever X says so. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <X11/XKBlib.h>
#include <X11/Xlib.h>
#include <X11/Xutil.h>

#include "desktop_guest_pattern.h"

struct eye {
	Display *display;
	int screen;
	Window root, window;
	Visual *visual;
	Colormap colours; /* ours, with a palette */
	int depth;
	int width, height;
	XImage *shown; /* what the window is filled with, or NULL */
};

static bool has_palette(const struct eye *eye)
{
	return eye->visual->class == PseudoColor;
}

static void palette_entry(unsigned index, XColor *colour)
{
	/* The DAC holds 6 bits; a colour that needs no more survives it. */
	colour->pixel = index;
	colour->flags = DoRed | DoGreen | DoBlue;
	colour->red = (unsigned short)((index * 0x0404u) & 0xfc00u);
	colour->green = (unsigned short)(((255 - index) * 0x0808u) & 0xfc00u);
	colour->blue = (unsigned short)((index * 0x1c1cu) & 0xfc00u);
}

static unsigned long put(unsigned long mask, unsigned value)
{
	int shift = __builtin_ctzl(mask), bits = __builtin_popcountl(mask);

	return (unsigned long)(value >> (8 - bits)) << shift;
}

static uint8_t get(unsigned long mask, unsigned long pixel)
{
	int shift = __builtin_ctzl(mask), bits = __builtin_popcountl(mask);
	unsigned value = (unsigned)((pixel & mask) >> shift) << (8 - bits);

	return (uint8_t)(value | value >> bits);
}

static unsigned long pixel_of(const struct eye *eye, uint32_t rgb)
{
	if (has_palette(eye))
		return rgb >> 16;
	return put(eye->visual->red_mask, rgb >> 16 & 255) |
	       put(eye->visual->green_mask, rgb >> 8 & 255) |
	       put(eye->visual->blue_mask, rgb & 255);
}

static void repaint(struct eye *eye)
{
	if (eye->shown)
		XPutImage(eye->display, eye->window, DefaultGC(eye->display, eye->screen),
			eye->shown, 0, 0, 0, 0, (unsigned)eye->shown->width,
			(unsigned)eye->shown->height);
	else
		XClearWindow(eye->display, eye->window);
}

static int fill(struct eye *eye, bool pattern, uint32_t value)
{
	XImage *image = XCreateImage(eye->display, eye->visual, (unsigned)eye->depth, ZPixmap, 0,
		NULL, (unsigned)eye->width, (unsigned)eye->height, 32, 0);

	if (!image)
		return 1;
	image->data = malloc((size_t)image->bytes_per_line * (size_t)eye->height);
	if (!image->data)
		return 1;
	for (int y = 0; y < eye->height; y++) {
		uint8_t *row = (uint8_t *)image->data + (size_t)y * (size_t)image->bytes_per_line;

		for (int x = 0; x < eye->width; x++) {
			uint32_t pixel = (uint32_t)pixel_of(eye,
				pattern ? pattern_pixel((uint32_t)x, (uint32_t)y, value) : value);

			memcpy(row + x * image->bits_per_pixel / 8, &pixel,
				(size_t)image->bits_per_pixel / 8);
		}
	}
	if (eye->shown)
		XDestroyImage(eye->shown);
	eye->shown = image;
	repaint(eye);
	return 0;
}

/* What X has on its screen. It leaves the pointer out, and over our window there is none to see. */
static int rows(struct eye *eye)
{
	XImage *image = XGetImage(eye->display, eye->root, 0, 0, (unsigned)eye->width,
		(unsigned)eye->height, AllPlanes, ZPixmap);
	uint8_t *bytes = malloc((size_t)eye->width * 3);

	if (!image || !bytes)
		return 1;
	for (int y = 0; y < eye->height; y++) {
		const uint8_t *row =
			(const uint8_t *)image->data + (size_t)y * (size_t)image->bytes_per_line;

		for (int x = 0; x < eye->width; x++) {
			uint32_t pixel = 0;

			memcpy(&pixel, row + x * image->bits_per_pixel / 8,
				(size_t)image->bits_per_pixel / 8);
			if (has_palette(eye)) {
				XColor colour;

				palette_entry(pixel & 255, &colour);
				bytes[x * 3] = (uint8_t)(colour.red >> 10 << 2 | colour.red >> 14);
				bytes[x * 3 + 1] =
					(uint8_t)(colour.green >> 10 << 2 | colour.green >> 14);
				bytes[x * 3 + 2] =
					(uint8_t)(colour.blue >> 10 << 2 | colour.blue >> 14);
			} else {
				bytes[x * 3] = get(eye->visual->red_mask, pixel);
				bytes[x * 3 + 1] = get(eye->visual->green_mask, pixel);
				bytes[x * 3 + 2] = get(eye->visual->blue_mask, pixel);
			}
		}
		print_row(bytes, (size_t)eye->width * 3);
	}
	free(bytes);
	XDestroyImage(image);
	return 0;
}

static void make_window(struct eye *eye)
{
	static char nothing[8];
	XSetWindowAttributes attributes = { .override_redirect = True,
		.event_mask = KeyPressMask | KeyReleaseMask | ButtonPressMask | ButtonReleaseMask |
			      PointerMotionMask | ExposureMask | StructureNotifyMask };
	unsigned long mask = CWOverrideRedirect | CWEventMask | CWCursor;
	Pixmap pixmap = XCreateBitmapFromData(eye->display, eye->root, nothing, 8, 8);
	XColor black = { 0 };

	attributes.cursor = XCreatePixmapCursor(eye->display, pixmap, pixmap, &black, &black, 0, 0);
	if (has_palette(eye)) {
		XColor colours[256];

		eye->colours = XCreateColormap(eye->display, eye->root, eye->visual, AllocAll);
		for (unsigned i = 0; i < 256; i++)
			palette_entry(i, &colours[i]);
		XStoreColors(eye->display, eye->colours, colours, 256);
		attributes.colormap = eye->colours;
		mask |= CWColormap;
	}
	eye->window = XCreateWindow(eye->display, eye->root, 0, 0, (unsigned)eye->width,
		(unsigned)eye->height, 0, eye->depth, InputOutput, eye->visual, mask, &attributes);
	XSelectInput(eye->display, eye->root, StructureNotifyMask);
}

static void show(struct eye *eye)
{
	XMapRaised(eye->display, eye->window);
	XSync(eye->display, False);
	/* There is no window manager that would give it the keyboard or its colours. */
	XSetInputFocus(eye->display, eye->window, RevertToPointerRoot, CurrentTime);
	if (eye->colours)
		XInstallColormap(eye->display, eye->colours);
	XSync(eye->display, False);
}

static void on_key(const XKeyEvent *key)
{
	XKeyEvent copy = *key;
	KeySym symbol = NoSymbol;
	char text[16];
	const char *name;

	XLookupString(&copy, text, sizeof(text), &symbol, NULL);
	name = XKeysymToString(symbol);
	printf("key %u %d %s\n", key->keycode, key->type == KeyPress, name ? name : "NoSymbol");
}

static void on_event(struct eye *eye, XEvent *event)
{
	switch (event->type) {
	case KeyPress:
	case KeyRelease:
		on_key(&event->xkey);
		break;
	case ButtonPress:
	case ButtonRelease:
		printf("button %u %d\n", event->xbutton.button, event->type == ButtonPress);
		break;
	case MotionNotify:
		printf("motion %d %d\n", event->xmotion.x_root, event->xmotion.y_root);
		break;
	case MappingNotify:
		XRefreshKeyboardMapping(&event->xmapping);
		break;
	case Expose:
		if (!event->xexpose.count)
			repaint(eye);
		break;
	case ConfigureNotify:
		if (event->xconfigure.window != eye->root)
			break;
		eye->width = event->xconfigure.width;
		eye->height = event->xconfigure.height;
		XResizeWindow(
			eye->display, eye->window, (unsigned)eye->width, (unsigned)eye->height);
		printf("size %d %d\n", eye->width, eye->height);
		break;
	default:
		break;
	}
}

static void take_events(struct eye *eye)
{
	while (XPending(eye->display)) {
		XEvent event;

		XNextEvent(eye->display, &event);
		on_event(eye, &event);
	}
	fflush(stdout);
}

static int where(struct eye *eye)
{
	Window root, child;
	int x, y, window_x, window_y;
	unsigned mask;

	XQueryPointer(eye->display, eye->root, &root, &child, &x, &y, &window_x, &window_y, &mask);
	printf("at %d %d buttons %u\n", x, y, mask >> 8 & 31);
	return 0;
}

static int leds(struct eye *eye)
{
	unsigned state = 0;

	if (XkbGetIndicatorState(eye->display, XkbUseCoreKbd, &state))
		return 1;
	printf("leds %u\n", state);
	return 0;
}

static int command(struct eye *eye, const char *line)
{
	unsigned value = 0;

	if (sscanf(line, "pattern %u", &value) == 1)
		return fill(eye, true, value);
	if (sscanf(line, "colour %x", &value) == 1)
		return fill(eye, false, value);
	if (!strcmp(line, "rows"))
		return rows(eye);
	if (!strcmp(line, "where"))
		return where(eye);
	if (!strcmp(line, "leds"))
		return leds(eye);
	if (!strcmp(line, "hide")) {
		XUnmapWindow(eye->display, eye->window);
		return 0;
	}
	if (!strcmp(line, "show")) {
		show(eye);
		return 0;
	}
	return 2;
}

int main(void)
{
	struct eye eye = { .display = XOpenDisplay(NULL) };
	struct pollfd polls[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
	char line[128];
	size_t length = 0;

	for (int n = 0; !eye.display && n < 600; n++) {
		usleep(100000);
		eye.display = XOpenDisplay(NULL);
	}
	if (!eye.display)
		return 1;
	eye.screen = DefaultScreen(eye.display);
	eye.root = RootWindow(eye.display, eye.screen);
	eye.visual = DefaultVisual(eye.display, eye.screen);
	eye.depth = DefaultDepth(eye.display, eye.screen);
	eye.width = DisplayWidth(eye.display, eye.screen);
	eye.height = DisplayHeight(eye.display, eye.screen);
	make_window(&eye);
	show(&eye);
	printf("ready %d %d depth %d\n", eye.width, eye.height, eye.depth);
	polls[1].fd = ConnectionNumber(eye.display);
	for (;;) {
		char byte;

		take_events(&eye);
		poll(polls, 2, -1);
		if (!polls[0].revents)
			continue;
		if (read(STDIN_FILENO, &byte, 1) != 1) {
			/* Nobody is at the other end of the port for now. */
			usleep(100000);
			continue;
		}
		if (byte != '\n') {
			if (length < sizeof(line) - 1)
				line[length++] = byte;
			continue;
		}
		line[length] = 0;
		length = 0;
		if (!strcmp(line, "quit"))
			return 0;
		take_events(&eye);
		printf("@x %d\n", command(&eye, line));
		XSync(eye.display, False);
		take_events(&eye);
		printf("@done\n");
		fflush(stdout);
	}
}

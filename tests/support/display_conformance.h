/* What every display backend must pass, whatever it shows on.
 *
 * A fake guest draws, the refresh thread and the surface are the real ones. The suite checks what
 * any backend must not break (starting and ending again and again, wake-ups at any time, mode
 * storms, exact damage), and, where a backend can tell what it shows, that this is the guest's
 * picture to the pixel. */
#ifndef VMGUI_TESTS_DISPLAY_CONFORMANCE_H
#define VMGUI_TESTS_DISPLAY_CONFORMANCE_H

#include "core/util.h"

struct display_picture {
	uint32_t *pixels; /* 0x00RRGGBB, width * height, from malloc */
	uint32_t width, height;
};

struct display_conformance {
	const char *backend;  /* in the registry */
	const char *argument; /* for backend_start */
	/* What the display shows; NULL: it cannot tell. Called while it runs, or, with
	 * capture_at_end, after it has ended. Called again for a while until the picture is right:
	 * false means "not now". Fills *picture, whose pixels the suite frees. */
	bool (*capture)(void *opaque, struct display_picture *picture);
	bool capture_at_end;
	/* A picture that cannot be shown to the pixel (a display that scales, or has fewer colours)
	 * may differ by this much in each channel. */
	unsigned tolerance;
	/* An argument that backend_start must refuse with a message; NULL: there is none. */
	const char *wrong_argument;
	/* The display's user presses and releases the key A, and then puts the pointer into the
	 * picture's middle; NULL: it has no user. */
	void (*use)(void *opaque, uint32_t width, uint32_t height);
	/* Something that the display depends on fails while it runs, and works again; NULL: there
	 * is nothing. */
	void (*disturb)(void *opaque, bool fails);
	void *opaque;
};

/* Runs the suite with cmocka; returns its number of failures. */
int display_conformance_run(const struct display_conformance *display);

#endif

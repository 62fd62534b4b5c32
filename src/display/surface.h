/* The picture as displays see it: a host-owned copy of the guest's screen, and what changed in it.
 *
 * The refresh thread is the only writer. Any number of readers (one for each backend) each have
 * their own damage, so that a slow one holds up nobody: it finds all that changed since it last
 * looked, joined into at most SURFACE_MAX_RECTS rectangles. Memory is bounded by the largest
 * picture.
 *
 * Locks: the surface's own mutex, taken inside; begin/end pairs hold it, keep them short (copy out,
 * then work). Calls go down; a reader is told of news by its `wake`, with no lock held, and wake
 * must only signal. */
#ifndef VMGUI_DISPLAY_SURFACE_H
#define VMGUI_DISPLAY_SURFACE_H

#include "core/error.h"
#include "core/util.h"

#define SURFACE_MAX_RECTS 32

struct rect {
	uint32_t x, y, width, height; /* pixels; inside the picture */
};

struct surface_view {
	const uint32_t *pixels; /* 0x00RRGGBB in host byte order, top row first */
	uint32_t width, height; /* 0 x 0 before the first mode */
	uint32_t stride_pixels;
	uint32_t generation; /* changes with every new size */
	uint64_t frame;      /* counts updates; 0: nothing was ever shown */
};

struct surface;
struct surface_reader;

struct surface *surface_create(void);
void surface_destroy(struct surface *surface); /* after its readers */

/* wake is called after each update that left damage for this reader, once until the reader has
 * taken it (surface_read_begin). It may be NULL. The first read finds everything damaged. */
struct surface_reader *surface_reader_create(
	struct surface *surface, void (*wake)(void *opaque), void *opaque);
void surface_reader_destroy(struct surface_reader *reader);

/* Locks the surface, fills view and moves the reader's damage into rects (at most
 * SURFACE_MAX_RECTS); returns how many. After a new size there is one rectangle with the whole
 * picture. The view is valid until surface_read_end. */
size_t surface_read_begin(struct surface_reader *reader, struct surface_view *view,
	struct rect rects[SURFACE_MAX_RECTS]);
void surface_read_end(struct surface_reader *reader);
/* Between begin and end: a descriptor of the memory behind view->pixels, the caller's to close, for
 * who would map it or let a window system read it instead of copying it. It belongs to the view's
 * generation, has height * stride_pixels pixels, never shrinks, and is for reading only. Who reads
 * it without the lock may see a pixel before its damage is told, or half an update; all of it is
 * told as damage afterwards. -ENOTSUP: this memory cannot be shared; other negative errno. */
VMGUI_MUST_USE int surface_read_share(struct surface_reader *reader);

/* Waits until frame > after, or the deadline (CLOCK_MONOTONIC, ns) passes: -ETIMEDOUT. For tests
 * and screenshots, from any thread. */
VMGUI_MUST_USE int surface_wait_frame(
	struct surface *surface, uint64_t after, uint64_t deadline_ns);

/* Refresh thread only. begin locks and gives the pixels to write, resized if need be (-ENOMEM: the
 * old picture stays); end adds the damage for every reader, unlocks, then wakes. */
VMGUI_MUST_USE int surface_write_begin(struct surface *surface, uint32_t width, uint32_t height,
	uint32_t **pixels, uint32_t *stride_pixels);
void surface_write_end(struct surface *surface, const struct rect *rects, size_t count);

#endif

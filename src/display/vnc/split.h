/* Cuts what changed into pieces that compress well: of one colour, of two, and the rest.
 *
 * Tight has cheap forms for few colours: a rectangle of one is four bytes, one of two takes a bit
 * for each pixel. But a desktop's rectangles rarely have so few: a window of text that moves comes
 * with a strip of the background and its title, and then each pixel takes a byte, 60 KB to compress
 * that are more than zlib remembers of the update before. So:
 *
 *     +---+---------------------+   The margins that are of one colour come first, then bands of
 *     | 1 | 2  title            |   rows with at most two colours between them, and each other band
 *     |   +---------------------+   is looked at in the same way once more.
 *     |   | 2  text             |
 *     |   |                     |   Pictures of many colours are left alone, after a look at the
 *     +---+---------------------+   first pixels of each row.
 *
 * Threads: no state. */
#ifndef VMGUI_DISPLAY_VNC_SPLIT_H
#define VMGUI_DISPLAY_VNC_SPLIT_H

#include "core/util.h"
#include "display/surface.h"

enum vnc_piece_kind {
	VNC_PIECE_SOLID, /* one colour */
	VNC_PIECE_TWO,   /* at most two */
	VNC_PIECE_MANY,  /* more, as far as anybody has looked */
};

struct vnc_piece {
	struct rect rect;
	enum vnc_piece_kind kind;
	uint32_t colour; /* of VNC_PIECE_SOLID */
};

#define VNC_MAX_PIECES  256
#define VNC_SPLIT_RECTS 128 /* at most so many rectangles in one list of pieces */

struct vnc_pieces {
	size_t count;
	struct vnc_piece pieces[VNC_MAX_PIECES];
};

/* Adds the pieces of one rectangle, which is not empty: together they cover it exactly once.
 * pixels: of the whole picture. to_come: how many rectangles more are to follow this one; all of
 * them find room. */
void vnc_split(struct vnc_pieces *pieces, const uint32_t *pixels, size_t stride_pixels,
	const struct rect *rect, size_t to_come);

#endif

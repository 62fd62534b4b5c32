/* See redraw.h. */
#include "display/gtk/redraw.h"

bool redraw_is_whole(const struct placement *place, struct extent picture)
{
	return place->width % picture.width == 0 && place->height % picture.height == 0 &&
	       place->width / picture.width == place->height / picture.height;
}

/* One axis: from *start on, *end is the first behind it. */
static void damaged(int place, int shown, int picture, int area, uint32_t from, uint32_t count,
	bool smooth, int *start, int *end)
{
	/* A smoothed pixel looks one further in each direction; rounding needs one more. */
	int64_t more = smooth ? 2 + shown / picture : 0;
	int64_t first = (int64_t)from * shown / picture - more;
	int64_t last = (((int64_t)from + count) * shown + picture - 1) / picture + more;

	if (first < 0)
		first = 0;
	if (last > shown)
		last = shown;
	first += place;
	last += place;
	if (first < 0)
		first = 0;
	if (first > area)
		first = area;
	if (last > area)
		last = area;
	*start = (int)first;
	*end = last > first ? (int)last : (int)first;
}

struct placement redraw_damage(const struct placement *place, struct extent picture,
	struct extent area, const struct rect *damage, bool smooth)
{
	int left, right, top, bottom;

	damaged(place->x, place->width, picture.width, area.width, damage->x, damage->width, smooth,
		&left, &right);
	damaged(place->y, place->height, picture.height, area.height, damage->y, damage->height,
		smooth, &top, &bottom);
	return (struct placement){ left, top, right - left, bottom - top };
}

struct placement redraw_to_units(const struct placement *pixels, int factor)
{
	int left = pixels->x / factor, top = pixels->y / factor;
	int right = (pixels->x + pixels->width + factor - 1) / factor;
	int bottom = (pixels->y + pixels->height + factor - 1) / factor;

	return (struct placement){ left, top, right - left, bottom - top };
}

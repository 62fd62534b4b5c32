/* Joins rectangles of damage; see damage.h. */
#include "display/damage.h"

/* What one more rectangle is worth, in pixels: every rectangle costs a display its own call, header
 * and set-up, so two are joined when the union covers no more untouched pixels than this. A window
 * of text that moves is one rectangle then and not 3.5, and 371 bytes in ZRLE and not 1243; in raw
 * pixels it is the same, and a cursor is still a cursor. */
#define RECT_COST_PIXELS 1024u

static uint64_t area(const struct rect *rect)
{
	return (uint64_t)rect->width * rect->height;
}

static uint32_t right(const struct rect *rect)
{
	return rect->x + rect->width;
}

static uint32_t bottom(const struct rect *rect)
{
	return rect->y + rect->height;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static struct rect join(const struct rect *a, const struct rect *b)
{
	struct rect joined;

	joined.x = smaller(a->x, b->x);
	joined.y = smaller(a->y, b->y);
	joined.width = larger(right(a), right(b)) - joined.x;
	joined.height = larger(bottom(a), bottom(b)) - joined.y;
	return joined;
}

/* How many pixels of the union of both belong to neither. */
static uint64_t waste(const struct rect *a, const struct rect *b)
{
	struct rect joined = join(a, b);
	uint32_t left = larger(a->x, b->x), top = larger(a->y, b->y);
	uint64_t shared = 0;

	if (smaller(right(a), right(b)) > left && smaller(bottom(a), bottom(b)) > top)
		shared = (uint64_t)(smaller(right(a), right(b)) - left) *
			 (smaller(bottom(a), bottom(b)) - top);
	return area(&joined) - (area(a) + area(b) - shared);
}

static void take_out(struct damage *damage, size_t index)
{
	damage->rects[index] = damage->rects[--damage->count];
}

/* Frees one place in a full list: joins the two rectangles, the new one included, that are cheapest
 * to join. Returns what is left to add. */
static struct rect make_room(struct damage *damage, struct rect rect)
{
	size_t best_a = 0, best_b = damage->count; /* best_b == count: the new one */
	uint64_t best = UINT64_MAX;
	struct rect joined;

	for (size_t a = 0; a < damage->count; a++) {
		for (size_t b = a + 1; b <= damage->count; b++) {
			uint64_t cost = waste(
				&damage->rects[a], b == damage->count ? &rect : &damage->rects[b]);

			if (cost < best) {
				best = cost;
				best_a = a;
				best_b = b;
			}
		}
	}
	if (best_b == damage->count) {
		joined = join(&damage->rects[best_a], &rect);
		take_out(damage, best_a);
		return joined;
	}
	joined = join(&damage->rects[best_a], &damage->rects[best_b]);
	damage->rects[best_a] = joined;
	damage->rects[best_b] = rect;
	rect = damage->rects[best_a];
	take_out(damage, best_a);
	return rect;
}

void damage_add(struct damage *damage, struct rect rect)
{
	if (!rect.width || !rect.height)
		return;
	/* Each round takes one rectangle out of the list, so this ends. A union may come near
	 * others, so it is added as if it were new. */
	for (;;) {
		uint64_t best = UINT64_MAX;
		size_t nearest = 0;

		for (size_t i = 0; i < damage->count; i++) {
			uint64_t cost = waste(&damage->rects[i], &rect);

			if (cost < best) {
				best = cost;
				nearest = i;
			}
		}
		if (best <= RECT_COST_PIXELS) {
			rect = join(&damage->rects[nearest], &rect);
			take_out(damage, nearest);
			continue;
		}
		if (damage->count < array_size(damage->rects))
			break;
		rect = make_room(damage, rect);
	}
	damage->rects[damage->count++] = rect;
}

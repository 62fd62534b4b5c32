/* clang-format off */
/* From video memory to the surface; see scanout.h.
 *
 * One pass: take the mode as one snapshot; if no processor of the guest has run since the last
 * comparison, that is all. Else add the pages written since the last pass to those still owed, and
 * compare what is dirty of each row with the surface, which no other thread writes, at first without
 * its lock. What differs is written at once, so that a full screen that changes goes through the
 * processor's cache once and not twice, and boxed per tile (below). The surface is locked from the
 * first pixel that differs until the end of the pass; a pass that finds nothing new disturbs nobody.
 *
 *        64 px
 *      +------+------+------+
 *   32 |      |   ## |##    |   The picture in tiles. Each tile of a band of rows keeps the smallest
 *   px |      |   ## |##    |   box around what changed in it; boxes of neighbours are joined by
 *      +------+------+------+   damage_add where that costs little. A cursor gives a cursor's box, a
 *      |      |      |      |   clock in the far corner another one.
 *      +------+------+------+
 *
 * Threads: any; passes are serialised by pass_lock. Lock order: pass_lock, then the source's and the
 * surface's own. */
/* clang-format on */
#include "display/scanout.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "display/convert.h"
#include "display/damage.h"

#define TILE_WIDTH  64u
#define BAND_HEIGHT 32u
#define CACHE_LINE  64u
#define FETCH_AHEAD 2048u /* bytes */
#define MAX_TILES   (DISPLAY_MAX_WIDTH / TILE_WIDTH)

/* A page in which nothing changed for so many looks is not watched any more: they cost as much as
 * the fault that they spare (0.5 to 1.3 microseconds each, by how much of it the caches have).
 * Fewer, and a guest that draws slowly for its faults keeps them. */
#define WATCH_LOOKS 32
#define LEAVING     UINT8_MAX /* it is not watched since the last look */

/* A guest that changes its mode all the time must not hold a pass for ever. */
#define MAX_PASS_REPEATS 4

/* Half-open; empty while left >= right. */
struct box {
	uint32_t left, top, right, bottom;
};

struct scanout {
	struct display_source *source; /* immutable */
	struct surface *surface;       /* immutable */

	/* under pass_lock */
	pthread_mutex_t pass_lock;
	uint64_t *dirty; /* one bit for each page of video memory that has not been compared yet */
	size_t dirty_words;
	uint64_t *watched;        /* pages that are compared whether they are dirty or not */
	uint64_t *changed;        /* pages in which the comparison has found something */
	uint8_t *looks;           /* by page, if watched: how many have found nothing; or LEAVING */
	unsigned idle_looks;      /* since the last comparison: nobody had written */
	uint64_t activity;        /* of the source, before the last comparison; 0: not known */
	unsigned watched_pages;   /* in the picture */
	bool dirty_all;           /* compare the whole picture */
	struct display_mode mode; /* of the last pass */
	uint32_t palette_version;
	uint32_t palette[256];
	uint32_t *pixels; /* the surface's; ours to read between writes */
	uint32_t surface_width, surface_height;
	struct box boxes[MAX_TILES]; /* of the current band */
	uint32_t line[DISPLAY_MAX_WIDTH];
	bool damage_failed; /* said so once */
	bool owes;          /* there was no memory for the picture */
	bool writing;       /* the surface is locked */
};

/* ---- What is dirty ---- */

static bool in_bitmap(const uint64_t *bitmap, uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static bool page_dirty(const struct scanout *scanout, uint64_t page)
{
	return in_bitmap(scanout->dirty, page);
}

/* Finds the next run of dirty bytes in [*start, end): true and the run, false if there is none. */
static bool next_run(const struct scanout *scanout, uint64_t *start, uint64_t end, uint64_t *stop)
{
	uint64_t at = *start;

	while (at < end && !page_dirty(scanout, at / PAGE_BYTES))
		at = align_down(at, PAGE_BYTES) + PAGE_BYTES;
	if (at >= end)
		return false;
	*start = at;
	while (at < end && page_dirty(scanout, at / PAGE_BYTES))
		at = align_down(at, PAGE_BYTES) + PAGE_BYTES;
	*stop = min_u64(at, end);
	return true;
}

static bool anything_dirty(const struct scanout *scanout, uint64_t start, uint64_t end)
{
	uint64_t stop;

	/* Whole words first: most passes find them all zero. */
	while (start < end) {
		uint64_t word = start / PAGE_BYTES / 64;
		uint64_t word_end = min_u64((word + 1) * 64 * PAGE_BYTES, end);

		if (scanout->dirty[word] && next_run(scanout, &start, word_end, &stop))
			return true;
		start = word_end;
	}
	return false;
}

/* Whether nobody has written since the last comparison, and that one is still good. What comes
 * while this is found out is seen at the next look. */
static bool is_idle(struct scanout *scanout)
{
	struct display_source *source = scanout->source;
	uint64_t activity = source->ops->activity ? source->ops->activity(source) : 0;
	bool idle = activity && activity == scanout->activity && !scanout->dirty_all;

	if (!idle)
		scanout->activity = activity;
	else if (scanout->idle_looks < WATCH_LOOKS)
		scanout->idle_looks++;
	return idle;
}

static void collect(struct scanout *scanout)
{
	int result = scanout->source->ops->collect_damage(
		scanout->source, scanout->dirty, scanout->watched, scanout->dirty_words);

	for (size_t i = 0; i < scanout->dirty_words; i++)
		scanout->dirty[i] |= scanout->watched[i];
	if (result >= 0)
		return;
	/* Nobody tells what changed: look at everything, which is slow and right. */
	scanout->dirty_all = true;
	if (!scanout->damage_failed)
		log_warn("refresh",
			"the host does not tell what the guest draws: %s (the whole "
			"screen is compared at each refresh, which is slower)",
			strerror(-result));
	scanout->damage_failed = true;
}

/* ---- What is watched ----
 *
 * To notice which pages are written costs the guest a fault in each page, each time: some 30
 * microseconds where this was measured (core/kvm_memory.c), so 23 ms for a full screen of 1024x768.
 * So a page that was written once is watched: it is compared at each look and its writes are not
 * noticed, until it has been quiet for some looks. So is what is outside the picture, which nobody
 * sees. The test card fills a screen of 1024x768 2700 times a second that way, 24 times without;
 * what it pays for a fill each 40 ms is 1.6 ms, 25 without; for a line that a terminal scrolls 1.6
 * ms, 8.4 without. A look at a watched full screen that finds nothing costs us 0.4 ms. */

static void set_in_bitmap(uint64_t *bitmap, uint64_t page, bool value)
{
	uint64_t bit = UINT64_C(1) << page % 64;

	bitmap[page / 64] = value ? bitmap[page / 64] | bit : bitmap[page / 64] & ~bit;
}

/* Whether it is watched from now on. */
static bool watch_page(struct scanout *scanout, uint64_t page)
{
	bool changed = in_bitmap(scanout->changed, page);
	uint8_t *looks = &scanout->looks[page];

	if (!in_bitmap(scanout->watched, page)) {
		bool left = *looks == LEAVING;

		*looks = !changed;
		/* It was reported for what was written while it was watched, and that was seen. */
		if (left && !changed)
			return false;
		set_in_bitmap(scanout->watched, page, true);
	} else if (changed) {
		*looks = 0;
	} else if (*looks + 1 + scanout->idle_looks >= WATCH_LOOKS) {
		set_in_bitmap(scanout->watched, page, false);
		*looks = LEAVING;
		return false;
	} else {
		*looks = (uint8_t)(*looks + 1 + scanout->idle_looks);
	}
	return true;
}

/* After a comparison; the picture's bytes are [start, end). Pages outside of them that are watched
 * come into the picture by a new mode, for which everything is compared. */
static void watch(struct scanout *scanout, uint64_t start, uint64_t end)
{
	uint64_t first = start / PAGE_BYTES, last = (end - 1) / PAGE_BYTES;

	scanout->watched_pages = 0;
	for (uint64_t page = 0; page < scanout->dirty_words * 64; page++) {
		if (!scanout->dirty[page / 64]) {
			page |= 63;
		} else if (in_bitmap(scanout->dirty, page)) {
			if (page < first || page > last)
				set_in_bitmap(scanout->watched, page, true);
			else
				scanout->watched_pages += watch_page(scanout, page);
		}
	}
	memset(scanout->changed, 0, scanout->dirty_words * sizeof(*scanout->changed));
	scanout->idle_looks = 0;
}

/* ---- The mode ---- */

/* The source promises all this; video memory is our own bounds, so it is checked where it is used.
 */
static bool mode_fits(const struct scanout *scanout, const struct display_mode *mode)
{
	if (!mode->width || !mode->height || mode->width > DISPLAY_MAX_WIDTH ||
		mode->height > DISPLAY_MAX_HEIGHT || mode->format > PIXEL_XRGB8888)
		return false;
	return mode->offset_bytes <= scanout->source->vram_bytes &&
	       display_mode_end(mode) <= scanout->source->vram_bytes;
}

static void read_palette(struct scanout *scanout)
{
	uint32_t version = scanout->source->ops->get_palette(scanout->source, scanout->palette);

	if (version != scanout->palette_version)
		scanout->dirty_all = true;
	scanout->palette_version = version;
}

/* ---- Comparing and writing ---- */

static const uint8_t *pixel_at(const struct scanout *scanout, uint32_t x, uint32_t y)
{
	return scanout->source->vram + display_mode_pixel(&scanout->mode, x, y);
}

static void draw_row(
	struct scanout *scanout, uint32_t y, uint32_t left, uint32_t right, uint32_t *target)
{
	const struct display_mode *mode = &scanout->mode;

	if (mode->blank)
		memset(target, 0, (right - left) * sizeof(*target));
	else
		convert_row(mode->format, mode->big_endian, pixel_at(scanout, left, y),
			right - left, scanout->palette, target);
}

static void box_extend(struct box *box, uint32_t left, uint32_t right, uint32_t y)
{
	if (box->left >= box->right) {
		*box = (struct box){ left, y, right, y + 1 };
		return;
	}
	if (left < box->left)
		box->left = left;
	if (right > box->right)
		box->right = right;
	box->bottom = y + 1;
}

static void note_change(struct scanout *scanout, uint32_t y, uint32_t first, uint32_t last)
{
	const struct display_mode *mode = &scanout->mode;

	set_in_bitmap(scanout->changed, display_mode_pixel(mode, first, y) / PAGE_BYTES, true);
	set_in_bitmap(scanout->changed, display_mode_pixel(mode, last, y) / PAGE_BYTES, true);
}

/* The pixels of a tile's row that differ are written at once, while they are in the processor's
 * cache. The surface is ours from the first of them until the end of the pass. */
static bool may_write(struct scanout *scanout)
{
	uint32_t stride;

	if (!scanout->writing)
		scanout->writing = !surface_write_begin(scanout->surface, scanout->mode.width,
			scanout->mode.height, &scanout->pixels, &stride);
	return scanout->writing;
}

/* Where all is new the time goes into waiting for memory: both pictures are larger than the caches,
 * and a window system on another processor had the surface last. Only a hint; past the end it is
 * none. */
static void fetch_ahead(const void *start)
{
	for (uintptr_t line = 0; line < TILE_WIDTH * sizeof(uint32_t); line += CACHE_LINE)
		__builtin_prefetch((const void *)((uintptr_t)start + FETCH_AHEAD + line));
}

/* Compares pixels [left, right) of a row with the surface, writes what differs there and boxes it,
 * tile by tile. */
static void update_span(struct scanout *scanout, uint32_t y, uint32_t left, uint32_t right)
{
	uint32_t *shown = scanout->pixels + (size_t)y * scanout->surface_width;
	const struct display_mode *mode = &scanout->mode;
	bool direct = !mode->blank && convert_is_direct(mode->format, mode->big_endian);
	bool differs = false;

	if (!direct)
		draw_row(scanout, y, left, right, scanout->line + left);
	while (left < right) {
		uint32_t tile = left / TILE_WIDTH, end = (tile + 1) * TILE_WIDTH;
		const uint8_t *source = direct ? pixel_at(scanout, left, y)
					       : (const uint8_t *)(scanout->line + left);
		uint32_t first, last;

		if (end > right)
			end = right;
		if (differs) {
			fetch_ahead(source);
			fetch_ahead(shown + left);
		}
		differs = convert_differs(source, shown + left, end - left, &first, &last);
		if (differs && may_write(scanout)) {
			convert_row(PIXEL_XRGB8888, false, source + first * sizeof(*shown),
				last - first + 1, NULL, shown + left + first);
			box_extend(&scanout->boxes[tile], left + first, left + last + 1, y);
			note_change(scanout, y, left + first, left + last);
		}
		left = end;
	}
}

static void update_row(struct scanout *scanout, uint32_t y)
{
	const struct display_mode *mode = &scanout->mode;
	uint64_t row = display_mode_pixel(mode, 0, y), bytes = pixel_format_bytes(mode->format);
	uint64_t start = row, end = display_mode_pixel(mode, mode->width, y), stop;

	if (scanout->dirty_all) {
		update_span(scanout, y, 0, mode->width);
		return;
	}
	/* A pixel on the border of two pages belongs to both. */
	for (; next_run(scanout, &start, end, &stop); start = stop)
		update_span(scanout, y, (uint32_t)((start - row) / bytes),
			(uint32_t)((stop - row + bytes - 1) / bytes));
}

/* Brings the surface, which has the mode's size, up to date. Whether anything differed. */
static bool update(struct scanout *scanout)
{
	const struct display_mode *mode = &scanout->mode;
	uint32_t tiles = (mode->width + TILE_WIDTH - 1) / TILE_WIDTH;
	struct damage damage = { .count = 0 };

	scanout->writing = false;
	for (uint32_t top = 0; top < mode->height; top += BAND_HEIGHT) {
		uint32_t bottom = top + BAND_HEIGHT;

		if (bottom > mode->height)
			bottom = mode->height;
		memset(scanout->boxes, 0, tiles * sizeof(scanout->boxes[0]));
		for (uint32_t y = top; y < bottom; y++)
			update_row(scanout, y);
		for (uint32_t tile = 0; tile < tiles; tile++) {
			const struct box *box = &scanout->boxes[tile];

			damage_add(
				&damage, (struct rect){ box->left, box->top, box->right - box->left,
						 box->bottom - box->top });
		}
	}
	if (scanout->writing)
		surface_write_end(scanout->surface, damage.rects, damage.count);
	return damage.count > 0;
}

/* A picture of a new size. -ENOMEM: the surface is as it was. */
static int replace(struct scanout *scanout)
{
	const struct rect all = { 0, 0, scanout->mode.width, scanout->mode.height };
	uint32_t stride;
	int result = surface_write_begin(
		scanout->surface, all.width, all.height, &scanout->pixels, &stride);

	if (result)
		return result;
	scanout->surface_width = all.width;
	scanout->surface_height = all.height;
	for (uint32_t y = 0; y < all.height; y++)
		draw_row(scanout, y, 0, all.width, scanout->pixels + (size_t)y * stride);
	surface_write_end(scanout->surface, &all, 1);
	return 0;
}

/* Under pass_lock. Returns whether the surface changed; *again: the mode changed under us. */
static bool pass(struct scanout *scanout, bool *again)
{
	struct display_mode mode;
	bool new_size, changed;
	uint64_t start, end;
	bool dirty;

	scanout->source->ops->get_mode(scanout->source, &mode);
	*again = false;
	if (mode.generation != scanout->mode.generation)
		scanout->dirty_all = true;
	if (!mode_fits(scanout, &mode))
		return false; /* no picture yet: keep showing what there is */
	if (mode.format == PIXEL_INDEX8)
		read_palette(scanout);
	if (is_idle(scanout))
		return false;
	collect(scanout);
	scanout->mode = mode;
	start = mode.offset_bytes;
	end = display_mode_end(&mode);
	/* While it is blank, black stays black whatever the guest draws. */
	dirty = scanout->dirty_all || (!mode.blank && anything_dirty(scanout, start, end));

	new_size = mode.width != scanout->surface_width || mode.height != scanout->surface_height;
	scanout->owes = new_size && replace(scanout);
	if (scanout->owes) {
		scanout->dirty_all = true; /* until there is memory again */
		return false;
	}
	changed = new_size || (dirty && update(scanout));
	scanout->dirty_all = false;
	watch(scanout, start, end);
	memset(scanout->dirty, 0, scanout->dirty_words * sizeof(*scanout->dirty));

	scanout->source->ops->get_mode(scanout->source, &mode);
	*again = mode.generation != scanout->mode.generation;
	return changed;
}

bool scanout_look(struct scanout *scanout, unsigned *watched_pages)
{
	bool changed = false, again = true;

	pthread_mutex_lock(&scanout->pass_lock);
	for (int i = 0; again && i < MAX_PASS_REPEATS; i++)
		changed |= pass(scanout, &again);
	changed |= again || scanout->owes;
	*watched_pages = scanout->watched_pages;
	pthread_mutex_unlock(&scanout->pass_lock);
	return changed;
}

struct scanout *scanout_create(struct display_source *source, struct surface *surface)
{
	size_t words = (size_t)((source->vram_bytes / PAGE_BYTES + 63) / 64);
	struct scanout *scanout = calloc(1, sizeof(*scanout));

	if (!scanout)
		return NULL;
	pthread_mutex_init(&scanout->pass_lock, NULL);
	scanout->source = source;
	scanout->surface = surface;
	scanout->dirty_all = true;
	scanout->dirty_words = words;
	scanout->dirty = calloc(words, sizeof(*scanout->dirty));
	scanout->watched = calloc(words, sizeof(*scanout->watched));
	scanout->changed = calloc(words, sizeof(*scanout->changed));
	scanout->looks = calloc(words, 64);
	if (scanout->dirty && scanout->watched && scanout->changed && scanout->looks)
		return scanout;
	scanout_destroy(scanout);
	return NULL;
}

void scanout_destroy(struct scanout *scanout)
{
	if (!scanout)
		return;
	pthread_mutex_destroy(&scanout->pass_lock);
	free(scanout->dirty);
	free(scanout->watched);
	free(scanout->changed);
	free(scanout->looks);
	free(scanout);
}

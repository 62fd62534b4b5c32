/* clang-format off */
/* The refresh thread; see refresh.h.
 *
 *           look finds something            ARM_AFTER looks            ARMED_LOOKS
 *             +-----------+                 found nothing              found nothing
 *             v           |                       |                        |
 *   look once each period +-----------------> armed, and looking -------> rest: no wake-up at all
 *             ^                                   |                        |
 *             +----- a moment to gather ----------+------ the bell rings --+
 *
 * The source rings the bell at the next write, mode or palette that is seen (display_source.h). The
 * looks after arming find what was written before it. KVM's emulator notes a page as written after
 * it has written it, so one look may be early: there are two, and a last one a second later, for a
 * vCPU that its host let wait right in between. The look that follows the bell may be early, too:
 * while it finds nothing, the next one comes after twice the time, up to the period. A kick means
 * one look, now; a source that cannot be armed is looked at once each period for ever.
 *
 * One pass: take the mode as one snapshot; if no processor of the guest has run since the last
 * comparison, that is all. Else add the pages written since the last pass to those still owed,
 * convert what is dirty of each row into a scratch line, and compare with the surface, which no
 * other thread writes, without its lock. What differs is boxed per tile (below); only if there is a
 * box is the surface locked and written. So a pass that finds nothing new disturbs nobody.
 *
 *        64 px
 *      +------+------+------+
 *   32 |      |   ## |##    |   The picture in tiles. Each tile of a band of rows keeps the smallest
 *   px |      |   ## |##    |   box around what changed in it; boxes of neighbours are joined by
 *      +------+------+------+   damage_add where that costs little. A cursor gives a cursor's box, a
 *      |      |      |      |   clock in the far corner another one.
 *      +------+------+------+
 *
 * Threads: "refresh", and whoever calls refresh_sync; passes are serialised by pass_lock. Lock
 * order: pass_lock, then the source's and the surface's own. */
/* clang-format on */
#include "display/refresh.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/signals.h"
#include "display/convert.h"
#include "display/damage.h"

#define TILE_WIDTH  64u
#define BAND_HEIGHT 32u
#define MAX_TILES   (DISPLAY_MAX_WIDTH / TILE_WIDTH)

/* A page in which nothing changed for so many looks is not watched any more: they cost as much as
 * the fault that they spare (0.5 to 1.3 microseconds each, by how much of it the caches have).
 * Fewer, and a guest that draws slowly for its faults keeps them. */
#define WATCH_LOOKS 32
#define LEAVING     UINT8_MAX /* it is not watched since the last look */

/* A guest that changes its mode all the time must not hold a pass for ever. */
#define MAX_PASS_REPEATS 4

/* Looks that find nothing: so many before the source is armed, and so many before the thread rests.
 * A change that comes before the source is armed waits for the next look, up to a period; one that
 * comes after is out in 1.5 ms. So few, then, but more than one: a guest that draws each second
 * period would be armed for each of its frames, which costs as much as some ten wake-ups
 * (core/kvm_memory.c). With four, of changes after rests of 50 to 300 ms 5% took more than 6.4 ms
 * to the surface; with two, 3.8 ms. */
#define ARM_AFTER 2
/* Each page that is armed costs the guest a fault when it is written next. A guest that draws large
 * pictures at a lower rate than ours is looked at for some more periods. */
#define PAGES_A_LOOK   64
#define MORE_LOOKS_MAX 6

#define ARMED_LOOKS  3
#define LAST_LOOK_NS 1000000000u

/* A guest that writes all the time what is there already rings the bell soon after each arming, and
 * that costs both more than looking does: the thread then looks twice as long each time before it
 * arms. With a write each 16 ms it woke up 106 times a second without this, 67 times with it. */
#define SOON_PERIODS 4
#define IN_VAIN_MAX  6
#define STILL_MAX    64

/* From the first write to the look: who draws a letter should not show half of it. */
#define GATHER_NS 1000000u

#define NEVER UINT64_MAX

/* Half-open; empty while left >= right. */
struct box {
	uint32_t left, top, right, bottom;
};

struct refresh {
	struct display_source *source; /* immutable */
	struct surface *surface;       /* immutable */
	uint64_t period_ns;            /* immutable */

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

	int bell, wish; /* eventfds, immutable: rung by the source; by refresh_kick and stop */
	atomic_bool stop, kicked;
	bool cannot_arm;  /* the thread's; said so once */
	bool started;     /* owner's thread only */
	pthread_t thread; /* owner's thread only */
};

/* ---- What is dirty ---- */

static bool in_bitmap(const uint64_t *bitmap, uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static bool page_dirty(const struct refresh *refresh, uint64_t page)
{
	return in_bitmap(refresh->dirty, page);
}

/* Finds the next run of dirty bytes in [*start, end): true and the run, false if there is none. */
static bool next_run(const struct refresh *refresh, uint64_t *start, uint64_t end, uint64_t *stop)
{
	uint64_t at = *start;

	while (at < end && !page_dirty(refresh, at / PAGE_BYTES))
		at = align_down(at, PAGE_BYTES) + PAGE_BYTES;
	if (at >= end)
		return false;
	*start = at;
	while (at < end && page_dirty(refresh, at / PAGE_BYTES))
		at = align_down(at, PAGE_BYTES) + PAGE_BYTES;
	*stop = min_u64(at, end);
	return true;
}

static bool anything_dirty(const struct refresh *refresh, uint64_t start, uint64_t end)
{
	uint64_t stop;

	/* Whole words first: most passes find them all zero. */
	while (start < end) {
		uint64_t word = start / PAGE_BYTES / 64;
		uint64_t word_end = min_u64((word + 1) * 64 * PAGE_BYTES, end);

		if (refresh->dirty[word] && next_run(refresh, &start, word_end, &stop))
			return true;
		start = word_end;
	}
	return false;
}

/* Whether nobody has written since the last comparison, and that one is still good. What comes
 * while this is found out is seen at the next look. */
static bool is_idle(struct refresh *refresh)
{
	struct display_source *source = refresh->source;
	uint64_t activity = source->ops->activity ? source->ops->activity(source) : 0;
	bool idle = activity && activity == refresh->activity && !refresh->dirty_all;

	if (!idle)
		refresh->activity = activity;
	else if (refresh->idle_looks < WATCH_LOOKS)
		refresh->idle_looks++;
	return idle;
}

static void collect(struct refresh *refresh)
{
	int result = refresh->source->ops->collect_damage(
		refresh->source, refresh->dirty, refresh->watched, refresh->dirty_words);

	for (size_t i = 0; i < refresh->dirty_words; i++)
		refresh->dirty[i] |= refresh->watched[i];
	if (result >= 0)
		return;
	/* Nobody tells what changed: look at everything, which is slow and right. */
	refresh->dirty_all = true;
	if (!refresh->damage_failed)
		log_warn("refresh",
			"the host does not tell what the guest draws: %s (the whole "
			"screen is compared at each refresh, which is slower)",
			strerror(-result));
	refresh->damage_failed = true;
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
static bool watch_page(struct refresh *refresh, uint64_t page)
{
	bool changed = in_bitmap(refresh->changed, page);
	uint8_t *looks = &refresh->looks[page];

	if (!in_bitmap(refresh->watched, page)) {
		bool left = *looks == LEAVING;

		*looks = !changed;
		/* It was reported for what was written while it was watched, and that was seen. */
		if (left && !changed)
			return false;
		set_in_bitmap(refresh->watched, page, true);
	} else if (changed) {
		*looks = 0;
	} else if (*looks + 1 + refresh->idle_looks >= WATCH_LOOKS) {
		set_in_bitmap(refresh->watched, page, false);
		*looks = LEAVING;
		return false;
	} else {
		*looks = (uint8_t)(*looks + 1 + refresh->idle_looks);
	}
	return true;
}

/* After a comparison; the picture's bytes are [start, end). Pages outside of them that are watched
 * come into the picture by a new mode, for which everything is compared. */
static void watch(struct refresh *refresh, uint64_t start, uint64_t end)
{
	uint64_t first = start / PAGE_BYTES, last = (end - 1) / PAGE_BYTES;

	refresh->watched_pages = 0;
	for (uint64_t page = 0; page < refresh->dirty_words * 64; page++) {
		if (!refresh->dirty[page / 64]) {
			page |= 63;
		} else if (in_bitmap(refresh->dirty, page)) {
			if (page < first || page > last)
				set_in_bitmap(refresh->watched, page, true);
			else
				refresh->watched_pages += watch_page(refresh, page);
		}
	}
	memset(refresh->changed, 0, refresh->dirty_words * sizeof(*refresh->changed));
	refresh->idle_looks = 0;
}

/* ---- The mode ---- */

/* The source promises all this; video memory is our own bounds, so it is checked where it is used.
 */
static bool mode_fits(const struct refresh *refresh, const struct display_mode *mode)
{
	if (!mode->width || !mode->height || mode->width > DISPLAY_MAX_WIDTH ||
		mode->height > DISPLAY_MAX_HEIGHT || mode->format > PIXEL_XRGB8888)
		return false;
	return mode->offset_bytes <= refresh->source->vram_bytes &&
	       display_mode_end(mode) <= refresh->source->vram_bytes;
}

static void read_palette(struct refresh *refresh)
{
	uint32_t version = refresh->source->ops->get_palette(refresh->source, refresh->palette);

	if (version != refresh->palette_version)
		refresh->dirty_all = true;
	refresh->palette_version = version;
}

/* ---- Comparing and writing ---- */

static const uint8_t *pixel_at(const struct refresh *refresh, uint32_t x, uint32_t y)
{
	return refresh->source->vram + display_mode_pixel(&refresh->mode, x, y);
}

static void draw_row(
	struct refresh *refresh, uint32_t y, uint32_t left, uint32_t right, uint32_t *target)
{
	const struct display_mode *mode = &refresh->mode;

	if (mode->blank)
		memset(target, 0, (right - left) * sizeof(*target));
	else
		convert_row(mode->format, mode->big_endian, pixel_at(refresh, left, y),
			right - left, refresh->palette, target);
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

static void note_change(struct refresh *refresh, uint32_t y, uint32_t first, uint32_t last)
{
	const struct display_mode *mode = &refresh->mode;

	set_in_bitmap(refresh->changed, display_mode_pixel(mode, first, y) / PAGE_BYTES, true);
	set_in_bitmap(refresh->changed, display_mode_pixel(mode, last, y) / PAGE_BYTES, true);
}

/* Compares pixels [left, right) of a row with the surface and boxes what differs, tile by tile. */
static void compare_span(struct refresh *refresh, uint32_t y, uint32_t left, uint32_t right)
{
	const uint32_t *shown = refresh->pixels + (size_t)y * refresh->surface_width;
	const struct display_mode *mode = &refresh->mode;

	for (;;) {
		uint32_t tile, end, first, last;

		if (!mode->blank && left < right)
			left += convert_same_pixels(mode->format, mode->big_endian,
				pixel_at(refresh, left, y), right - left, shown + left);
		if (left >= right)
			break;
		tile = left / TILE_WIDTH;
		end = (tile + 1) * TILE_WIDTH;
		if (end > right)
			end = right;
		draw_row(refresh, y, left, end, refresh->line + left);
		if (convert_differs(
			    refresh->line + left, shown + left, end - left, &first, &last)) {
			box_extend(&refresh->boxes[tile], left + first, left + last + 1, y);
			note_change(refresh, y, left + first, left + last);
		}
		left = end;
	}
}

static void compare_row(struct refresh *refresh, uint32_t y)
{
	const struct display_mode *mode = &refresh->mode;
	uint64_t row = display_mode_pixel(mode, 0, y), bytes = pixel_format_bytes(mode->format);
	uint64_t start = row, end = display_mode_pixel(mode, mode->width, y), stop;

	if (refresh->dirty_all) {
		compare_span(refresh, y, 0, mode->width);
		return;
	}
	/* A pixel on the border of two pages belongs to both. */
	for (; next_run(refresh, &start, end, &stop); start = stop)
		compare_span(refresh, y, (uint32_t)((start - row) / bytes),
			(uint32_t)((stop - row + bytes - 1) / bytes));
}

/* Finds what differs from the surface, which has the mode's size. */
static void compare(struct refresh *refresh, struct damage *damage)
{
	const struct display_mode *mode = &refresh->mode;
	uint32_t tiles = (mode->width + TILE_WIDTH - 1) / TILE_WIDTH;

	for (uint32_t top = 0; top < mode->height; top += BAND_HEIGHT) {
		uint32_t bottom = top + BAND_HEIGHT;

		if (bottom > mode->height)
			bottom = mode->height;
		memset(refresh->boxes, 0, tiles * sizeof(refresh->boxes[0]));
		for (uint32_t y = top; y < bottom; y++)
			compare_row(refresh, y);
		for (uint32_t tile = 0; tile < tiles; tile++) {
			const struct box *box = &refresh->boxes[tile];

			damage_add(
				damage, (struct rect){ box->left, box->top, box->right - box->left,
						box->bottom - box->top });
		}
	}
}

/* -ENOMEM: the surface is as it was. */
static int write_damage(struct refresh *refresh, const struct damage *damage)
{
	uint32_t stride;
	int result = surface_write_begin(refresh->surface, refresh->mode.width,
		refresh->mode.height, &refresh->pixels, &stride);

	if (result)
		return result;
	refresh->surface_width = refresh->mode.width;
	refresh->surface_height = refresh->mode.height;
	for (size_t i = 0; i < damage->count; i++) {
		const struct rect *rect = &damage->rects[i];

		for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
			draw_row(refresh, y, rect->x, rect->x + rect->width,
				refresh->pixels + (size_t)y * stride + rect->x);
	}
	surface_write_end(refresh->surface, damage->rects, damage->count);
	return 0;
}

/* Under pass_lock. Returns whether the surface changed; *again: the mode changed under us. */
static bool pass(struct refresh *refresh, bool *again)
{
	struct damage damage = { .count = 0 };
	struct display_mode mode;
	uint64_t start, end;
	bool dirty;

	refresh->source->ops->get_mode(refresh->source, &mode);
	*again = false;
	if (mode.generation != refresh->mode.generation)
		refresh->dirty_all = true;
	if (!mode_fits(refresh, &mode))
		return false; /* no picture yet: keep showing what there is */
	if (mode.format == PIXEL_INDEX8)
		read_palette(refresh);
	if (is_idle(refresh))
		return false;
	collect(refresh);
	refresh->mode = mode;
	start = mode.offset_bytes;
	end = display_mode_end(&mode);
	/* While it is blank, black stays black whatever the guest draws. */
	dirty = refresh->dirty_all || (!mode.blank && anything_dirty(refresh, start, end));

	if (mode.width != refresh->surface_width || mode.height != refresh->surface_height) {
		damage_add(&damage, (struct rect){ .width = mode.width, .height = mode.height });
	} else if (dirty) {
		compare(refresh, &damage);
	}
	refresh->owes = damage.count && write_damage(refresh, &damage);
	if (refresh->owes) {
		refresh->dirty_all = true; /* until there is memory again */
		return false;
	}
	refresh->dirty_all = false;
	watch(refresh, start, end);
	memset(refresh->dirty, 0, refresh->dirty_words * sizeof(*refresh->dirty));

	refresh->source->ops->get_mode(refresh->source, &mode);
	*again = mode.generation != refresh->mode.generation;
	return damage.count > 0;
}

/* Whether something changed or is still to come; *arm_after: so many looks that find nothing are to
 * follow each other before the source is armed. */
static bool look(struct refresh *refresh, unsigned *arm_after)
{
	bool changed = false, again = true;

	pthread_mutex_lock(&refresh->pass_lock);
	for (int i = 0; again && i < MAX_PASS_REPEATS; i++)
		changed |= pass(refresh, &again);
	changed |= again || refresh->owes;
	*arm_after = ARM_AFTER +
		     (unsigned)min_u64(refresh->watched_pages / PAGES_A_LOOK, MORE_LOOKS_MAX);
	pthread_mutex_unlock(&refresh->pass_lock);
	return changed;
}

/* ---- The thread ---- */

static void ring(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one)); /* fails when it is full, and so has been rung */
}

static bool take(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* Sleeps until `due`, a ring of the bell, or a wish. Whether the bell has rung. */
static bool wait_for_bell(struct refresh *refresh, uint64_t due)
{
	struct pollfd fds[2] = { { .fd = refresh->bell, .events = POLLIN },
		{ .fd = refresh->wish, .events = POLLIN } };
	uint64_t now = clock_now_ns(), left = due > now ? due - now : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(left / 1000000000u),
		.tv_nsec = (long)(left % 1000000000u),
	};

	if (ppoll(fds, array_size(fds), due == NEVER ? NULL : &timeout, NULL) <= 0)
		return false;
	if (fds[1].revents)
		(void)take(refresh->wish);
	return fds[0].revents && take(refresh->bell);
}

static bool arm(struct refresh *refresh)
{
	struct display_source *source = refresh->source;
	int result = source->ops->arm ? source->ops->arm(source, refresh->bell) : -ENOTSUP;

	if (result && !refresh->cannot_arm)
		log_debug("refresh",
			"the host does not tell when the guest draws: %s (it is looked at all the "
			"time)",
			strerror(-result));
	refresh->cannot_arm = result != 0;
	return !result;
}

static void disarm(struct refresh *refresh)
{
	if (refresh->source->ops->disarm)
		refresh->source->ops->disarm(refresh->source);
	(void)take(refresh->bell);
}

/* When the thread looks, and what it knows of the guest's habits. */
struct rhythm {
	uint64_t next;        /* look, unless the looks after arming are done */
	uint64_t not_before;  /* never two updates within one period */
	uint64_t pace;        /* from look to look */
	uint64_t armed_ns;    /* when it was armed last */
	unsigned still;       /* looks in a row that found nothing */
	unsigned armed_looks; /* the same, since it was armed */
	unsigned in_vain;     /* bells in a row soon after arming that led to nothing */
	bool armed;
	bool found; /* something, since the bell rang last */
};

static void bell_rang(struct refresh *refresh, struct rhythm *rhythm)
{
	uint64_t now = clock_now_ns();
	bool soon = now - rhythm->armed_ns < SOON_PERIODS * refresh->period_ns;

	disarm(refresh);
	rhythm->armed = false;
	if (!soon || rhythm->found)
		rhythm->in_vain = 0;
	else if (rhythm->in_vain < IN_VAIN_MAX)
		rhythm->in_vain++;
	rhythm->found = false;
	rhythm->still = 0;
	rhythm->pace = min_u64(GATHER_NS, refresh->period_ns / 4);
	rhythm->next = max_u64(now + rhythm->pace, rhythm->not_before);
}

static void found_change(struct refresh *refresh, struct rhythm *rhythm, uint64_t now)
{
	if (rhythm->armed)
		disarm(refresh);
	rhythm->armed = false;
	rhythm->found = true;
	rhythm->still = 0;
	rhythm->pace = refresh->period_ns;
	rhythm->next = rhythm->not_before = now + rhythm->pace;
}

static void found_nothing(
	struct refresh *refresh, struct rhythm *rhythm, uint64_t now, unsigned arm_after)
{
	if (rhythm->armed && now < rhythm->next)
		return; /* somebody's kick, which stands for none of our own looks */
	if (rhythm->pace < refresh->period_ns) {
		rhythm->pace = min_u64(2 * rhythm->pace, refresh->period_ns);
	} else if (rhythm->armed) {
		rhythm->armed_looks++;
	} else if (++rhythm->still >= min_u64((uint64_t)arm_after << rhythm->in_vain, STILL_MAX)) {
		rhythm->armed = arm(refresh);
		rhythm->armed_ns = now;
		rhythm->still = rhythm->armed_looks = 0;
	}
	rhythm->next = now + rhythm->pace;
	if (rhythm->armed && rhythm->armed_looks == ARMED_LOOKS - 1)
		rhythm->next = now + max_u64(rhythm->pace, LAST_LOOK_NS);
}

static void *refresh_main(void *opaque)
{
	struct refresh *refresh = opaque;
	struct rhythm rhythm = { .pace = refresh->period_ns, .found = true };

	while (!atomic_load(&refresh->stop)) {
		bool rests = rhythm.armed && rhythm.armed_looks >= ARMED_LOOKS;
		uint64_t now = clock_now_ns(), due = rests ? NEVER : rhythm.next;
		unsigned arm_after;

		if (atomic_load(&refresh->kicked))
			due = min_u64(due, rhythm.not_before);
		if (now < due) {
			if (wait_for_bell(refresh, due))
				bell_rang(refresh, &rhythm);
			continue;
		}
		atomic_store(&refresh->kicked, false);
		if (look(refresh, &arm_after))
			found_change(refresh, &rhythm, now);
		else
			found_nothing(refresh, &rhythm, now, arm_after);
	}
	disarm(refresh);
	return NULL;
}

static void free_bitmaps(struct refresh *refresh)
{
	free(refresh->dirty);
	free(refresh->watched);
	free(refresh->changed);
	free(refresh->looks);
}

int refresh_create(struct display_source *source, struct surface *surface, unsigned hz,
	struct refresh **out, struct error *err)
{
	struct refresh *refresh;
	int result = -ENOMEM;

	if (!hz || hz > 1000)
		return error_set(err, EINVAL, "refresh rate %u: not between 1 and 1000 Hz", hz);
	refresh = calloc(1, sizeof(*refresh));
	if (!refresh)
		return error_set(err, ENOMEM, "refresh: out of memory");
	refresh->source = source;
	refresh->surface = surface;
	refresh->period_ns = 1000000000u / hz;
	refresh->dirty_all = true;
	refresh->dirty_words = (size_t)((source->vram_bytes / PAGE_BYTES + 63) / 64);
	refresh->dirty = calloc(refresh->dirty_words, sizeof(*refresh->dirty));
	refresh->watched = calloc(refresh->dirty_words, sizeof(*refresh->watched));
	refresh->changed = calloc(refresh->dirty_words, sizeof(*refresh->changed));
	refresh->looks = calloc(refresh->dirty_words, 64);
	if (!refresh->dirty || !refresh->watched || !refresh->changed || !refresh->looks)
		goto free_dirty;
	refresh->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (refresh->bell < 0) {
		result = -errno;
		goto free_dirty;
	}
	refresh->wish = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (refresh->wish < 0) {
		result = -errno;
		goto close_bell;
	}
	pthread_mutex_init(&refresh->pass_lock, NULL);
	*out = refresh;
	return 0;

close_bell:
	close(refresh->bell);
free_dirty:
	free_bitmaps(refresh);
	free(refresh);
	return error_set(err, -result, "refresh: %s", strerror(-result));
}

int refresh_start(struct refresh *refresh, struct error *err)
{
	sigset_t before;
	int result;

	if (refresh->started)
		return 0;
	atomic_store(&refresh->stop, false);
	/* Signals belong to the main thread. */
	signals_block_for_thread(&before);
	result = pthread_create(&refresh->thread, NULL, refresh_main, refresh);
	signals_restore(&before);
	if (result)
		return error_set(err, result, "refresh thread: %s", strerror(result));
	pthread_setname_np(refresh->thread, "refresh");
	refresh->started = true;
	return 0;
}

void refresh_stop(struct refresh *refresh)
{
	if (!refresh || !refresh->started)
		return;
	atomic_store(&refresh->stop, true);
	ring(refresh->wish);
	pthread_join(refresh->thread, NULL);
	refresh->started = false;
}

void refresh_destroy(struct refresh *refresh)
{
	if (!refresh)
		return;
	refresh_stop(refresh);
	close(refresh->wish);
	close(refresh->bell);
	pthread_mutex_destroy(&refresh->pass_lock);
	free_bitmaps(refresh);
	free(refresh);
}

void refresh_kick(struct refresh *refresh)
{
	atomic_store(&refresh->kicked, true);
	ring(refresh->wish);
}

void refresh_sync(struct refresh *refresh)
{
	unsigned arm_after;

	look(refresh, &arm_after);
}

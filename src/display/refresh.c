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
 * one look, now, or a moment after the last one: who moves a mouse kicks a lot. A source that cannot
 * be armed is looked at once each period for ever.
 *
 * Threads: "refresh", and whoever calls refresh_sync. */
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
#include "display/scanout.h"

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

struct refresh {
	struct display_source *source; /* immutable */
	struct scanout *scanout;       /* immutable */
	uint64_t period_ns;            /* immutable */
	int bell, wish; /* eventfds, immutable: rung by the source; by refresh_kick and stop */
	atomic_bool stop, kicked;
	bool cannot_arm;  /* the thread's; said so once */
	bool started;     /* owner's thread only */
	pthread_t thread; /* owner's thread only */
};

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
	const struct timespec timeout = clock_timespec(left);

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
	uint64_t moment;      /* from the bell to the look, and at least between looks */
	uint64_t looked_ns;   /* the last time */
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
	rhythm->pace = rhythm->moment;
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
	struct refresh *refresh, struct rhythm *rhythm, uint64_t now, unsigned watched_pages)
{
	uint64_t arm_after = ARM_AFTER + min_u64(watched_pages / PAGES_A_LOOK, MORE_LOOKS_MAX);

	if (rhythm->armed && now < rhythm->next)
		return; /* somebody's kick, which stands for none of our own looks */
	if (rhythm->pace < refresh->period_ns) {
		rhythm->pace = min_u64(2 * rhythm->pace, refresh->period_ns);
	} else if (rhythm->armed) {
		rhythm->armed_looks++;
	} else if (++rhythm->still >= min_u64(arm_after << rhythm->in_vain, STILL_MAX)) {
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
	struct rhythm rhythm = { .moment = min_u64(GATHER_NS, refresh->period_ns / 4),
		.pace = refresh->period_ns,
		.found = true };

	while (!atomic_load(&refresh->stop)) {
		bool rests = rhythm.armed && rhythm.armed_looks >= ARMED_LOOKS;
		uint64_t now = clock_now_ns(), due = rests ? NEVER : rhythm.next;
		unsigned watched_pages;

		if (atomic_load(&refresh->kicked))
			due = min_u64(
				due, max_u64(rhythm.not_before, rhythm.looked_ns + rhythm.moment));
		if (now < due) {
			if (wait_for_bell(refresh, due))
				bell_rang(refresh, &rhythm);
			continue;
		}
		atomic_store(&refresh->kicked, false);
		rhythm.looked_ns = now;
		if (scanout_look(refresh->scanout, &watched_pages))
			found_change(refresh, &rhythm, now);
		else
			found_nothing(refresh, &rhythm, now, watched_pages);
	}
	disarm(refresh);
	return NULL;
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
	refresh->period_ns = 1000000000u / hz;
	refresh->scanout = scanout_create(source, surface);
	if (!refresh->scanout)
		goto free_refresh;
	refresh->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (refresh->bell < 0) {
		result = -errno;
		goto destroy_scanout;
	}
	refresh->wish = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (refresh->wish < 0) {
		result = -errno;
		goto close_bell;
	}
	*out = refresh;
	return 0;

close_bell:
	close(refresh->bell);
destroy_scanout:
	scanout_destroy(refresh->scanout);
free_refresh:
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
	scanout_destroy(refresh->scanout);
	free(refresh);
}

void refresh_kick(struct refresh *refresh)
{
	atomic_store(&refresh->kicked, true);
	ring(refresh->wish);
}

void refresh_sync(struct refresh *refresh)
{
	unsigned watched_pages;

	(void)scanout_look(refresh->scanout, &watched_pages);
}

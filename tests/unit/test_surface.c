/* Damage and surface: what readers are told is exactly what changed. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "display/damage.h"
#include "display/surface.h"

static void assert_rect(struct rect rect, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	assert_int_equal(rect.x, x);
	assert_int_equal(rect.y, y);
	assert_int_equal(rect.width, width);
	assert_int_equal(rect.height, height);
}

static void damage_empty_rect_is_ignored(void **state)
{
	struct damage damage = { .count = 0 };

	(void)state;
	damage_add(&damage, (struct rect){ 5, 5, 0, 9 });
	damage_add(&damage, (struct rect){ 5, 5, 9, 0 });
	assert_int_equal(damage.count, 0);
}

static void damage_neighbours_become_one(void **state)
{
	struct damage damage = { .count = 0 };

	(void)state;
	damage_add(&damage, (struct rect){ 60, 10, 4, 16 });
	damage_add(&damage, (struct rect){ 64, 10, 4, 16 });
	assert_int_equal(damage.count, 1);
	assert_rect(damage.rects[0], 60, 10, 8, 16);
}

static void damage_far_apart_stays_two(void **state)
{
	struct damage damage = { .count = 0 };

	(void)state;
	damage_add(&damage, (struct rect){ 0, 0, 8, 16 });
	damage_add(&damage, (struct rect){ 1000, 700, 8, 16 });
	assert_int_equal(damage.count, 2);
}

static void damage_inner_rect_is_swallowed(void **state)
{
	struct damage damage = { .count = 0 };

	(void)state;
	damage_add(&damage, (struct rect){ 200, 200, 4, 4 });
	damage_add(&damage, (struct rect){ 600, 200, 4, 4 });
	damage_add(&damage, (struct rect){ 0, 0, 1024, 768 });
	assert_int_equal(damage.count, 1);
	assert_rect(damage.rects[0], 0, 0, 1024, 768);
}

static void damage_many_rects_stay_bounded_and_covered(void **state)
{
	static bool added[256][256];
	struct damage damage = { .count = 0 };

	(void)state;
	srandom(1);
	for (int i = 0; i < 2000; i++) {
		struct rect rect = { (uint32_t)random() % 250, (uint32_t)random() % 250,
			1 + (uint32_t)random() % 6, 1 + (uint32_t)random() % 6 };

		rect.x *= 8;
		rect.y *= 8;
		damage_add(&damage, rect);
		added[rect.y / 8][rect.x / 8] = true;
		assert_in_range(damage.count, 1, SURFACE_MAX_RECTS);
	}
	for (uint32_t y = 0; y < 256; y++) {
		for (uint32_t x = 0; x < 256; x++) {
			bool covered = !added[y][x];

			for (size_t i = 0; i < damage.count; i++) {
				const struct rect *rect = &damage.rects[i];

				covered |= x * 8 - rect->x < rect->width &&
					   y * 8 - rect->y < rect->height;
			}
			assert_true(covered);
		}
	}
}

static void write_rect(struct surface *surface, uint32_t width, uint32_t height, struct rect rect)
{
	uint32_t *pixels, stride;

	assert_int_equal(surface_write_begin(surface, width, height, &pixels, &stride), 0);
	surface_write_end(surface, &rect, 1);
}

static void surface_before_first_mode_is_empty(void **state)
{
	struct surface *surface = surface_create();
	struct surface_reader *reader = surface_reader_create(surface, NULL, NULL);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;

	(void)state;
	assert_int_equal(surface_read_begin(reader, &view, rects), 0);
	assert_int_equal(view.width, 0);
	assert_int_equal(view.frame, 0);
	surface_read_end(reader);
	surface_reader_destroy(reader);
	surface_destroy(surface);
}

static void surface_new_size_damages_everything(void **state)
{
	struct surface *surface = surface_create();
	struct surface_reader *reader = surface_reader_create(surface, NULL, NULL);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	uint32_t generation;

	(void)state;
	write_rect(surface, 640, 480, (struct rect){ 1, 1, 1, 1 });
	assert_int_equal(surface_read_begin(reader, &view, rects), 1);
	assert_rect(rects[0], 0, 0, 640, 480);
	generation = view.generation;
	surface_read_end(reader);
	write_rect(surface, 640, 480, (struct rect){ 600, 400, 5, 5 });
	write_rect(surface, 320, 200, (struct rect){ 7, 7, 2, 2 });
	assert_int_equal(surface_read_begin(reader, &view, rects), 1);
	assert_rect(rects[0], 0, 0, 320, 200);
	assert_int_not_equal(view.generation, generation);
	surface_read_end(reader);
	surface_reader_destroy(reader);
	surface_destroy(surface);
}

static void surface_readers_have_their_own_damage(void **state)
{
	struct surface *surface = surface_create();
	struct surface_reader *quick = surface_reader_create(surface, NULL, NULL), *slow;
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;

	(void)state;
	write_rect(surface, 640, 480, (struct rect){ 0, 0, 640, 480 });
	slow = surface_reader_create(surface, NULL, NULL);
	assert_int_equal(surface_read_begin(slow, &view, rects), 1);
	assert_rect(rects[0], 0, 0, 640, 480); /* a late reader finds everything */
	surface_read_end(slow);
	surface_read_begin(quick, &view, rects);
	surface_read_end(quick);
	write_rect(surface, 640, 480, (struct rect){ 10, 10, 4, 4 });
	assert_int_equal(surface_read_begin(quick, &view, rects), 1);
	assert_rect(rects[0], 10, 10, 4, 4);
	surface_read_end(quick);
	write_rect(surface, 640, 480, (struct rect){ 400, 300, 4, 4 });
	assert_int_equal(surface_read_begin(quick, &view, rects), 1);
	assert_rect(rects[0], 400, 300, 4, 4);
	surface_read_end(quick);
	assert_int_equal(surface_read_begin(quick, &view, rects), 0);
	surface_read_end(quick);
	assert_int_equal(surface_read_begin(slow, &view, rects), 2);
	surface_read_end(slow);
	surface_reader_destroy(slow);
	surface_reader_destroy(quick);
	surface_destroy(surface);
}

static void count_wake(void *opaque)
{
	++*(int *)opaque;
}

static void surface_wakes_a_reader_once_until_it_looks(void **state)
{
	struct surface *surface = surface_create();
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_reader *reader;
	struct surface_view view;
	uint32_t *pixels, stride;
	int wakes = 0;

	(void)state;
	reader = surface_reader_create(surface, count_wake, &wakes);
	write_rect(surface, 64, 64, (struct rect){ 0, 0, 1, 1 });
	write_rect(surface, 64, 64, (struct rect){ 0, 0, 1, 1 });
	assert_int_equal(wakes, 1);
	surface_read_begin(reader, &view, rects);
	surface_read_end(reader);
	assert_int_equal(surface_write_begin(surface, 64, 64, &pixels, &stride), 0);
	surface_write_end(surface, NULL, 0); /* nothing changed: no frame, nobody woken */
	assert_int_equal(wakes, 1);
	write_rect(surface, 64, 64, (struct rect){ 0, 0, 1, 1 });
	assert_int_equal(wakes, 2);
	surface_reader_destroy(reader);
	surface_destroy(surface);
}

static void surface_wait_frame_times_out(void **state)
{
	struct surface *surface = surface_create();

	(void)state;
	assert_int_equal(surface_wait_frame(surface, 0, 1), -ETIMEDOUT);
	write_rect(surface, 64, 64, (struct rect){ 0, 0, 1, 1 });
	assert_int_equal(surface_wait_frame(surface, 0, 1), 0);
	assert_int_equal(surface_wait_frame(surface, 1, 1), -ETIMEDOUT);
	surface_destroy(surface);
}

struct churn {
	struct surface *surface;
	atomic_bool stop;
};

static void *churn_readers(void *opaque)
{
	struct churn *churn = opaque;
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;

	while (!atomic_load(&churn->stop)) {
		atomic_int wakes = 0;
		struct surface_reader *reader =
			surface_reader_create(churn->surface, count_wake, (void *)&wakes);

		surface_read_begin(reader, &view, rects);
		surface_read_end(reader);
		surface_reader_destroy(reader);
	}
	return NULL;
}

static void surface_readers_come_and_go_while_written(void **state)
{
	struct churn churn = { .surface = surface_create() };
	pthread_t threads[2];

	(void)state;
	for (size_t i = 0; i < array_size(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn_readers, &churn), 0);
	for (uint32_t i = 0; i < 3000; i++)
		write_rect(churn.surface, 32 + i % 100 / 50, 32, (struct rect){ i % 30, 0, 1, 1 });
	atomic_store(&churn.stop, true);
	for (size_t i = 0; i < array_size(threads); i++)
		pthread_join(threads[i], NULL);
	surface_destroy(churn.surface);
}

static void surface_shared_memory_is_the_pictures_of_that_size(void **state)
{
	const struct rect first = { 0, 0, 1, 1 };
	struct surface *surface = surface_create();
	struct surface_reader *reader = surface_reader_create(surface, NULL, NULL);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	uint32_t *pixels, stride;
	const uint32_t *shared;
	int fd;

	(void)state;
	(void)surface_read_begin(reader, &view, rects);
	assert_int_equal(surface_read_share(reader), -ENOTSUP); /* there is no picture */
	surface_read_end(reader);
	write_rect(surface, 640, 480, (struct rect){ 0, 0, 640, 480 });
	(void)surface_read_begin(reader, &view, rects);
	fd = surface_read_share(reader);
	surface_read_end(reader);
	assert_true(fd >= 0);
	shared = mmap(NULL, 640 * 480 * sizeof(*shared), PROT_READ, MAP_SHARED, fd, 0);
	assert_true(shared != MAP_FAILED);
	assert_int_equal(shared[0], 0);
	assert_int_equal(surface_write_begin(surface, 640, 480, &pixels, &stride), 0);
	pixels[0] = 0x123456;
	surface_write_end(surface, &first, 1);
	assert_int_equal(shared[0], 0x123456);
	/* Nobody can take it away under who looks at it: neither by its size nor by another one. */
	assert_int_equal(ftruncate(fd, 0), -1);
	write_rect(surface, 320, 200, (struct rect){ 0, 0, 320, 200 });
	assert_int_equal(shared[0], 0x123456);
	assert_int_equal(shared[640 * 480 - 1], 0);
	munmap((void *)(uintptr_t)shared, 640 * 480 * sizeof(*shared));
	close(fd);
	surface_reader_destroy(reader);
	surface_destroy(surface);
}

/* As under `ulimit -f`, which counts memory that can be shared as a file. */
static void surface_that_cannot_be_shared_is_a_surface(void **state)
{
	struct surface *surface = surface_create();
	struct surface_reader *reader = surface_reader_create(surface, NULL, NULL);
	struct rect rects[SURFACE_MAX_RECTS];
	struct rlimit before, small;
	struct surface_view view;
	uint32_t *pixels, stride;
	int result;

	(void)state;
	signal(SIGXFSZ, SIG_IGN); /* as machine.c has it */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	result = surface_write_begin(surface, 640, 480, &pixels, &stride);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(result, 0);
	pixels[640 * 480 - 1] = 0x123456;
	surface_write_end(surface, NULL, 0);
	assert_int_equal(surface_read_begin(reader, &view, rects), 1);
	assert_int_equal(surface_read_share(reader), -ENOTSUP);
	assert_int_equal(view.pixels[640 * 480 - 1], 0x123456);
	surface_read_end(reader);
	surface_reader_destroy(reader);
	surface_destroy(surface);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damage_empty_rect_is_ignored),
		cmocka_unit_test(damage_neighbours_become_one),
		cmocka_unit_test(damage_far_apart_stays_two),
		cmocka_unit_test(damage_inner_rect_is_swallowed),
		cmocka_unit_test(damage_many_rects_stay_bounded_and_covered),
		cmocka_unit_test(surface_before_first_mode_is_empty),
		cmocka_unit_test(surface_new_size_damages_everything),
		cmocka_unit_test(surface_readers_have_their_own_damage),
		cmocka_unit_test(surface_wakes_a_reader_once_until_it_looks),
		cmocka_unit_test(surface_wait_frame_times_out),
		cmocka_unit_test(surface_readers_come_and_go_while_written),
		cmocka_unit_test(surface_shared_memory_is_the_pictures_of_that_size),
		cmocka_unit_test(surface_that_cannot_be_shared_is_a_surface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Progress of a decompression: what is written counts, who is quick hears nothing. */
#include "core/boot/unpack_progress.h"

#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>

#include "cmocka_all.h"

#define BYTES MIB(4)

static uint8_t *fresh_memory(void)
{
	uint8_t *memory =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	/* Else one write may bring two mebibytes. */
	(void)madvise(memory, BYTES, MADV_NOHUGEPAGE);
	return memory;
}

struct told {
	sem_t twice;
	unsigned count, percent;
};

static void tell(void *opaque, unsigned percent)
{
	struct told *told = opaque;

	told->percent = percent;
	if (++told->count == 2)
		sem_post(&told->twice);
}

static void progress_counts_what_is_written(void **state)
{
	uint8_t *memory = fresh_memory();
	struct unpack_progress progress = { .output = memory, .output_bytes = BYTES };

	(void)state;
	assert_int_equal(unpack_progress_percent(&progress), 0);
	memset(memory, 1, BYTES / 4);
	assert_int_equal(unpack_progress_percent(&progress), 25);
	memset(memory, 1, BYTES);
	assert_int_equal(unpack_progress_percent(&progress), 100);
	progress.output_bytes = 100; /* not even a page */
	assert_int_equal(unpack_progress_percent(&progress), 0);
	munmap(memory, BYTES);
}

static void progress_is_told_again_and_again(void **state)
{
	struct told told = { .count = 0 };
	struct unpack_progress progress = { .period_ms = 1, .tell = tell, .opaque = &told };
	uint8_t *memory = fresh_memory();

	(void)state;
	sem_init(&told.twice, 0, 0);
	memset(memory, 1, BYTES / 2);
	unpack_progress_start(&progress, "xz", memory, BYTES);
	assert_int_equal(sem_wait(&told.twice), 0);
	unpack_progress_stop(&progress);
	assert_int_equal(told.percent, 50);
	munmap(memory, BYTES);
}

static void progress_of_a_quick_one_is_not_told(void **state)
{
	struct told told = { .count = 0 };
	struct unpack_progress progress = { .period_ms = 3600000, .tell = tell, .opaque = &told };
	uint8_t *memory = fresh_memory();

	(void)state;
	unpack_progress_start(&progress, "xz", memory, BYTES);
	unpack_progress_stop(&progress);
	assert_int_equal(told.count, 0);
	munmap(memory, BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress_counts_what_is_written),
		cmocka_unit_test(progress_is_told_again_and_again),
		cmocka_unit_test(progress_of_a_quick_one_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

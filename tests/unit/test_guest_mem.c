/* core/guest_mem: nothing outside RAM is ever touched. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "cmocka_all.h"
#include "core/guest_mem.h"

static void guest_mem_small_guest_has_one_region(void **state)
{
	struct guest_mem mem;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, MIB(8), NULL), 0);
	assert_int_equal(mem.region_count, 1);
	assert_int_equal(mem.regions[0].length_bytes, MIB(8));
	guest_mem_fini(&mem);
}

static void guest_mem_large_guest_goes_on_above_the_hole(void **state)
{
	struct guest_mem mem;
	struct guest_slice slice;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, GIB(5), NULL), 0);
	assert_int_equal(mem.region_count, 2);
	assert_int_equal(mem.regions[0].length_bytes, GUEST_MEM_HOLE_START);
	assert_int_equal(mem.regions[1].start_gpa, GUEST_MEM_HOLE_END);
	assert_int_equal(mem.regions[1].length_bytes, GIB(5) - GUEST_MEM_HOLE_START);
	assert_int_equal(guest_mem_slice(&mem, GUEST_MEM_HOLE_START - 1, 1, &slice), 0);
	assert_int_equal(guest_mem_slice(&mem, GUEST_MEM_HOLE_START - 1, 2, &slice), -EFAULT);
	assert_null(slice.data);
	assert_int_equal(guest_mem_slice(&mem, GUEST_MEM_HOLE_START, 1, &slice), -EFAULT);
	assert_int_equal(guest_mem_slice(&mem, GUEST_MEM_HOLE_END - 1, 2, &slice), -EFAULT);
	assert_int_equal(guest_mem_slice(&mem, GUEST_MEM_HOLE_END, MIB(1), &slice), 0);
	assert_ptr_equal(slice.data, mem.regions[1].start_hva);
	guest_mem_fini(&mem);
}

static void guest_mem_access_outside_fails_and_touches_nothing(void **state)
{
	static const struct {
		uint64_t gpa, length;
	} bad[] = {
		{ MIB(1), 1 },
		{ MIB(1) - 1, 2 },
		{ 0, MIB(1) + 1 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, UINT64_MAX },
		{ 1, UINT64_MAX },
		{ MIB(1) - 4, UINT64_MAX - MIB(1) + 8 },
	};
	struct guest_mem mem;
	struct guest_slice slice;
	uint8_t byte = 0x55;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, MIB(1), NULL), 0);
	for (size_t i = 0; i < array_size(bad); i++) {
		assert_int_equal(guest_mem_slice(&mem, bad[i].gpa, bad[i].length, &slice), -EFAULT);
		assert_int_equal(guest_mem_fill(&mem, bad[i].gpa, 1, bad[i].length), -EFAULT);
	}
	assert_int_equal(guest_mem_write(&mem, MIB(1) - 1, "ab", 2), -EFAULT);
	assert_int_equal(guest_mem_read(&mem, MIB(1) - 1, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(guest_mem_slice(&mem, MIB(1), 0, &slice), 0);
	guest_mem_fini(&mem);
}

static void guest_mem_write_is_read_back_and_cleared(void **state)
{
	struct guest_mem mem;
	char text[6] = "";

	(void)state;
	assert_int_equal(guest_mem_init(&mem, MIB(64), NULL), 0);
	assert_int_equal(guest_mem_write(&mem, MIB(40) - 3, "hello", 6), 0);
	assert_int_equal(guest_mem_read(&mem, MIB(40) - 3, text, 6), 0);
	assert_string_equal(text, "hello");
	guest_mem_clear(&mem);
	assert_int_equal(guest_mem_read(&mem, MIB(40) - 3, text, 6), 0);
	assert_memory_equal(text, "\0\0\0\0\0\0", 6);
	guest_mem_fini(&mem);
}

static void guest_mem_odd_sizes_are_refused(void **state)
{
	struct guest_mem mem;
	struct error err;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, 0, &err), -EINVAL);
	assert_int_equal(guest_mem_init(&mem, MIB(1) + 1, &err), -EINVAL);
	assert_int_equal(guest_mem_init(&mem, UINT64_MAX & ~UINT64_C(4095), &err), -EINVAL);
}

static void *write_byte(void *page)
{
	volatile uint8_t *byte = page;

	*byte = 1;
	return NULL;
}

/* Two devices that were given the same buffer. Of use with ThreadSanitizer only, which fails the
 * program. */
static void guest_mem_races_in_it_are_the_guests(void **state)
{
	struct guest_mem mem;
	pthread_t threads[2];

	(void)state;
	assert_int_equal(guest_mem_init(&mem, MIB(8), NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_byte,
					 mem.regions[0].start_hva + MIB(1)),
			0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	guest_mem_fini(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_mem_small_guest_has_one_region),
		cmocka_unit_test(guest_mem_large_guest_goes_on_above_the_hole),
		cmocka_unit_test(guest_mem_access_outside_fails_and_touches_nothing),
		cmocka_unit_test(guest_mem_write_is_read_back_and_cleared),
		cmocka_unit_test(guest_mem_odd_sizes_are_refused),
		cmocka_unit_test(guest_mem_races_in_it_are_the_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Kernel relocation tables. */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "core/boot/reloc.h"

#define START      MIB(16)
#define BYTES      0x1000u
#define AT(offset) ((uint32_t)(RELOC_KERNEL_MAP + START) + (offset))

static void reloc_three_lists_move_each_kind(void **state)
{
	static const uint32_t words[] = { 0, AT(0x10), AT(0xff8), 0, AT(0x20), 0, AT(0x30),
		AT(0xffc - 0x20) };
	struct reloc_table table;
	uint8_t image[BYTES] = { 0 };
	uint64_t long_word = UINT64_C(0xffffffff81000000);
	uint32_t word = 0x81000000;

	(void)state;
	memcpy(image + 0x10, &long_word, 8);
	memcpy(image + 0x20, &word, 4);
	memcpy(image + 0x30, &word, 4);
	assert_int_equal(reloc_parse(&table, words, array_size(words), START, BYTES), 0);
	assert_int_equal(table.lists[RELOC_64].count, 2);
	assert_int_equal(table.lists[RELOC_INVERSE_32].count, 1);
	assert_int_equal(table.lists[RELOC_32].count, 2);
	reloc_apply(&table, image, START, BYTES, MIB(34));
	memcpy(&long_word, image + 0x10, 8);
	assert_true(long_word == UINT64_C(0xffffffff83200000));
	memcpy(&word, image + 0x20, 4);
	assert_int_equal(word, 0x7ee00000);
	memcpy(&word, image + 0x30, 4);
	assert_int_equal(word, 0x83200000);
}

static void reloc_two_lists_have_no_inverse(void **state)
{
	static const uint32_t words[] = { 0, AT(0x10), 0, AT(0x30) };
	struct reloc_table table;

	(void)state;
	assert_int_equal(reloc_parse(&table, words, array_size(words), START, BYTES), 0);
	assert_int_equal(table.lists[RELOC_64].count, 1);
	assert_int_equal(table.lists[RELOC_INVERSE_32].count, 0);
	assert_int_equal(table.lists[RELOC_32].count, 1);
}

static void reloc_entry_outside_the_image_is_refused(void **state)
{
	static const uint32_t bad[] = { AT(BYTES), AT(BYTES - 3), AT(0) - 1, 1, 0x7fffffff,
		0xffffffff };
	struct reloc_table table;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		uint32_t words[] = { 0, AT(8), 0, bad[i] };

		assert_int_equal(
			reloc_parse(&table, words, array_size(words), START, BYTES), -EINVAL);
	}
	/* Eight bytes wide, four bytes before the end. */
	assert_int_equal(
		reloc_parse(&table, (uint32_t[]){ 0, AT(BYTES - 4), 0, AT(8) }, 4, START, BYTES),
		-EINVAL);
}

static void reloc_wrong_number_of_lists_is_refused(void **state)
{
	static const uint32_t words[] = { 0, 0, 0, 0, AT(8), 0 };
	struct reloc_table table;

	(void)state;
	assert_int_equal(reloc_parse(&table, words, 0, START, BYTES), -EINVAL);
	assert_int_equal(reloc_parse(&table, words, 1, START, BYTES), -EINVAL);
	assert_int_equal(reloc_parse(&table, words, 2, START, BYTES), 0);
	assert_int_equal(reloc_parse(&table, words, 3, START, BYTES), 0);
	assert_int_equal(reloc_parse(&table, words, 4, START, BYTES), -EINVAL);
	assert_int_equal(reloc_parse(&table, words + 4, 2, START, BYTES), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reloc_three_lists_move_each_kind),
		cmocka_unit_test(reloc_two_lists_have_no_inverse),
		cmocka_unit_test(reloc_entry_outside_the_image_is_refused),
		cmocka_unit_test(reloc_wrong_number_of_lists_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* VBE and vga= mode numbers. */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "core/boot/vidmode.h"

static void vidmode_vbe_and_linux_numbers_name_the_same_mode(void **state)
{
	(void)state;
	for (unsigned number = 0x100; number < 0x200; number++)
		assert_ptr_equal(vidmode_find(number), vidmode_find(number + 0x200));
	assert_ptr_equal(vidmode_find(0x118), vidmode_find(0x4118));
	assert_int_equal(vidmode_find(0x118)->width, 1024);
	assert_int_equal(vidmode_find(0x118)->depth, 24);
}

static void vidmode_text_and_planar_modes_are_unknown(void **state)
{
	(void)state;
	assert_null(vidmode_find(0x102));
	assert_null(vidmode_find(0x10a));
	assert_null(vidmode_find(3));
	assert_null(vidmode_find(0xffff));
	assert_null(vidmode_find(0x211));
}

static void vidmode_decimal_and_hex_text_is_parsed(void **state)
{
	const struct vidmode *mode;
	struct error err;

	(void)state;
	assert_int_equal(vidmode_parse("791", &mode, &err), 0);
	assert_int_equal(mode->number, 0x117);
	assert_int_equal(vidmode_parse("0x344", &mode, &err), 0);
	assert_int_equal(mode->depth, 32);
}

static void vidmode_bad_text_names_itself(void **state)
{
	static const char *const bad[] = { "", "x", "0x", "12x", "-791", "99999999999999999999",
		"7", " " };
	const struct vidmode *mode;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		struct error err = { "" };

		assert_int_equal(vidmode_parse(bad[i], &mode, &err), -EINVAL);
		assert_non_null(strstr(err.text, "--vidmode"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vidmode_vbe_and_linux_numbers_name_the_same_mode),
		cmocka_unit_test(vidmode_text_and_planar_modes_are_unknown),
		cmocka_unit_test(vidmode_decimal_and_hex_text_is_parsed),
		cmocka_unit_test(vidmode_bad_text_names_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* suboptions: lists with commas, flags, choices, and what is said of wrong ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "core/suboptions.h"

struct target {
	bool ro;
	const char *serial;
	unsigned format;
};

static const char *const formats[] = { "raw", "qcow2", NULL };
static const struct suboption_spec specs[] = {
	{ "ro", SUBOPTION_FLAG, offsetof(struct target, ro), NULL },
	{ "serial", SUBOPTION_STRING, offsetof(struct target, serial), NULL },
	{ "format", SUBOPTION_CHOICE, offsetof(struct target, format), formats },
	{ .name = NULL },
};

static struct target target;
static const char *first;
static char *text;
static struct error err;

static int parse(const char *value)
{
	memset(&target, 0, sizeof(target));
	err.text[0] = '\0';
	return suboptions_parse("disk", value, specs, &target, &first, &text, &err);
}

static int free_text(void **state)
{
	(void)state;
	free(text);
	text = NULL;
	return 0;
}

static void suboptions_all_kinds_are_set(void **state)
{
	(void)state;
	assert_int_equal(parse("a b,ro,serial=x=y,format=qcow2"), 0);
	assert_string_equal(first, "a b");
	assert_true(target.ro);
	assert_string_equal(target.serial, "x=y");
	assert_int_equal(target.format, 1);
}

static void suboptions_name_alone_leaves_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("image"), 0);
	assert_string_equal(first, "image");
	assert_false(target.ro);
	assert_null(target.serial);
}

static void suboptions_double_comma_is_one_of_the_name(void **state)
{
	(void)state;
	assert_int_equal(parse("a,,b,,,ro=off,serial=1,,2"), 0);
	assert_string_equal(first, "a,b,");
	assert_string_equal(target.serial, "1,2");
}

static void suboptions_flag_takes_on_and_off(void **state)
{
	(void)state;
	assert_int_equal(parse("a,ro=on"), 0);
	assert_true(target.ro);
	free(text);
	assert_int_equal(parse("a,ro,ro=off"), 0);
	assert_false(target.ro);
}

static void suboptions_wrong_lists_are_explained(void **state)
{
	static const struct {
		const char *value, *complaint;
	} wrong[] = {
		{ "", "--disk : the name is missing" },
		{ ",ro", "--disk ,ro: the name is missing" },
		{ "a,", "--disk a,: an empty item is not known" },
		{ "a,rw", "--disk a,rw: rw is not known (did you mean ro?" },
		{ "a,zebra", "--disk a,zebra: zebra is not known (there are ro, serial=..., "
			     "format=raw|qcow2;" },
		{ "a,ro=maybe", "--disk a,ro=maybe: ro=maybe is not possible (write ro=on|off" },
		{ "a,serial", "--disk a,serial: serial is not possible (write serial=...)" },
		{ "a,serial=", "--disk a,serial=: serial= is not possible" },
		{ "a,format=vmdk", "--disk a,format=vmdk: format=vmdk is not possible (write "
				   "format=raw|qcow2)" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(wrong); i++) {
		assert_int_equal(parse(wrong[i].value), -EINVAL);
		assert_null(text);
		if (strncmp(err.text, wrong[i].complaint, strlen(wrong[i].complaint)))
			fail_msg("%s", err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(suboptions_all_kinds_are_set, free_text),
		cmocka_unit_test_teardown(suboptions_name_alone_leaves_defaults, free_text),
		cmocka_unit_test_teardown(suboptions_double_comma_is_one_of_the_name, free_text),
		cmocka_unit_test_teardown(suboptions_flag_takes_on_and_off, free_text),
		cmocka_unit_test_teardown(suboptions_wrong_lists_are_explained, free_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* core/options: every type and spelling, what is said of mistakes, and the texts made from the
 * table. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "core/options.h"

struct target {
	bool flag, other_flag;
	unsigned number, choice, small;
	uint64_t size;
	const char *string, *operand;
	struct optional_string optional;
	int custom;
};

static const char *const colours[] = { "red", "green", "blue", NULL };

static int parse_custom(const char *value, void *field, struct error *err)
{
	if (strcmp(value, "yes"))
		return error_set(err, EINVAL, "--custom %s: not yes (write yes)", value);
	*(int *)field = 1;
	return 0;
}

#define FIELD(name) offsetof(struct target, name)

static const struct option_spec specs[] = {
	{ .name = "flag",
		.short_name = 'f',
		.type = OPTION_FLAG,
		.group = "one",
		.help = "A flag.",
		.field = FIELD(flag) },
	{ .name = "other-flag",
		.short_name = 'o',
		.type = OPTION_FLAG,
		.group = "one",
		.help = "'Another' with a quote before it, \"more\" and a back\\slash.",
		.field = FIELD(other_flag) },
	{ .name = "number",
		.short_name = 'n',
		.type = OPTION_NUMBER,
		.metavar = "N",
		.group = "one",
		.help = ".dots and words enough that they do not fit into one line of help and "
			"have "
			"to be broken between two of them.",
		.field = FIELD(number),
		.min = 1,
		.max = 255 },
	{ .name = "small",
		.type = OPTION_NUMBER,
		.metavar = "N",
		.group = "one",
		.help = "From 0.",
		.field = FIELD(small),
		.max = UINT32_MAX },
	{ .name = "size",
		.short_name = 's',
		.type = OPTION_SIZE,
		.metavar = "SIZE[KMGT]",
		.group = "two",
		.help = "A size.",
		.field = FIELD(size),
		.min = MIB(1),
		.max = GIB(1024) },
	{ .name = "string",
		.short_name = 'S',
		.type = OPTION_STRING,
		.metavar = "TEXT",
		.group = "two",
		.help = "A text.",
		.field = FIELD(string) },
	{ .name = "optional",
		.type = OPTION_OPTIONAL,
		.metavar = "VALUE",
		.group = "two",
		.help = "With or without.",
		.field = FIELD(optional) },
	{ .name = "colour",
		.type = OPTION_CHOICE,
		.metavar = "red|green|blue",
		.group = "two",
		.help = "One of some.",
		.field = FIELD(choice),
		.choices = colours },
	{ .name = "custom",
		.type = OPTION_CUSTOM,
		.metavar = "YES",
		.group = "two",
		.help = "By a function.",
		.field = FIELD(custom),
		.parse = parse_custom },
	{ .name = NULL },
};

static const struct option_table table = {
	.specs = specs, .operand = "KERNEL", .operand_field = FIELD(operand)
};

/* The words of a command line as an array that ends with NULL, and their number. */
#define WORDS(...)                                                                                 \
	(int)(array_size(((const char *[]){ __VA_ARGS__ }))), (char *[])                           \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static struct target parse(int argc, char *const *argv)
{
	struct target target = { .number = 77 };
	struct error err = { .text = "" };

	if (options_parse(&table, argc, argv, &target, &err))
		fail_msg("%s", err.text);
	return target;
}

/* The message for a command line that is wrong. */
static const char *complaint(int argc, char *const *argv)
{
	static struct error err;
	struct target target = { .number = 77 };

	err.text[0] = 0;
	assert_int_equal(options_parse(&table, argc, argv, &target, &err), -EINVAL);
	assert_true(strchr(err.text, '(') && strchr(err.text, ')')); /* says what to do */
	return err.text;
}

static void assert_begins(const char *text, const char *beginning)
{
	if (strncmp(text, beginning, strlen(beginning)))
		fail_msg("\"%s\" does not begin with \"%s\"", text, beginning);
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void options_none_keeps_the_defaults(void **state)
{
	struct target target = { .number = 77 };

	(void)state;
	assert_int_equal(options_parse(&table, 0, NULL, &target, NULL), 0);
	assert_int_equal(target.number, 77);
	assert_null(target.operand);
	assert_false(target.optional.given);
}

static void options_every_type_is_filled(void **state)
{
	struct target t = parse(WORDS("--flag", "--number", "12", "--size", "2G", "--string",
		"text", "--optional", "--colour", "blue", "--custom", "yes", "operand"));

	(void)state;
	assert_true(t.flag);
	assert_false(t.other_flag);
	assert_int_equal(t.number, 12);
	assert_int_equal(t.size, GIB(2));
	assert_string_equal(t.string, "text");
	assert_true(t.optional.given);
	assert_null(t.optional.value);
	assert_int_equal(t.choice, 2);
	assert_int_equal(t.custom, 1);
	assert_string_equal(t.operand, "operand");
}

static void options_value_behind_an_equals_sign(void **state)
{
	struct target t = parse(WORDS("--number=0xfF", "--size=2048K", "--string=a=b",
		"--optional=here", "--colour=green", "--custom=yes"));

	(void)state;
	assert_int_equal(t.number, 255);
	assert_int_equal(t.size, MIB(2));
	assert_string_equal(t.string, "a=b");
	assert_string_equal(t.optional.value, "here");
	assert_int_equal(t.choice, 1);
	assert_int_equal(t.custom, 1);
}

static void options_optional_takes_no_separate_value(void **state)
{
	struct target t = parse(WORDS("--optional", "kernel"));

	(void)state;
	assert_null(t.optional.value);
	assert_string_equal(t.operand, "kernel");
}

static void options_short_forms_and_bundles(void **state)
{
	struct target t = parse(WORDS("-fo", "-n5", "-s", "1G", "-Stext"));

	(void)state;
	assert_true(t.flag && t.other_flag);
	assert_int_equal(t.number, 5);
	assert_int_equal(t.size, GIB(1));
	assert_string_equal(t.string, "text");
	t = parse(WORDS("-fon", "9", "x"));
	assert_true(t.flag && t.other_flag);
	assert_int_equal(t.number, 9);
	assert_string_equal(t.operand, "x");
	t = parse(WORDS("-fn9"));
	assert_int_equal(t.number, 9);
}

static void options_last_one_counts(void **state)
{
	struct target t = parse(WORDS("-n1", "--number=2", "--optional=a", "--optional"));

	(void)state;
	assert_int_equal(t.number, 2);
	assert_null(t.optional.value);
}

static void options_dash_dash_ends_them(void **state)
{
	(void)state;
	assert_string_equal(parse(WORDS("-f", "--", "--flag")).operand, "--flag");
	assert_string_equal(parse(WORDS("--", "--")).operand, "--");
	assert_null(parse(WORDS("--")).operand);
	assert_string_equal(parse(WORDS("-")).operand, "-");
	/* It is a value where one is due. */
	assert_string_equal(parse(WORDS("--string", "--")).string, "--");
}

static void options_sizes_and_their_limits(void **state)
{
	(void)state;
	assert_int_equal(parse(WORDS("-s1")).size, MIB(1));
	assert_int_equal(parse(WORDS("-s0x10G")).size, GIB(16));
	assert_int_equal(parse(WORDS("-s0x400")).size, GIB(1));
	assert_int_equal(parse(WORDS("-s010")).size, MIB(10)); /* no octal numbers here */
	assert_int_equal(parse(WORDS("-s1t")).size, GIB(1024));
	assert_int_equal(parse(WORDS("-s1024k")).size, MIB(1));
	assert_begins(complaint(WORDS("-s0")), "--size 0: out of range (write a size from 1M to ");
	assert_begins(complaint(WORDS("-s1023K")), "--size 1023K: out of range");
	assert_begins(complaint(WORDS("-s1025G")), "--size 1025G: out of range");
	/* What wraps around 64 bits when it is shifted, and what 64 bits do not hold at all. */
	assert_begins(complaint(WORDS("-s16777216T")), "--size 16777216T: out of range");
	assert_begins(complaint(WORDS("-s17592186044417")), "--size 17592186044417: out of range");
	assert_begins(
		complaint(WORDS("-s18446744073709551617M")), "--size 18446744073709551617M: out");
	assert_begins(complaint(WORDS("-s0x1ffffffffffffffffffffff")), "--size 0x1fffffff");
	assert_contains(complaint(WORDS("-s0x1ffffffffffffffffffffff")), "out of range");
}

static void options_what_is_no_size_says_so(void **state)
{
	static const char *const wrong[] = { "", "x", "G", "1GB", "1 G", " 1", "+1", "-1", "1.5G",
		"0x", "0xG", "1Gx", "1P", "1e3" };

	(void)state;
	for (size_t i = 0; i < array_size(wrong); i++)
		assert_contains(complaint(WORDS("--size", (char *)wrong[i])),
			": not a size (write for example 512M or 2G)");
}

static void options_what_is_no_number_says_so(void **state)
{
	static const char *const wrong[] = { "", "x", "0x", "1k", " 1", "1 ", "+1", "-1", "1.0",
		"--flag" };

	(void)state;
	for (size_t i = 0; i < array_size(wrong); i++)
		assert_contains(complaint(WORDS("--number", (char *)wrong[i])),
			": not a number (write one from 1 to 255)");
	assert_begins(
		complaint(WORDS("-n0")), "--number 0: out of range (write a number from 1 to 255)");
	assert_begins(complaint(WORDS("-n256")), "--number 256: out of range");
	assert_begins(complaint(WORDS("-n", "99999999999999999999999")),
		"--number 99999999999999999999999: out of range");
	assert_int_equal(parse(WORDS("--small=4294967295")).small, UINT32_MAX);
	assert_contains(complaint(WORDS("--small=4294967296")), "out of range");
}

static void options_missing_and_unwanted_values(void **state)
{
	(void)state;
	assert_string_equal(
		complaint(WORDS("--number")), "--number: a value is missing (write --number N)");
	assert_string_equal(
		complaint(WORDS("-f", "-n")), "--number: a value is missing (write --number N)");
	assert_string_equal(
		complaint(WORDS("--flag=1")), "--flag=1: it takes no value (write --flag)");
	assert_begins(complaint(WORDS("--string", "")), "--string: its value is empty");
	assert_begins(complaint(WORDS("--string=")), "--string: its value is empty");
	assert_begins(complaint(WORDS("--optional=")), "--optional=: no value after it");
	assert_string_equal(complaint(WORDS("--colour", "pink")),
		"--colour pink: not one of the choices (write red, green, blue)");
	assert_string_equal(complaint(WORDS("--custom", "no")), "--custom no: not yes (write yes)");
}

static void options_unknown_ones_get_the_nearest_name(void **state)
{
	(void)state;
	assert_contains(complaint(WORDS("--nubmer", "1")), "did you mean --number?");
	assert_contains(complaint(WORDS("--colur=red")), "did you mean --colour?");
	assert_contains(complaint(WORDS("--flg")), "did you mean --flag?");
	assert_contains(complaint(WORDS("--opt")), "did you mean --optional?");
	assert_contains(complaint(WORDS("-flag")), "-flag: there is no such option");
	assert_begins(complaint(WORDS("--zzzzzz")), "--zzzzzz: there is no such option (see");
	assert_begins(complaint(WORDS("-x")), "-x: there is no such option (see");
	assert_begins(complaint(WORDS("-fx")), "-fx: there is no such option");
	assert_begins(complaint(WORDS("--=value")), "--=value: there is no such option");
	assert_begins(complaint(WORDS("---")), "---: there is no such option");
	assert_begins(complaint(WORDS("--fla=1")), "--fla=1: there is no such option");
}

static void options_messages_of_hostile_words_are_one_line(void **state)
{
	char *longest = malloc(100001);

	(void)state;
	assert_non_null(longest);
	memset(longest, 'a', 100000);
	longest[100000] = 0;
	assert_null(strpbrk(complaint(WORDS("--num\nber\x1b[2J(", ")")), "\n\x1b"));
	memcpy(longest, "--", 2);
	{
		struct target target = { 0 };
		struct error err;
		char *argv[] = { longest };

		assert_int_equal(options_parse(&table, 1, argv, &target, &err), -EINVAL);
		memcpy(longest, "-n", 2);
		assert_int_equal(options_parse(&table, 1, argv, &target, &err), -EINVAL);
		memset(longest, '1', 100000);
		memcpy(longest, "-n", 2);
		assert_int_equal(options_parse(&table, 1, argv, &target, &err), -EINVAL);
	}
	free(longest);
}

static void options_second_operand_is_refused(void **state)
{
	(void)state;
	assert_string_equal(
		complaint(WORDS("a", "b")), "b: there is a KERNEL already, a (give one)");
	assert_contains(complaint(WORDS("a", "--", "b")), "there is a KERNEL already");
	assert_contains(complaint(WORDS("")), "empty");
	assert_contains(complaint(WORDS("--", "")), "empty");
}

static void options_operand_where_none_is_taken_is_refused(void **state)
{
	static const struct option_table none = { .specs = specs };
	struct target target = { 0 };
	struct error err;

	(void)state;
	assert_int_equal(options_parse(&none, WORDS("x"), &target, &err), -EINVAL);
	assert_begins(err.text, "x: nothing more is expected here");
}

static void options_nearest_is_near(void **state)
{
	static const char *const words[] = { "run", "testcard", "doctor", "version", "help", NULL };
	char far[300];

	(void)state;
	assert_string_equal(options_nearest("docter", words), "doctor");
	assert_string_equal(options_nearest("test", words), "testcard");
	assert_string_equal(options_nearest("rn", words), "run");
	assert_string_equal(options_nearest("help", words), "help");
	assert_null(options_nearest("vmlinuz", words));
	/* However long a word is, it is near to nothing that it does not resemble. */
	for (size_t length = 20; length < sizeof(far); length++) {
		memset(far, 'q', length);
		far[length] = 0;
		assert_null(options_nearest(far, words));
	}
}

static char *printed(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	print(out);
	fclose(out);
	return text;
}

static void print_help_60(FILE *out)
{
	options_print_help(&table, out, 60);
}

static void print_help_0(FILE *out)
{
	options_print_help(&table, out, 0);
}

static void print_man(FILE *out)
{
	options_print_man(&table, out);
}

static void print_completion(FILE *out)
{
	static const char *const commands[] = { "run", "doctor", NULL };

	options_print_bash_completion(&table, commands, out);
}

static void options_help_names_all_within_the_width(void **state)
{
	char *text = printed(print_help_60), *narrow = printed(print_help_0), *rest = text, *line;

	(void)state;
	assert_string_equal(text, narrow);
	free(narrow);
	assert_contains(text, "\none:\n");
	assert_contains(text, "\ntwo:\n");
	assert_contains(text, "  -f, --flag ");
	assert_contains(text, "  -n, --number N ");
	assert_contains(text, "      --optional[=VALUE] ");
	assert_contains(text, "  -s, --size SIZE[KMGT] ");
	while ((line = strsep(&rest, "\n"))) {
		assert_true(strlen(line) <= 60);
		assert_true(!*line || line[strlen(line) - 1] != ' ');
	}
	free(text);
}

/* Whether a shell command takes text as its standard input without complaint. */
static bool accepted(const char *command, const char *text)
{
	FILE *pipe = popen(command, "we");

	assert_non_null(pipe);
	fputs(text, pipe);
	return pclose(pipe) == 0;
}

static void options_man_list_is_right_for_groff(void **state)
{
	char *text = printed(print_man), *rest, *line, page[8192];

	(void)state;
	assert_contains(text, ".SS One\n");
	assert_contains(text, ".B \\-n, \\-\\-number N\n");
	assert_contains(text, "\n\\&.dots");
	assert_contains(text, "\n\\&'Another'");
	assert_contains(text, "back\\eslash");
	snprintf(page, sizeof(page), ".TH TEST 1 2026-01-01 test\n.SH OPTIONS\n%s", text);
	rest = text;
	while ((line = strsep(&rest, "\n")))
		assert_true(*line != '.' || !strncmp(line, ".SS ", 4) || !strncmp(line, ".TP", 3) ||
			    !strncmp(line, ".B ", 3));
	free(text);
	if (system("command -v groff >/dev/null"))
		skip();
	assert_true(accepted("test -z \"$(groff -man -Tutf8 -ww -z 2>&1)\"", page));
	assert_true(accepted("groff -man -Tascii | grep -q 'back.slash'", page));
}

static void options_completion_is_right_for_bash(void **state)
{
	char *text = printed(print_completion), script[16384];

	(void)state;
	if (system("command -v bash >/dev/null"))
		skip();
	assert_true(accepted("bash -n", text));
	/* Options, a choice's words, commands, and a file with a blank in its name. */
	snprintf(script, sizeof(script),
		"set -eu\n%s\n"
		"try() { local want=$1; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
		"COMPREPLY=(); "
		"_vmgui || true; local IFS='|'; [ \"${COMPREPLY[*]}\" = \"$want\" ]; }\n"
		"try '--number' vmgui --nu\n"
		"try 'red|green|blue' vmgui --colour ''\n"
		"try 'green' vmgui --colour g\n"
		"dir=$(mktemp -d); cd \"$dir\"; touch 'a kernel' 'runner'\n"
		"try 'run|runner' vmgui ru\n"
		"try 'a kernel' vmgui --flag a\n"
		"cd /; rm -r \"$dir\"\n",
		text);
	free(text);
	assert_true(accepted("bash", script));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_none_keeps_the_defaults),
		cmocka_unit_test(options_every_type_is_filled),
		cmocka_unit_test(options_value_behind_an_equals_sign),
		cmocka_unit_test(options_optional_takes_no_separate_value),
		cmocka_unit_test(options_short_forms_and_bundles),
		cmocka_unit_test(options_last_one_counts),
		cmocka_unit_test(options_dash_dash_ends_them),
		cmocka_unit_test(options_sizes_and_their_limits),
		cmocka_unit_test(options_what_is_no_size_says_so),
		cmocka_unit_test(options_what_is_no_number_says_so),
		cmocka_unit_test(options_missing_and_unwanted_values),
		cmocka_unit_test(options_unknown_ones_get_the_nearest_name),
		cmocka_unit_test(options_messages_of_hostile_words_are_one_line),
		cmocka_unit_test(options_second_operand_is_refused),
		cmocka_unit_test(options_operand_where_none_is_taken_is_refused),
		cmocka_unit_test(options_nearest_is_near),
		cmocka_unit_test(options_help_names_all_within_the_width),
		cmocka_unit_test(options_man_list_is_right_for_groff),
		cmocka_unit_test(options_completion_is_right_for_bash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

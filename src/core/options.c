#include "core/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORD   64
#define SIZE_CHARS 24 /* of a 64-bit number and a unit */

static size_t edit_distance(const char *a, const char *b)
{
	size_t row[MAX_WORD + 1], length_a = strlen(a), length_b = strlen(b);

	if (length_a > MAX_WORD || length_b > MAX_WORD)
		return SIZE_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= length_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[length_b];
}

const char *options_nearest(const char *word, const char *const *words)
{
	size_t limit = strlen(word) / 3 + 1, best = limit + 1;
	const char *nearest = NULL;

	for (; *words; words++) {
		size_t distance = edit_distance(word, *words);

		/* What was begun right is meant more often than what is one letter off. */
		if (distance > 1 && strlen(word) >= 3 && !strncmp(word, *words, strlen(word)))
			distance = 1;
		if (distance < best) {
			best = distance;
			nearest = *words;
		}
	}
	return nearest;
}

static const struct option_spec *find_long(
	const struct option_table *table, const char *name, size_t length)
{
	for (const struct option_spec *spec = table->specs; spec->name; spec++) {
		if (strlen(spec->name) == length && !memcmp(spec->name, name, length))
			return spec;
	}
	return NULL;
}

static const struct option_spec *find_short(const struct option_table *table, char name)
{
	for (const struct option_spec *spec = table->specs; spec->name; spec++) {
		if (spec->short_name && spec->short_name == name)
			return spec;
	}
	return NULL;
}

static int fail_unknown(const struct option_table *table, const char *argument, struct error *err)
{
	const char *names[MAX_WORD], *nearest;
	char name[MAX_WORD];
	size_t count = 0;

	for (const struct option_spec *spec = table->specs; spec->name && count < MAX_WORD - 1;
		spec++)
		names[count++] = spec->name;
	names[count] = NULL;
	snprintf(name, sizeof(name), "%s", argument + strspn(argument, "-"));
	name[strcspn(name, "=")] = 0;
	nearest = *name ? options_nearest(name, names) : NULL;
	if (nearest)
		return error_set(err, EINVAL,
			"%s: there is no such option (did you mean --%s? see vmgui --help)",
			argument, nearest);
	return error_set(err, EINVAL, "%s: there is no such option (see vmgui --help)", argument);
}

/* A whole unsigned number, decimal or 0x...; false where anything else stands there. One that no
 * integer holds counts as the largest, which is out of every range. */
static bool parse_number(const char *text, uint64_t *number, const char **end)
{
	char *rest;
	int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;

	if (!isdigit((unsigned char)text[0]))
		return false;
	*number = strtoull(text, &rest, base);
	*end = rest;
	return true;
}

static int set_number(
	const struct option_spec *spec, const char *value, void *field, struct error *err)
{
	uint64_t number;
	const char *end;

	if (!parse_number(value, &number, &end) || *end)
		return error_set(err, EINVAL, "--%s %s: not a number (write one from %llu to %llu)",
			spec->name, value, (unsigned long long)spec->min,
			(unsigned long long)spec->max);
	if (number < spec->min || number > spec->max)
		return error_set(err, EINVAL,
			"--%s %s: out of range (write a number from %llu to %llu)", spec->name,
			value, (unsigned long long)spec->min, (unsigned long long)spec->max);
	*(unsigned *)field = (unsigned)number;
	return 0;
}

/* In the largest unit that leaves a whole number: "4M", "1T". */
static const char *format_size(uint64_t bytes, char text[SIZE_CHARS])
{
	static const char units[] = "KMGT";
	unsigned unit = 0;

	for (bytes >>= 10; bytes && !(bytes & 1023) && unit < 3; bytes >>= 10)
		unit++;
	snprintf(text, SIZE_CHARS, "%llu%c", (unsigned long long)bytes, units[unit]);
	return text;
}

static int set_size(
	const struct option_spec *spec, const char *value, void *field, struct error *err)
{
	static const char units[] = "KMGT";
	uint64_t number;
	const char *end, *unit;
	char least[SIZE_CHARS], most[SIZE_CHARS];
	unsigned shift = 20;

	if (!parse_number(value, &number, &end))
		goto not_a_size;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			goto not_a_size;
		shift = 10 + 10 * (unsigned)(unit - units);
	}
	if (number > UINT64_MAX >> shift || number << shift < spec->min ||
		number << shift > spec->max)
		return error_set(err, EINVAL, "--%s %s: out of range (write a size from %s to %s)",
			spec->name, value, format_size(spec->min, least),
			format_size(spec->max, most));
	*(uint64_t *)field = number << shift;
	return 0;

not_a_size:
	return error_set(err, EINVAL, "--%s %s: not a size (write for example 512M or 2G)",
		spec->name, value);
}

static int set_choice(
	const struct option_spec *spec, const char *value, void *field, struct error *err)
{
	char list[256] = "";
	size_t used = 0;

	for (unsigned i = 0; spec->choices[i]; i++) {
		if (!strcmp(spec->choices[i], value)) {
			*(unsigned *)field = i;
			return 0;
		}
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
				i ? ", " : "", spec->choices[i]);
	}
	return error_set(
		err, EINVAL, "--%s %s: not one of the choices (write %s)", spec->name, value, list);
}

static int fail_twice(const struct option_spec *spec, struct error *err)
{
	return error_set(err, EINVAL, "--%s: it is given twice (%s)", spec->name, spec->once);
}

static int set_value(
	const struct option_spec *spec, const char *value, void *target, struct error *err)
{
	void *field = (char *)target + spec->field;

	switch (spec->type) {
	case OPTION_FLAG:
		if (*(bool *)field && spec->once)
			return fail_twice(spec, err);
		*(bool *)field = true;
		return 0;
	case OPTION_NUMBER:
		return set_number(spec, value, field, err);
	case OPTION_SIZE:
		return set_size(spec, value, field, err);
	case OPTION_OPTIONAL:
		if (((struct optional_string *)field)->given && spec->once)
			return fail_twice(spec, err);
		if (value && !*value)
			return error_set(err, EINVAL,
				"--%s=: no value after it (write --%s or --%s=%s)", spec->name,
				spec->name, spec->name, spec->metavar);
		*(struct optional_string *)field =
			(struct optional_string){ .given = true, .value = value };
		return 0;
	case OPTION_CHOICE:
		return set_choice(spec, value, field, err);
	case OPTION_CUSTOM:
		return spec->parse(value, field, err);
	case OPTION_STRING:
		break;
	}
	if (!*value)
		return error_set(err, EINVAL, "--%s: its value is empty (write --%s %s)",
			spec->name, spec->name, spec->metavar);
	*(const char **)field = value;
	return 0;
}

static bool takes_value(const struct option_spec *spec)
{
	return spec->type != OPTION_FLAG && spec->type != OPTION_OPTIONAL;
}

static int fail_no_value(const struct option_spec *spec, struct error *err)
{
	return error_set(err, EINVAL, "--%s: a value is missing (write --%s %s)", spec->name,
		spec->name, spec->metavar);
}

static int parse_long(const struct option_table *table, int argc, char *const *argv, int *index,
	void *target, struct error *err)
{
	const char *argument = argv[*index], *name = argument + 2, *equals = strchr(name, '=');
	const struct option_spec *spec =
		find_long(table, name, equals ? (size_t)(equals - name) : strlen(name));

	if (!spec)
		return fail_unknown(table, argument, err);
	if (spec->type == OPTION_FLAG && equals)
		return error_set(
			err, EINVAL, "%s: it takes no value (write --%s)", argument, spec->name);
	if (!takes_value(spec) || equals)
		return set_value(spec, equals ? equals + 1 : NULL, target, err);
	if (*index + 1 >= argc)
		return fail_no_value(spec, err);
	return set_value(spec, argv[++*index], target, err);
}

/* -x VALUE, -xVALUE; flags may stand together: -ab. */
static int parse_short(const struct option_table *table, int argc, char *const *argv, int *index,
	void *target, struct error *err)
{
	for (const char *c = argv[*index] + 1; *c; c++) {
		const struct option_spec *spec = find_short(table, *c);
		int ret;

		if (!spec)
			return fail_unknown(table, argv[*index], err);
		if (takes_value(spec)) {
			if (c[1])
				return set_value(spec, c + 1, target, err);
			if (*index + 1 >= argc)
				return fail_no_value(spec, err);
			return set_value(spec, argv[++*index], target, err);
		}
		ret = set_value(spec, NULL, target, err);
		if (ret)
			return ret;
	}
	return 0;
}

int options_parse(const struct option_table *table, int argc, char *const *argv, void *target,
	struct error *err)
{
	bool only_operands = false;

	for (int i = 0; i < argc; i++) {
		const char *argument = argv[i];
		int ret = 0;

		if (!only_operands && !strcmp(argument, "--")) {
			only_operands = true;
		} else if (!only_operands && argument[0] == '-' && argument[1] == '-') {
			ret = parse_long(table, argc, argv, &i, target, err);
		} else if (!only_operands && argument[0] == '-' && argument[1]) {
			ret = parse_short(table, argc, argv, &i, target, err);
		} else {
			const char **operand =
				(const char **)((char *)target + table->operand_field);

			if (!table->operand)
				return error_set(err, EINVAL,
					"%s: nothing more is expected here (see vmgui --help)",
					argument);
			if (!*argument)
				return error_set(err, EINVAL,
					"'': the %s's name is empty (write one, or nothing)",
					table->operand);
			if (*operand)
				return error_set(err, EINVAL,
					"%s: there is a %s already, %s (give one)", argument,
					table->operand, *operand);
			*operand = argument;
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* "-c, --cpus N" */
static int format_usage(const struct option_spec *spec, char *buffer, size_t size)
{
	char short_part[8] = "    ";

	if (spec->short_name)
		snprintf(short_part, sizeof(short_part), "-%c, ", spec->short_name);
	if (spec->type == OPTION_FLAG)
		return snprintf(buffer, size, "%s--%s", short_part, spec->name);
	if (spec->type == OPTION_OPTIONAL)
		return snprintf(buffer, size, "%s--%s[=%s]", short_part, spec->name, spec->metavar);
	return snprintf(buffer, size, "%s--%s %s", short_part, spec->name, spec->metavar);
}

/* Prints text in the columns from indent on, breaking between words; the cursor stands at indent.
 */
static void print_wrapped(FILE *out, const char *text, unsigned indent, unsigned columns)
{
	unsigned at = indent;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (at > indent && at + 1 + word > columns) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, word, out);
		at += (unsigned)word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void options_print_help(const struct option_table *table, FILE *out, unsigned columns)
{
	const unsigned indent = 30;
	const char *group = NULL;

	if (columns < 60)
		columns = 60;
	for (const struct option_spec *spec = table->specs; spec->name; spec++) {
		char usage[128];
		int width;

		if (!group || strcmp(group, spec->group)) {
			group = spec->group;
			fprintf(out, "\n%s:\n", group);
		}
		width = format_usage(spec, usage, sizeof(usage));
		if (width + 4 > (int)indent)
			fprintf(out, "  %s\n%*s", usage, (int)indent, "");
		else
			fprintf(out, "  %-*s", (int)indent - 2, usage);
		print_wrapped(out, spec->help, indent, columns);
	}
}

/* In troff a dash is a hyphen unless escaped, and a line must not begin with a dot or quote. */
static void print_troff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '"')
			fputs("\\(dq", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
	}
}

void options_print_man(const struct option_table *table, FILE *out)
{
	const char *group = NULL;

	for (const struct option_spec *spec = table->specs; spec->name; spec++) {
		char usage[128];

		if (!group || strcmp(group, spec->group)) {
			group = spec->group;
			fprintf(out, ".SS %c%s\n", toupper((unsigned char)group[0]), group + 1);
		}
		format_usage(spec, usage, sizeof(usage));
		fprintf(out, ".TP\n.B ");
		print_troff(out, usage + strspn(usage, " "));
		fputc('\n', out);
		print_troff(out, spec->help);
		fputc('\n', out);
	}
}

void options_print_bash_completion(
	const struct option_table *table, const char *const *commands, FILE *out)
{
	fputs("# bash completion for vmgui\n_vmgui() {\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tcase $previous in\n",
		out);
	for (const struct option_spec *spec = table->specs; spec->name; spec++) {
		if (spec->type != OPTION_CHOICE)
			continue;
		fprintf(out, "\t--%s) mapfile -t COMPREPLY < <(compgen -W \"", spec->name);
		for (unsigned i = 0; spec->choices[i]; i++)
			fprintf(out, "%s%s", i ? " " : "", spec->choices[i]);
		fputs("\" -- \"$word\"); return ;;\n", out);
	}
	/* Line by line, as file names have blanks in them; "-o filenames" quotes those. */
	fputs("\tesac\n\tif [[ $word == -* ]]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"",
		out);
	for (const struct option_spec *spec = table->specs; spec->name; spec++)
		fprintf(out, "%s--%s", spec == table->specs ? "" : " ", spec->name);
	fputs("\" -- \"$word\")\n\telif ((COMP_CWORD == 1)); then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"",
		out);
	for (unsigned i = 0; commands[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", commands[i]);
	fputs("\" -- \"$word\"; compgen -f -- \"$word\")\n\telse\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n\tfi\n}\n"
	      "complete -o filenames -F _vmgui vmgui\n",
		out);
}

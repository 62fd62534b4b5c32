#include "core/suboptions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"

#define MAX_WORDS 16u

/* Ends the item that begins at text and makes its double commas single; the next item, or NULL. */
static char *end_item(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		if (*from == ',') {
			if (from[1] != ',') {
				*to = '\0';
				return from + 1;
			}
			from++;
		}
		*to++ = *from;
	}
	*to = '\0';
	return NULL;
}

static const struct suboption_spec *find(const struct suboption_spec *specs, const char *name)
{
	for (; specs->name; specs++) {
		if (!strcmp(specs->name, name))
			return specs;
	}
	return NULL;
}

/* "ro, snapshot, format=raw|qcow2, serial=..." */
static void describe(const struct suboption_spec *specs, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (const struct suboption_spec *spec = specs; spec->name && length < size; spec++) {
		length += (size_t)snprintf(text + length, size - length, "%s%s%s",
			spec == specs ? "" : ", ", spec->name,
			spec->type == SUBOPTION_FLAG     ? ""
			: spec->type == SUBOPTION_STRING ? "=..."
							 : "=");
		if (spec->type != SUBOPTION_CHOICE)
			continue;
		for (unsigned i = 0; spec->choices[i] && length < size; i++)
			length += (size_t)snprintf(text + length, size - length, "%s%s",
				i ? "|" : "", spec->choices[i]);
	}
}

static int unknown(const char *option, const char *value, const char *name,
	const struct suboption_spec *specs, struct error *err)
{
	const char *words[MAX_WORDS + 1] = { NULL };
	const char *nearest;
	char known[160];

	for (unsigned i = 0; specs[i].name && i < MAX_WORDS; i++)
		words[i] = specs[i].name;
	nearest = options_nearest(name, words);
	if (nearest)
		return error_set(err, EINVAL,
			"--%s %s: %s is not known (did you mean %s? a comma in a name is written "
			"twice)",
			option, value, name, nearest);
	describe(specs, known, sizeof(known));
	return error_set(err, EINVAL,
		"--%s %s: %s is not known (there are %s; a comma in a name is written twice)",
		option, value, *name ? name : "an empty item", known);
}

static int set_flag(const char *setting, bool *flag)
{
	if (setting && strcmp(setting, "on") != 0 && strcmp(setting, "off") != 0)
		return -EINVAL;
	*flag = !setting || !strcmp(setting, "on");
	return 0;
}

static int set_choice(const struct suboption_spec *spec, const char *setting, unsigned *choice)
{
	for (unsigned i = 0; setting && spec->choices[i]; i++) {
		if (!strcmp(setting, spec->choices[i])) {
			*choice = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set(const struct suboption_spec *spec, const char *setting, void *target)
{
	char *field = (char *)target + spec->field;

	switch (spec->type) {
	case SUBOPTION_FLAG:
		return set_flag(setting, (bool *)field);
	case SUBOPTION_CHOICE:
		return set_choice(spec, setting, (unsigned *)field);
	case SUBOPTION_STRING:
		if (!setting || !*setting)
			return -EINVAL;
		*(const char **)field = setting;
		return 0;
	}
	return -EINVAL;
}

static int set_item(const char *option, const char *value, char *item,
	const struct suboption_spec *specs, void *target, struct error *err)
{
	char *setting = strchr(item, '=');
	const struct suboption_spec *spec;
	struct suboption_spec shown[2] = { { .name = NULL }, { .name = NULL } };
	char known[160];

	if (setting)
		*setting++ = '\0';
	spec = find(specs, item);
	if (!spec)
		return unknown(option, value, item, specs, err);
	if (!set(spec, setting, target))
		return 0;
	shown[0] = *spec;
	describe(shown, known, sizeof(known));
	return error_set(err, EINVAL, "--%s %s: %s%s%s is not possible (write %s%s)", option, value,
		item, setting ? "=" : "", setting ? setting : "", known,
		spec->type == SUBOPTION_FLAG ? "=on|off, or only the name" : "");
}

int suboptions_parse(const char *option, const char *value, const struct suboption_spec *specs,
	void *target, const char **first, char **text, struct error *err)
{
	char *copy = strdup(value), *item;
	int ret = 0;

	*text = NULL;
	if (!copy)
		return error_set(err, ENOMEM, "--%s: out of memory", option);
	item = end_item(copy);
	if (!*copy) {
		ret = error_set(err, EINVAL, "--%s %s: the name is missing (it comes first)",
			option, value);
		goto free_copy;
	}
	while (item) {
		char *next = end_item(item);

		ret = set_item(option, value, item, specs, target, err);
		if (ret)
			goto free_copy;
		item = next;
	}
	*first = copy;
	*text = copy;
	return 0;

free_copy:
	free(copy);
	return ret;
}

/* Names of layouts; see names.h. The list is rules/evdev.lst of xkeyboard-config: sections that
 * begin with "! layout" and "! variant", then one line for each, "  de   German" and
 * "  nodeadkeys   de: German (no dead keys)". */
#include "input/xkb/names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUGGESTIONS 5

/* Short names, and those of other programs' tables of languages. */
static const struct {
	const char *alias, *layout, *variant;
} aliases[] = {
	{ "abnt2", "br", "" },
	{ "ar", "ara", "" },
	{ "bepo", "fr", "bepo" },
	{ "colemak", "us", "colemak" },
	{ "cs", "cz", "" },
	{ "da", "dk", "" },
	{ "de-ch", "ch", "" },
	{ "dvorak", "us", "dvorak" },
	{ "el", "gr", "" },
	{ "en", "us", "" },
	{ "en-gb", "gb", "" },
	{ "en-uk", "gb", "" },
	{ "en-us", "us", "" },
	{ "et", "ee", "" },
	{ "fr-be", "be", "" },
	{ "fr-ca", "ca", "" },
	{ "fr-ch", "ch", "fr" },
	{ "he", "il", "" },
	{ "ja", "jp", "" },
	{ "ko", "kr", "" },
	{ "pt-br", "br", "" },
	{ "sl", "si", "" },
	{ "sv", "se", "" },
	{ "uk", "gb", "" },
	{ "us-intl", "us", "intl" },
};

static bool is_word(const char *text)
{
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("_-+.", *text))
			return false;
	}
	return true;
}

static bool set_name(struct layout_name *name, const char *layout, size_t layout_length,
	const char *variant, size_t variant_length)
{
	if (!layout_length || layout_length >= sizeof(name->layout) ||
		variant_length >= sizeof(name->variant))
		return false;
	memset(name, 0, sizeof(*name));
	memcpy(name->layout, layout, layout_length);
	memcpy(name->variant, variant, variant_length);
	return name->layout[0] != '.' && is_word(name->layout) && is_word(name->variant);
}

bool layout_name_parse(const char *text, struct layout_name *name)
{
	char lower[80], *variant;
	size_t length = strlen(text);

	if (!length || length >= sizeof(lower))
		return false;
	/* Layouts are in lower case; of variants nearly all. */
	for (size_t i = 0; i <= length; i++)
		lower[i] = text[i] == '_' ? '-' : (char)tolower((unsigned char)text[i]);
	for (size_t i = 0; i < array_size(aliases); i++) {
		if (strcmp(aliases[i].alias, lower) == 0)
			return set_name(name, aliases[i].layout, strlen(aliases[i].layout),
				aliases[i].variant, strlen(aliases[i].variant));
	}
	variant = strpbrk(lower, "(:");
	if (!variant)
		variant = strchr(lower, '-');
	if (!variant)
		return set_name(name, lower, length, "", 0);
	memcpy(variant, text + (variant - lower), length + 1 - (size_t)(variant - lower));
	if (*variant == '(') {
		if (lower[length - 1] != ')')
			return false;
		lower[--length] = '\0';
	}
	return set_name(name, lower, (size_t)(variant - lower), variant + 1, strlen(variant + 1));
}

void layout_name_format(const struct layout_name *name, char *text, size_t bytes)
{
	if (*name->variant)
		snprintf(text, bytes, "%s(%s)", name->layout, name->variant);
	else
		snprintf(text, bytes, "%s", name->layout);
}

/* How many letters have to be put in, taken out or changed; both are short. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[33], before, here;
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > 32 || b_length > 32)
		return 64;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		before = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			here = row[j];
			row[j] = before + (a[i - 1] != b[j - 1]);
			if (row[j] > here + 1)
				row[j] = here + 1;
			if (row[j] > row[j - 1] + 1)
				row[j] = row[j - 1] + 1;
			before = here;
		}
	}
	return row[b_length];
}

static FILE *open_list(struct xkb_context *context)
{
	for (unsigned i = 0; i < xkb_context_num_include_paths(context); i++) {
		char path[4096];
		FILE *list;

		snprintf(path, sizeof(path), "%s/rules/evdev.lst",
			xkb_context_include_path_get(context, i));
		list = fopen(path, "re");
		if (list)
			return list;
	}
	return NULL;
}

struct suggestion {
	char text[80];
	unsigned distance;
};

static void keep(struct suggestion *nearest, const struct suggestion *candidate)
{
	struct suggestion insert = *candidate, next;

	for (unsigned i = 0; i < SUGGESTIONS; i++) {
		if (strcmp(nearest[i].text, insert.text) == 0)
			return;
		if (insert.distance >= nearest[i].distance)
			continue;
		next = nearest[i];
		nearest[i] = insert;
		insert = next;
	}
}

/* The name on a line of the list, with how far it is from what was asked. */
static bool read_candidate(const char *line, bool variants, const struct layout_name *name,
	bool known, struct suggestion *candidate)
{
	char word[32], layout[32], description[64];

	if (variants) {
		if (sscanf(line, " %31s %31[^:]: %63[^\n]", word, layout, description) != 3)
			return false;
		if (known && strcmp(layout, name->layout) != 0)
			return false;
		snprintf(candidate->text, sizeof(candidate->text), "%s(%s)", layout, word);
		/* "us(dvorakk)"; or "dvorakk", or "norwegian", as a layout. */
		candidate->distance = distance(word, known ? name->variant : name->layout);
		return known || candidate->distance <= 1;
	}
	if (sscanf(line, " %31s %63[^\n]", word, description) != 2)
		return false;
	snprintf(candidate->text, sizeof(candidate->text), "%s", word);
	candidate->distance = distance(word, name->layout);
	/* People name the language or the country. */
	if (strlen(name->layout) > 3 &&
		strncasecmp(description, name->layout, strlen(name->layout)) == 0)
		candidate->distance = description[strlen(name->layout)] ? 1 : 0;
	return !known && candidate->distance <= 1;
}

void layout_name_suggest(struct xkb_context *context, const struct layout_name *name, bool known,
	char *text, size_t bytes)
{
	struct suggestion nearest[SUGGESTIONS], candidate;
	FILE *list = open_list(context);
	bool layouts = false, variants = false;
	char line[256];
	int used;

	text[0] = '\0';
	if (!list)
		return;
	for (unsigned i = 0; i < SUGGESTIONS; i++)
		nearest[i] = (struct suggestion){ .distance = 32 };
	while (fgets(line, sizeof(line), list)) {
		if (line[0] == '!') {
			layouts = strncmp(line, "! layout", 8) == 0;
			variants = strncmp(line, "! variant", 9) == 0;
		} else if ((layouts || variants) &&
			   read_candidate(line, variants, name, known, &candidate)) {
			keep(nearest, &candidate);
		}
	}
	fclose(list);
	if (!nearest[0].text[0] && !known) {
		snprintf(text, bytes,
			"try us, gb, de, fr, es, it, jp, br or dvorak; ls "
			"/usr/share/X11/xkb/symbols shows all");
		return;
	}
	used = snprintf(text, bytes, "there %s", nearest[1].text[0] ? "are" : "is");
	for (unsigned i = 0; i < SUGGESTIONS && nearest[i].text[0]; i++) {
		if (used > 0 && (size_t)used < bytes)
			used += snprintf(text + used, bytes - (size_t)used, "%s %s", i ? "," : "",
				nearest[i].text);
	}
	if (!nearest[0].text[0])
		snprintf(text, bytes, "%s has no variants", name->layout);
}

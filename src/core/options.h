/* Command-line options from a table: parsed once into a typed struct, and the source of --help, the
 * man page's option list and the shell completion, so that these cannot disagree.
 *
 * Long options take "--opt VALUE" and "--opt=VALUE", short ones "-o VALUE" and "-oVALUE". Options
 * and operands may be mixed; "--" ends the options. Threads: main, at start-up. */
#ifndef VMGUI_CORE_OPTIONS_H
#define VMGUI_CORE_OPTIONS_H

#include <stdio.h>

#include "core/error.h"
#include "core/util.h"

enum option_type {
	OPTION_FLAG,     /* bool; no value */
	OPTION_NUMBER,   /* unsigned within min..max; decimal or 0x... */
	OPTION_SIZE,     /* uint64_t bytes within min..max; K, M, G, T; a bare number is MiB */
	OPTION_STRING,   /* const char *, not empty */
	OPTION_OPTIONAL, /* struct optional_string: "--opt" or "--opt=VALUE" */
	OPTION_CHOICE,   /* unsigned: index into choices */
	OPTION_CUSTOM,   /* parse fills the field */
};

struct optional_string {
	bool given;
	const char *value; /* NULL: none */
};

struct option_spec {
	const char *name; /* without the dashes */
	char short_name;  /* 0: none */
	enum option_type type;
	const char *metavar;        /* "SIZE[KMGT]"; NULL for flags */
	const char *group;          /* heading in --help; same group: adjacent rows */
	const char *help;           /* one sentence or two, no line breaks */
	size_t field;               /* offsetof in the struct that is filled */
	uint64_t min, max;          /* NUMBER, SIZE */
	const char *const *choices; /* CHOICE: NULL-terminated */
	/* CUSTOM: 0, or an explanation of what is wrong and what to write instead, put into err. */
	int (*parse)(const char *value, void *field, struct error *err);
	/* FLAG, OPTIONAL: why it is not to be given twice; NULL: once more says the same again. */
	const char *once;
};

struct option_table {
	const struct option_spec *specs; /* ends with name NULL */
	const char *operand;             /* "KERNEL"; NULL: none is taken */
	size_t operand_field;            /* const char *; at most one operand */
};

/* Fills *target, which holds the defaults, from argv[0..argc) (no program name). Strings point into
 * argv. -EINVAL: err names the option, what is wrong, and the nearest option for an unknown one. */
VMGUI_MUST_USE int options_parse(const struct option_table *table, int argc, char *const *argv,
	void *target, struct error *err);

void options_print_help(const struct option_table *table, FILE *out, unsigned columns);
void options_print_man(const struct option_table *table, FILE *out);
void options_print_bash_completion(
	const struct option_table *table, const char *const *commands, FILE *out);

/* The word of a NULL-terminated list that is nearest to word (edit distance at most a third of its
 * length and one; the beginning of a word is near to it), or NULL. */
const char *options_nearest(const char *word, const char *const *words);

#endif

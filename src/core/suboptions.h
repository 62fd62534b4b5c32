/* The value of an option that is a list: "IMAGE,ro,format=qcow2".
 *
 * Items are separated by commas; a comma that belongs to an item is written twice. Threads: main,
 * at start-up. */
#ifndef VMGUI_CORE_SUBOPTIONS_H
#define VMGUI_CORE_SUBOPTIONS_H

#include "core/error.h"
#include "core/util.h"

enum suboption_type {
	SUBOPTION_FLAG,   /* bool: "ro", "ro=on", "ro=off" */
	SUBOPTION_STRING, /* const char *, not empty; points into the list's text */
	SUBOPTION_CHOICE, /* unsigned: index into choices */
};

struct suboption_spec {
	const char *name;
	enum suboption_type type;
	size_t field;               /* offsetof in the struct that is filled */
	const char *const *choices; /* CHOICE: NULL-terminated */
};

/* Splits a copy of value, which the caller frees (*text): its first item, which has no name and is
 * not empty, becomes *first; the others fill *target by specs (ends with name NULL). -EINVAL: err
 * begins with "--option value: " and says what is wrong and what can be written; -ENOMEM. On
 * failure *text is NULL. */
VMGUI_MUST_USE int suboptions_parse(const char *option, const char *value,
	const struct suboption_spec *specs, void *target, const char **first, char **text,
	struct error *err);

#endif

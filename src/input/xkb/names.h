/* Names of layouts: what people write, and which there are. Threads: any. */
#ifndef VMGUI_INPUT_XKB_NAMES_H
#define VMGUI_INPUT_XKB_NAMES_H

#include <xkbcommon/xkbcommon.h>

#include "core/util.h"

struct layout_name {
	char layout[32], variant[32]; /* variant "": the usual one */
};

/* False: it cannot be a name at all. */
bool layout_name_parse(const char *text, struct layout_name *name);
/* "us", "us(dvorak)". */
void layout_name_format(const struct layout_name *name, char *text, size_t bytes);
/* One line on names near to one that does not exist, and on how to write them; "" if this host has
 * no list. known: whether the layout exists and only its variant does not. */
void layout_name_suggest(struct xkb_context *context, const struct layout_name *name, bool known,
	char *text, size_t bytes);

#endif

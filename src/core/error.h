/* One-line errors for the user, carried up from where they are understood to main, which prints
 * them. The text is "what was asked: what is wrong (what to do)" without the "vmgui: " before it.
 */
#ifndef VMGUI_CORE_ERROR_H
#define VMGUI_CORE_ERROR_H

#include "core/util.h"

struct error {
	char text[512]; /* empty: none; always NUL-terminated, one line */
};

/* Formats the text (line breaks and control characters become '?') and returns -errnum, so that a
 * caller can write "return error_set(err, EINVAL, ...)". err may be NULL. errnum is positive. */
int error_set(struct error *err, int errnum, const char *format, ...) VMGUI_PRINTF(3, 4);

#endif

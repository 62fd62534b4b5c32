#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *err, int errnum, const char *format, ...)
{
	va_list arguments;

	if (!err)
		return -errnum;
	va_start(arguments, format);
	vsnprintf(err->text, sizeof(err->text), format, arguments);
	va_end(arguments);
	/* File names and guest data come in here; a message stays one line whatever they hold. */
	for (char *c = err->text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return -errnum;
}

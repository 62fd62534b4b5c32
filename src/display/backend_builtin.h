/* The displays that are part of the program itself; the others are modules. For the registry. */
#ifndef VMGUI_DISPLAY_BACKEND_BUILTIN_H
#define VMGUI_DISPLAY_BACKEND_BUILTIN_H

#include "display/backend.h"

extern const struct display_backend_ops backend_null_ops;
extern const struct display_backend_ops backend_png_ops;

#endif

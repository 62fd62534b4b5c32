/* Parts of vmgui that are loaded only when a run needs them, each a shared object vmgui-NAME.so:
 * display backends that pull in a toolkit, the decompressors.
 *
 * Looked for in $VMGUI_MODULE_DIR (not in a set-id process), beside the running program (the build
 * tree), in the library folder of the installation that the program stands in, and in the one that
 * was configured. A module belongs to the program that it was built with: another version's is
 * refused.
 *
 * A module's undefined symbols are resolved by the program, which exports its own.
 *
 * Threads: any. To be called before privileges are dropped or the root changed. */
#ifndef VMGUI_CORE_MODULE_H
#define VMGUI_CORE_MODULE_H

#include "core/error.h"
#include "core/util.h"

struct module;

/* Stands once in each module. */
#define MODULE_DEFINE()                                                                            \
	extern const char vmgui_module_version[];                                                  \
	const char vmgui_module_version[] = VMGUI_VERSION

/* name is "sdl", "unpack", ... -ENOENT: no such module is installed; -ENOEXEC: it is there, but
 * cannot be loaded (a library that it needs is missing, another version). */
VMGUI_MUST_USE int module_open(const char *name, struct module **module, struct error *err);
/* The address of what the module exports under that name; -ENOEXEC if it does not. */
VMGUI_MUST_USE int module_symbol(
	struct module *module, const char *symbol, void **address, struct error *err);
/* NULL is fine. Nothing of the module may be in use any more. */
void module_close(struct module *module);

#endif

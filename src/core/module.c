/* Finds and loads vmgui-NAME.so; see module.h. Threads: any. */
#include "core/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct module {
	void *handle;
	char name[32];
};

static int load(const char *name, const char *path, struct module **module, struct error *err)
{
	struct module *loaded;
	const char *version;
	void *handle;

	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return error_set(err, ENOEXEC, "module '%s': %s (is its library installed?)", name,
			dlerror());
	version = dlsym(handle, "vmgui_module_version");
	if (!version || strcmp(version, VMGUI_VERSION) != 0) {
		dlclose(handle);
		return error_set(err, ENOEXEC,
			"module '%s': %s is of another version than vmgui " VMGUI_VERSION
			" (install both from one build)",
			name, path);
	}
	loaded = calloc(1, sizeof(*loaded));
	if (!loaded) {
		dlclose(handle);
		return error_set(err, ENOMEM, "module '%s': out of memory", name);
	}
	loaded->handle = handle;
	snprintf(loaded->name, sizeof(loaded->name), "%s", name);
	*module = loaded;
	return 0;
}

/* The folder of the running program, or "" where /proc does not tell. */
static void program_folder(char folder[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
	char *slash;

	folder[length > 0 ? length : 0] = '\0';
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
}

int module_open(const char *name, struct module **module, struct error *err)
{
	const char *env = secure_getenv("VMGUI_MODULE_DIR");
	char program[PATH_MAX], path[PATH_MAX + 128];

	*module = NULL;
	program_folder(program);
	for (int place = 0; place < 4; place++) {
		int length = 0;

		switch (place) {
		case 0:
			if (env && *env)
				length = snprintf(path, sizeof(path), "%s/vmgui-%s.so", env, name);
			break;
		case 1:
			if (*program)
				length = snprintf(
					path, sizeof(path), "%s/vmgui-%s.so", program, name);
			break;
		case 2:
			if (*program)
				length = snprintf(path, sizeof(path),
					"%s/../" VMGUI_LIBDIR "/vmgui/vmgui-%s.so", program, name);
			break;
		default:
			length =
				snprintf(path, sizeof(path), VMGUI_MODULE_DIR "/vmgui-%s.so", name);
		}
		if (length <= 0 || (size_t)length >= sizeof(path) || access(path, F_OK) != 0)
			continue;
		return load(name, path, module, err);
	}
	return error_set(err, ENOENT,
		"module '%s': vmgui-%s.so is not installed (looked beside the program and in %s)",
		name, name, VMGUI_MODULE_DIR);
}

int module_symbol(struct module *module, const char *symbol, void **address, struct error *err)
{
	*address = dlsym(module->handle, symbol);
	if (!*address)
		return error_set(
			err, ENOEXEC, "module '%s': it does not define %s", module->name, symbol);
	return 0;
}

/* LeakSanitizer looks when all is over, and takes for lost what only a library's statics point to
 * if that library has been unloaded. */
#if defined(__SANITIZE_ADDRESS__)
#define UNLOADS false
#elif defined(__has_feature)
#define UNLOADS (!__has_feature(address_sanitizer))
#else
#define UNLOADS true
#endif

void module_close(struct module *module)
{
	if (!module)
		return;
	if (UNLOADS)
		dlclose(module->handle);
	free(module);
}

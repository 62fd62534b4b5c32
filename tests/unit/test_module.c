/* Finding modules. */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/module.h"

static void module_open_unknown_name_says_where_it_looked(void **state)
{
	struct error err = { "" };
	struct module *module;

	(void)state;
	assert_int_equal(module_open("no-such", &module, &err), -ENOENT);
	assert_null(module);
	assert_non_null(strstr(err.text, "vmgui-no-such.so"));
}

static void module_symbol_unknown_is_refused(void **state)
{
	struct error err = { "" };
	struct module *module;
	void *address;

	(void)state;
	assert_int_equal(module_open("unpack", &module, &err), 0);
	assert_int_equal(module_symbol(module, "no_such_symbol", &address, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "no_such_symbol"));
	module_close(module);
	module_close(NULL);
}

static void module_open_damaged_file_is_refused(void **state)
{
	char folder[] = "/tmp/vmgui-test-XXXXXX", path[64];
	struct error err = { "" };
	struct module *module;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/vmgui-unpack.so", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("not a shared object", file);
	fclose(file);
	setenv("VMGUI_MODULE_DIR", folder, 1);
	assert_int_equal(module_open("unpack", &module, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "unpack"));
	unsetenv("VMGUI_MODULE_DIR");
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(module_open_unknown_name_says_where_it_looked),
		cmocka_unit_test(module_symbol_unknown_is_refused),
		cmocka_unit_test(module_open_damaged_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The null display passes what every display must pass; and the registry and threads around it. */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "display/backend.h"
#include "display_conformance.h"

static void backend_unknown_name_is_refused(void **state)
{
	const struct display_host host = { .guest_name = "test" };
	struct display_backend *backend;
	struct error err;

	(void)state;
	assert_int_equal(backend_create("hologram", &host, &backend, &err), -ENOENT);
	assert_non_null(strstr(err.text, "hologram"));
}

static void backend_failed_init_is_reported_and_may_be_repeated(void **state)
{
	struct display_host host = { .guest_name = "test", .surface = surface_create() };
	struct display_backend *backend;
	struct error err;

	(void)state;
	assert_int_equal(backend_create("null", &host, &backend, &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(backend_start(backend, "an argument", &err), -EINVAL);
		assert_non_null(strstr(err.text, "an argument"));
	}
	assert_int_equal(backend_start(backend, NULL, &err), 0);
	assert_int_equal(backend_start(backend, NULL, &err), -EBUSY);
	backend_destroy(backend); /* stops it */
	surface_destroy(host.surface);
}

static void backend_registry_names_are_unique_and_described(void **state)
{
	(void)state;
	for (const struct backend_info *a = backend_registry; a->name; a++) {
		assert_int_not_equal(a->description[0], '\0');
		assert_true(a->module == !a->ops);
		if (a->ops)
			assert_string_equal(a->ops->name, a->name);
		for (const struct backend_info *b = a + 1; b->name; b++)
			assert_string_not_equal(a->name, b->name);
	}
}

int main(void)
{
	const struct display_conformance null = { .backend = "null", .wrong_argument = "nonsense" };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backend_unknown_name_is_refused),
		cmocka_unit_test(backend_failed_init_is_reported_and_may_be_repeated),
		cmocka_unit_test(backend_registry_names_are_unique_and_described),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + display_conformance_run(&null);
}

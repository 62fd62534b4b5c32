/* The desktop's session bus: where it is, whether it answers. */
#include "display/session_bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_all.h"

#define VARIABLE "DBUS_SESSION_BUS_ADDRESS"

static char folder[] = "/tmp/vmgui-test-XXXXXX";

static int setup(void **state)
{
	(void)state;
	unsetenv(VARIABLE);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	return 0;
}

/* A socket that takes calls and says nothing. */
static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void session_bus_that_is_nowhere_is_looked_for_no_more(void **state)
{
	struct error err;

	(void)state;
	session_bus_settle();
	assert_string_equal(getenv(VARIABLE), "disabled:");
	assert_int_equal(session_bus_check("test", &err), 0);
	unsetenv("XDG_RUNTIME_DIR");
	setenv(VARIABLE, "", 1);
	session_bus_settle();
	assert_string_equal(getenv(VARIABLE), "disabled:");
}

static void session_bus_that_is_named_stays_as_it_is(void **state)
{
	(void)state;
	setenv(VARIABLE, "unix:path=/nowhere", 1);
	session_bus_settle();
	assert_string_equal(getenv(VARIABLE), "unix:path=/nowhere");
}

static void session_bus_in_its_usual_place_is_left_to_the_toolkits(void **state)
{
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/bus", folder);
	fd = listen_at(path);
	session_bus_settle();
	assert_null(getenv(VARIABLE));
	close(fd);
	unlink(path);
}

static void session_bus_that_says_nothing_is_an_error(void **state)
{
	struct error err = { "" };
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/bus", folder);
	fd = listen_at(path);
	assert_int_equal(session_bus_check("test", &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "test: the session bus does not answer"));
	close(fd);
	/* Nobody listens any more: a toolkit notices by itself. */
	assert_int_equal(session_bus_check("test", &err), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(session_bus_that_is_nowhere_is_looked_for_no_more, setup),
		cmocka_unit_test_setup(session_bus_that_is_named_stays_as_it_is, setup),
		cmocka_unit_test_setup(
			session_bus_in_its_usual_place_is_left_to_the_toolkits, setup),
		cmocka_unit_test_setup(session_bus_that_says_nothing_is_an_error, setup),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

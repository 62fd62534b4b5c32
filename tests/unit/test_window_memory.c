/* What windows remember from run to run. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "display/window_memory.h"

static char folder[] = "/tmp/vmgui-memory-XXXXXX";

static const struct window_memory fitted = {
	.width = 900, .height = 700, .scale = DISPLAY_SCALE_FIT, .scale_percent = 100
};
static const struct window_memory enlarged = {
	.width = 1600, .height = 1200, .scale = DISPLAY_SCALE_FIXED, .scale_percent = 150
};

static void in_folder(const char *name, char path[128])
{
	snprintf(path, 128, "%s/vmgui/%s", folder, name);
}

static int forget(void **state)
{
	char path[128];

	(void)state;
	in_folder("windows", path);
	(void)unlink(path);
	return 0;
}

static void write_file(const char *text, size_t length)
{
	char path[128];
	FILE *file;

	in_folder("windows", path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	fclose(file);
}

static void assert_remembered(const char *name, const struct window_memory *expected)
{
	struct window_memory memory = { 0 };

	assert_true(window_memory_load(name, &memory));
	assert_int_equal(memory.width, expected->width);
	assert_int_equal(memory.height, expected->height);
	assert_int_equal(memory.scale, expected->scale);
	assert_int_equal(memory.scale_percent, expected->scale_percent);
}

static void memory_each_guest_has_its_own(void **state)
{
	const struct window_memory whole = {
		.width = 640, .height = 480, .scale = DISPLAY_SCALE_INTEGER, .scale_percent = 100
	};
	struct window_memory untouched = enlarged;

	(void)state;
	window_memory_save("debian", &fitted);
	window_memory_save("win-xp.1", &enlarged);
	window_memory_save("third", &whole);
	assert_remembered("debian", &fitted);
	assert_remembered("win-xp.1", &enlarged);
	assert_remembered("third", &whole);
	assert_false(window_memory_load("debia", &untouched));
	assert_false(window_memory_load("debian2", &untouched));
	assert_int_equal(untouched.scale_percent, 150);
	window_memory_save("debian", &enlarged);
	assert_remembered("debian", &enlarged);
	assert_remembered("third", &whole);
}

static void memory_unnamed_guests_leave_nothing(void **state)
{
	struct window_memory memory;
	char name[64], path[128];

	(void)state;
	snprintf(name, sizeof(name), "guest-%ld", (long)getpid());
	window_memory_save(name, &fitted);
	window_memory_save("two words", &fitted);
	window_memory_save("a\nline 1x1 fit", &fitted);
	window_memory_save("", &fitted);
	in_folder("windows", path);
	assert_int_equal(access(path, F_OK), -1);
	assert_false(window_memory_load(name, &memory));
}

static void memory_nonsense_in_the_file_is_passed_over(void **state)
{
	static const char text[] = "\n\n one\nbad 0x600 fit\nbad 800x600 24%\nbad 800x600 801%\n"
				   "bad 800x600 150\nbad 800x600 fit more\nbad 20000x600 fit\n"
				   "bad -1x-1 fit\nbad 800x600 150%%\nbad x fit\n"
				   "good 1600x1200 150%\nbad 99999999999x1 fit\nlast 900x700 fit";
	struct window_memory memory;

	(void)state;
	window_memory_save("first", &fitted);
	write_file(text, sizeof(text) - 1);
	assert_false(window_memory_load("bad", &memory));
	assert_remembered("good", &enlarged);
	assert_remembered("last", &fitted);
	window_memory_save("new", &fitted);
	assert_remembered("good", &enlarged);
	assert_remembered("last", &fitted);
	/* A file with zeros, and one far too long. */
	write_file("\0\0\0", 3);
	assert_false(window_memory_load("good", &memory));
	{
		static char much[1 << 20];

		memset(much, 'a', sizeof(much));
		write_file(much, sizeof(much));
	}
	assert_false(window_memory_load("good", &memory));
	window_memory_save("good", &enlarged);
	assert_remembered("good", &enlarged);
}

static void memory_keeps_only_the_last_guests(void **state)
{
	struct window_memory memory;
	struct stat st;
	char name[80], path[128];

	(void)state;
	for (int i = 0; i < WINDOW_MEMORY_MAX_GUESTS + 20; i++) {
		snprintf(name, sizeof(name), "%060d", i); /* the longest lines there are */
		window_memory_save(name, &enlarged);
	}
	for (int i = 0; i < WINDOW_MEMORY_MAX_GUESTS + 20; i++) {
		snprintf(name, sizeof(name), "%060d", i);
		assert_int_equal(window_memory_load(name, &memory), i >= 20);
	}
	in_folder("windows", path);
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 1, 16384);
	assert_int_equal(st.st_mode & 0777, 0600);
	in_folder("", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void memory_two_at_once_lose_nothing(void **state)
{
	char name[32];

	(void)state;
	for (int child = 0; child < 4; child++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < 10; i++) {
			snprintf(name, sizeof(name), "child%d-%d", child, i);
			window_memory_save(name, &fitted);
		}
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "child%d-%d", i / 10, i % 10);
		assert_remembered(name, &fitted);
	}
}

static void memory_without_a_place_does_nothing(void **state)
{
	struct window_memory memory;

	(void)state;
	setenv("XDG_STATE_HOME", "/proc/none", 1);
	window_memory_save("debian", &fitted);
	assert_false(window_memory_load("debian", &memory));
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", folder, 1);
	window_memory_save("debian", &fitted);
	assert_remembered("debian", &fitted);
	unsetenv("HOME");
	assert_false(window_memory_load("debian", &memory));
	setenv("XDG_STATE_HOME", folder, 1);
}

/* sudo may keep HOME; what root made there its owner could not change. */
static void memory_makes_nothing_in_the_home_of_another(void **state)
{
	char path[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/home", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, 65534, 65534), 0);
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", path, 1);
	window_memory_save("debian", &fitted);
	unsetenv("HOME");
	setenv("XDG_STATE_HOME", folder, 1);
	assert_int_equal(rmdir(path), 0); /* it is empty */
}

static int clean_up(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, forget)
		TEST(memory_each_guest_has_its_own),
		TEST(memory_unnamed_guests_leave_nothing),
		TEST(memory_nonsense_in_the_file_is_passed_over),
		TEST(memory_keeps_only_the_last_guests),
		TEST(memory_two_at_once_lose_nothing),
		TEST(memory_without_a_place_does_nothing),
		TEST(memory_makes_nothing_in_the_home_of_another),
	};

	if (!mkdtemp(folder))
		return 1;
	setenv("XDG_STATE_HOME", folder, 1);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}

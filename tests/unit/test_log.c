/* core/log and core/error: one line whatever is in it, levels, and a limit that threads share. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/error.h"
#include "core/log.h"

/* stderr goes into a file between these two; the text is static. */
static FILE *captured;
static int real_stderr;

static void capture_begin(void)
{
	captured = tmpfile();
	assert_non_null(captured);
	real_stderr = dup(STDERR_FILENO);
	assert_true(real_stderr >= 0);
	assert_true(dup2(fileno(captured), STDERR_FILENO) >= 0);
}

static const char *capture_end(void)
{
	static char text[1 << 18];
	ssize_t length;

	assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
	close(real_stderr);
	length = pread(fileno(captured), text, sizeof(text) - 1, 0);
	assert_true(length >= 0);
	text[length] = 0;
	fclose(captured);
	return text;
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_INFO);
	return 0;
}

static void log_levels_and_prefixes(void **state)
{
	(void)state;
	assert_true(log_enabled(LOG_INFO));
	assert_false(log_enabled(LOG_DEBUG));
	capture_begin();
	log_error("pci", "one %d", 1);
	log_warn("pci", "two");
	log_info("pci", "three");
	log_debug("pci", "four");
	log_set_level(LOG_TRACE);
	log_debug("pci", "five");
	log_message(LOG_TRACE, "pci", "six");
	log_set_level(LOG_ERROR);
	log_warn("pci", "seven");
	assert_string_equal(capture_end(), "vmgui: one 1\nvmgui: warning: two\nvmgui: three\n"
					   "vmgui: debug: pci: five\nvmgui: trace: pci: six\n");
}

static void log_debug_evaluates_nothing_when_off(void **state)
{
	unsigned evaluated = 0;

	(void)state;
	log_debug("x", "%u", ++evaluated);
	log_guest("x", "%u", ++evaluated);
	assert_int_equal(evaluated, 0);
}

static void log_message_is_one_line(void **state)
{
	(void)state;
	capture_begin();
	log_error("x", "a\nb\rc\td\x1b[2Je\x7f"
		       "f");
	log_error("x", "%s", "gr\xc3\xbc\xc3\x9f"); /* UTF-8 stays */
	assert_string_equal(capture_end(), "vmgui: a?b?c?d?[2Je?f\nvmgui: gr\xc3\xbc\xc3\x9f\n");
}

static void log_long_message_is_cut_and_ended(void **state)
{
	char *text = malloc(5000);
	const char *line;

	(void)state;
	assert_non_null(text);
	for (size_t length = 900; length < 4900; length += length < 1100 ? 1 : 500) {
		memset(text, 'a', length);
		text[length] = 0;
		capture_begin();
		log_error("x", "%s", text);
		line = capture_end();
		assert_true(strlen(line) <= 1024);
		assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
		if (length < 1000)
			assert_int_equal(strlen(line), length + strlen("vmgui: \n"));
	}
	free(text);
}

static void log_message_keeps_errno(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	close(STDERR_FILENO);
	errno = ERANGE;
	log_error("x", "nobody hears this");
	assert_int_equal(errno, ERANGE);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

#define THREADS 8
#define LINES   200

static void *write_lines(void *opaque)
{
	const char *letter = opaque;

	for (unsigned i = 0; i < LINES; i++)
		log_error("x", "%.40s", letter);
	return NULL;
}

static void log_lines_of_threads_do_not_mix(void **state)
{
	static char texts[THREADS][41];
	pthread_t threads[THREADS];
	const char *text;
	unsigned lines = 0;

	(void)state;
	capture_begin();
	/* As stderr of a program mostly is: several writers, each at the end. */
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_APPEND), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		memset(texts[i], 'a' + (int)i, 40);
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, texts[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (text = capture_end(); *text; text += 48, lines++) {
		assert_memory_equal(text, "vmgui: ", 7);
		for (unsigned i = 1; i < 40; i++)
			assert_int_equal(text[7 + i], text[7]);
		assert_int_equal(text[47], '\n');
	}
	assert_int_equal(lines, THREADS * LINES);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What a limit does within one second: whether it let the call pass, and what it had dropped. */
struct limited {
	bool passed;
	unsigned dropped;
};

/* Calls the limit 1000 times, then twice after each of the two steps of its clock. False: the
 * machine stood still meanwhile, and seconds really went by. */
static bool use_limit_in_no_time(unsigned *passed, struct limited then[4])
{
	static const uint64_t steps_ns[] = { 1000000000u, 3600ull * 1000000000u };
	struct log_limit limit = { 0 };
	const uint64_t begin = now_ms();
	unsigned dropped;

	*passed = 0;
	for (unsigned i = 0; i < 1000; i++) {
		*passed += log_limit_pass(&limit, &dropped);
		assert_int_equal(dropped, 0);
	}
	for (size_t i = 0; i < 4; i++) {
		if (i % 2 == 0)
			atomic_fetch_sub(&limit.window_ns, steps_ns[i / 2]);
		then[i].passed = log_limit_pass(&limit, &then[i].dropped);
	}
	return now_ms() - begin < 900;
}

static void log_limit_lets_ten_through(void **state)
{
	struct limited then[4];
	unsigned passed;

	(void)state;
	while (!use_limit_in_no_time(&passed, then))
		;
	assert_int_equal(passed, 10);
	/* As if a second had gone by. */
	assert_true(then[0].passed);
	assert_int_equal(then[0].dropped, 990);
	assert_false(then[1].passed);
	/* A quiet hour later it is one a second still, not a burst. */
	assert_true(then[2].passed);
	assert_int_equal(then[2].dropped, 1);
	assert_false(then[3].passed);
}

static void log_limit_survives_a_clock_behind_the_window(void **state)
{
	unsigned dropped;
	uint64_t begin;
	bool passes;

	(void)state;
	do {
		struct log_limit limit = { 0 };

		begin = now_ms();
		for (unsigned i = 0; i < 20; i++)
			(void)log_limit_pass(&limit, &dropped);
		/* Another thread has moved the window past what this one's clock says. */
		atomic_fetch_add(&limit.window_ns, 5000000u);
		passes = log_limit_pass(&limit, &dropped);
	} while (now_ms() - begin >= 900); /* the machine stood still: another second */
	assert_false(passes);
}

struct limit_user {
	struct log_limit *limit;
	unsigned passed, dropped;
};

static void *use_limit(void *opaque)
{
	struct limit_user *user = opaque;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned dropped;

		user->passed += log_limit_pass(user->limit, &dropped);
		user->dropped += dropped;
	}
	return NULL;
}

static void log_limit_is_shared_by_threads(void **state)
{
	struct log_limit limit = { 0 };
	struct limit_user users[THREADS];
	pthread_t threads[THREADS];
	unsigned passed = 0, dropped = 0, seconds;
	struct timespec begin, end;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned i = 0; i < THREADS; i++) {
		users[i] = (struct limit_user){ .limit = &limit };
		assert_int_equal(pthread_create(&threads[i], NULL, use_limit, &users[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		passed += users[i].passed;
		dropped += users[i].dropped;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (unsigned)(end.tv_sec - begin.tv_sec) + 1;
	assert_in_range(passed, 10, 10 + seconds);
	assert_int_equal(passed + dropped + atomic_load(&limit.dropped), THREADS * 20000);
}

static void log_guest_says_how_many_were_left_out(void **state)
{
	const char *text;
	const uint64_t begin = now_ms();
	unsigned lines = 0;

	(void)state;
	log_set_level(LOG_DEBUG);
	capture_begin();
	for (unsigned i = 0; i < 50; i++)
		log_guest("x", "guest %u", i);
	for (text = capture_end(); (text = strchr(text, '\n')); text++)
		lines++;
	assert_in_range(lines, 10, 12 + (now_ms() - begin) / 1000);
}

static void error_is_one_line_with_its_number(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set(&err, ENOENT, "%s: %s", "a\nb\x1b", "gone"), -ENOENT);
	assert_string_equal(err.text, "a?b?: gone");
	assert_int_equal(error_set(NULL, EIO, "%s", "nobody asks"), -EIO);
}

static void error_long_text_is_cut(void **state)
{
	struct error err;
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(error_set(&err, EINVAL, "%s", text), -EINVAL);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static char hooked[256];

static void on_error(const char *text)
{
	snprintf(hooked, sizeof(hooked), "%s", text);
}

static void log_error_hook_gets_errors_and_nothing_else(void **state)
{
	(void)state;
	hooked[0] = '\0';
	log_set_error_hook(on_error);
	capture_begin();
	log_warn("run", "a warning");
	assert_string_equal(hooked, "");
	log_error("run", "--disk %s: gone", "a.img");
	log_info("run", "later");
	assert_string_equal(hooked, "--disk a.img: gone");
	log_set_error_hook(NULL);
	log_error("run", "after the hook");
	assert_string_equal(hooked, "--disk a.img: gone");
	assert_string_equal(capture_end(), "vmgui: warning: a warning\nvmgui: --disk a.img: gone\n"
					   "vmgui: later\nvmgui: after the hook\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(log_error_hook_gets_errors_and_nothing_else),
		TEST(log_levels_and_prefixes),
		TEST(log_debug_evaluates_nothing_when_off),
		TEST(log_message_is_one_line),
		TEST(log_long_message_is_cut_and_ended),
		TEST(log_message_keeps_errno),
		TEST(log_lines_of_threads_do_not_mix),
		TEST(log_limit_lets_ten_through),
		TEST(log_limit_survives_a_clock_behind_the_window),
		TEST(log_limit_is_shared_by_threads),
		TEST(log_guest_says_how_many_were_left_out),
		TEST(error_is_one_line_with_its_number),
		TEST(error_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

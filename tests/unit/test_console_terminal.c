/* The serial console on stdin and stdout: pipes, files, and a pseudo-terminal in raw mode. */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/console_terminal.h"

/* A device's end that takes `room` bytes and remembers what came; a break is recorded as '!'. */
struct fixture {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char got[300000];
	size_t got_count, room;
	unsigned quits, writables;
	unsigned cols, rows, sizes;

	struct char_device device;
	struct vm_control control;
	struct console_terminal *console;
	const struct char_host *host;
	int in[2], out[2]; /* pipes: the test's ends are in[1] and out[0] */
	int master, slave;
};

static size_t device_receive(void *opaque, const uint8_t *data, size_t length)
{
	struct fixture *f = opaque;
	pthread_mutex_lock(&f->lock);
	size_t n = length < f->room ? length : f->room;
	memcpy(f->got + f->got_count, data, n);
	f->got_count += n;
	f->room -= n;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void device_writable(void *opaque)
{
	struct fixture *f = opaque;
	pthread_mutex_lock(&f->lock);
	f->writables++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void device_break(void *opaque)
{
	device_receive(opaque, (const uint8_t *)"!", 1);
}

static void device_resized(void *opaque, unsigned cols, unsigned rows)
{
	struct fixture *f = opaque;
	pthread_mutex_lock(&f->lock);
	f->cols = cols;
	f->rows = rows;
	f->sizes++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void request_quit(void *opaque)
{
	struct fixture *f = opaque;
	pthread_mutex_lock(&f->lock);
	f->quits++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static unsigned count_quits(struct fixture *f)
{
	unsigned quits;

	pthread_mutex_lock(&f->lock);
	quits = f->quits;
	pthread_mutex_unlock(&f->lock);
	return quits;
}

static size_t count_got(struct fixture *f)
{
	size_t count;
	pthread_mutex_lock(&f->lock);
	count = f->got_count;
	pthread_mutex_unlock(&f->lock);
	return count;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	f->room = sizeof(f->got);
	f->device = (struct char_device){
		.receive = device_receive,
		.writable = device_writable,
		.receive_break = device_break,
		.resized = device_resized,
		.opaque = f,
	};
	f->control = (struct vm_control){ .request_quit = request_quit, .opaque = f };
	assert_int_equal(pipe(f->in), 0);
	assert_int_equal(pipe(f->out), 0);
	f->master = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(f->master >= 0);
	assert_int_equal(grantpt(f->master), 0);
	assert_int_equal(unlockpt(f->master), 0);
	f->slave = open(ptsname(f->master), O_RDWR | O_NOCTTY);
	assert_true(f->slave >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	console_terminal_destroy(f->console);
	const int fds[] = { f->in[0], f->in[1], f->out[0], f->out[1], f->master, f->slave };
	for (size_t i = 0; i < array_size(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static void begin(struct fixture *f, int in_fd, int out_fd)
{
	const struct console_terminal_config config = {
		.in_fd = in_fd, .out_fd = out_fd, .device = &f->device, .control = &f->control
	};
	struct error err = { "" };
	assert_int_equal(console_terminal_create(&config, &f->console, &err), 0);
	f->host = console_terminal_char_host(f->console);
	assert_int_equal(console_terminal_start(f->console, &err), 0);
}

static void type(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static size_t emit(struct fixture *f, const char *text)
{
	return f->host->write(f->host->opaque, (const uint8_t *)text, strlen(text));
}

static struct timespec in_seconds(int seconds)
{
	struct timespec limit;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += seconds;
	return limit;
}

static void expect_got(struct fixture *f, const char *text)
{
	struct timespec limit = in_seconds(60);
	pthread_mutex_lock(&f->lock);
	while (f->got_count < strlen(text))
		if (pthread_cond_timedwait(&f->changed, &f->lock, &limit))
			break;
	assert_int_equal(f->got_count, strlen(text));
	assert_memory_equal(f->got, text, strlen(text));
	pthread_mutex_unlock(&f->lock);
}

static void expect_count(struct fixture *f, const unsigned *counter, unsigned count)
{
	struct timespec limit = in_seconds(60);
	pthread_mutex_lock(&f->lock);
	while (*counter < count)
		if (pthread_cond_timedwait(&f->changed, &f->lock, &limit))
			break;
	assert_int_equal(*counter, count);
	pthread_mutex_unlock(&f->lock);
}

static void expect_text(int fd, const char *text)
{
	char bytes[256];
	size_t n = 0, wanted = strlen(text);
	while (n < wanted) {
		struct pollfd input = { .fd = fd, .events = POLLIN };
		assert_int_equal(poll(&input, 1, 60000), 1);
		ssize_t got = read(fd, bytes + n, wanted - n);
		assert_true(got > 0);
		n += (size_t)got;
	}
	assert_memory_equal(bytes, text, wanted);
}

static bool is_raw(int fd)
{
	struct termios mode;
	assert_int_equal(tcgetattr(fd, &mode), 0);
	return !(mode.c_lflag & ICANON);
}

static void console_pipe_passes_bytes_both_ways(void **state)
{
	struct fixture *f = *state;
	begin(f, f->in[0], f->out[1]);
	type(f->in[1], "ab\x01x\x03\x03\x03\n"); /* no terminal: nothing is special */
	expect_got(f, "ab\x01x\x03\x03\x03\n");
	assert_int_equal(count_quits(f), 0);
	assert_int_equal(emit(f, "hello"), 5);
	expect_text(f->out[0], "hello");
}

static void console_pipe_end_of_input_keeps_output(void **state)
{
	struct fixture *f = *state;
	begin(f, f->in[0], f->out[1]);
	type(f->in[1], "last");
	close(f->in[1]);
	f->in[1] = -1;
	expect_got(f, "last");
	emit(f, "still here");
	expect_text(f->out[0], "still here");
}

static void console_input_from_a_file_is_read_as_the_device_takes_it(void **state)
{
	struct fixture *f = *state;
	char name[] = "/tmp/vmgui-test-XXXXXX", text[5001];
	int fd = mkstemp(name);
	unlink(name);
	memset(text, 'k', sizeof(text) - 1);
	text[5000] = 0;
	type(fd, text);
	lseek(fd, 0, SEEK_SET);
	f->room = 0;
	begin(f, fd, f->out[1]);
	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&f->lock);
		f->room = 100;
		size_t want = f->got_count + 100;
		pthread_mutex_unlock(&f->lock);
		f->host->resume_input(f->host->opaque);
		struct timespec limit = in_seconds(60);
		pthread_mutex_lock(&f->lock);
		while (f->got_count < want)
			assert_int_equal(pthread_cond_timedwait(&f->changed, &f->lock, &limit), 0);
		pthread_mutex_unlock(&f->lock);
	}
	expect_got(f, text);
	console_terminal_stop(f->console);
	close(fd);
}

static void console_dev_null_as_input_is_no_input(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/null", O_RDWR);
	begin(f, fd, fd);
	emit(f, "lost, and nobody minds");
	console_terminal_stop(f->console);
	assert_int_equal(f->got_count, 0);
	close(fd);
}

static void console_closed_descriptors_are_no_error(void **state)
{
	struct fixture *f = *state;
	begin(f, 977, 978);
	assert_int_equal(emit(f, "x"), 1);
}

static void console_stdout_without_reader_discards(void **state)
{
	struct fixture *f = *state;
	begin(f, f->in[0], f->out[1]);
	close(f->out[0]);
	f->out[0] = -1;
	for (int i = 0; i < 600000; i += 600) { /* more than the ring */
		char text[601];
		memset(text, 'x', 600);
		text[600] = 0;
		size_t n = emit(f, text);
		if (n < 600) { /* full before the thread had a chance to see EPIPE */
			expect_count(f, &f->writables, 1);
			break;
		}
	}
	type(f->in[1], "alive");
	expect_got(f, "alive");
}

static void console_stuck_reader_holds_the_device_back_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	begin(f, f->in[0], f->out[1]);
	size_t sent = 0;
	uint8_t bytes[1000];
	for (;;) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)((sent + i) % 251);
		size_t n = f->host->write(f->host->opaque, bytes, sizeof(bytes));
		sent += n;
		if (n < sizeof(bytes) && sent > 300000)
			break;
		if (n < sizeof(bytes)) {
			struct timespec pause = { .tv_nsec = 1000000 };
			nanosleep(&pause, NULL);
		}
	}
	assert_true(sent < 400000);
	size_t seen = 0;
	bool told = false;
	while (seen < sent) {
		ssize_t n = read(f->out[0], bytes, sizeof(bytes));
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], (seen + (size_t)i) % 251);
		seen += (size_t)n;
		pthread_mutex_lock(&f->lock);
		told = f->writables > 0;
		pthread_mutex_unlock(&f->lock);
	}
	if (!told)
		expect_count(f, &f->writables, 1);
}

static void console_stop_drains_to_a_reader(void **state)
{
	struct fixture *f = *state;
	begin(f, f->in[0], f->out[1]);
	for (int i = 0; i < 1000; i++)
		emit(f, "0123456789");
	console_terminal_stop(f->console);
	static char bytes[10001];
	size_t n = 0;
	while (n < 10000)
		n += (size_t)read(f->out[0], bytes + n, 10000 - n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], '0' + (int)(i % 10));
}

static void console_stop_gives_up_on_a_stuck_reader(void **state)
{
	struct fixture *f = *state;
	struct timespec start, end;
	begin(f, f->in[0], f->out[1]);
	for (int i = 0; i < 20000; i++)
		emit(f, "0123456789");
	clock_gettime(CLOCK_MONOTONIC, &start);
	console_terminal_stop(f->console);
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* Without end, but for a mistake. */
	assert_in_range(end.tv_sec - start.tv_sec, 0, 30);
}

static void console_leaves_the_flags_of_stdout_alone(void **state)
{
	struct fixture *f = *state;
	int before = fcntl(f->out[1], F_GETFL);
	begin(f, f->in[0], f->out[1]);
	emit(f, "x");
	expect_text(f->out[0], "x");
	assert_int_equal(fcntl(f->out[1], F_GETFL), before);
	assert_int_equal(fcntl(f->in[0], F_GETFL) & O_NONBLOCK, 0);
}

static void console_terminal_is_raw_while_it_runs(void **state)
{
	struct fixture *f = *state;
	struct termios before, after;
	tcgetattr(f->slave, &before);
	begin(f, f->slave, f->slave);
	assert_true(is_raw(f->slave));
	emit(f, "login: ");
	expect_text(f->master, "login: ");
	type(f->master, "r\x1b[A");
	expect_got(f, "r\x1b[A");
	console_terminal_stop(f->console);
	tcgetattr(f->slave, &after);
	assert_int_equal(before.c_lflag, after.c_lflag);
	assert_int_equal(before.c_iflag, after.c_iflag);
	assert_int_equal(before.c_oflag, after.c_oflag);
}

static void console_tells_the_size_of_the_terminal_and_when_it_changes(void **state)
{
	struct fixture *f = *state;
	struct winsize size = { .ws_col = 100, .ws_row = 30 };
	assert_int_equal(ioctl(f->master, TIOCSWINSZ, &size), 0);
	begin(f, f->slave, f->slave);
	expect_count(f, &f->sizes, 1);
	assert_int_equal(f->cols, 100);
	assert_int_equal(f->rows, 30);
	size.ws_col = 120;
	assert_int_equal(ioctl(f->master, TIOCSWINSZ, &size), 0);
	raise(SIGWINCH); /* it does not control us, so nobody else sends it */
	expect_count(f, &f->sizes, 2);
	assert_int_equal(f->cols, 120);
	/* Output and input do not ask again. */
	emit(f, "x");
	type(f->master, "y");
	expect_got(f, "y");
	console_terminal_stop(f->console);
	assert_int_equal(f->sizes, 2);
}

static void console_ctrl_a_x_quits(void **state)
{
	struct fixture *f = *state;
	begin(f, f->slave, f->slave);
	type(f->master, "a\x01");
	expect_got(f, "a");
	type(f->master, "x");
	expect_count(f, &f->quits, 1);
	expect_got(f, "a");
}

static void console_ctrl_a_x_quits_though_the_guest_reads_nothing(void **state)
{
	struct fixture *f = *state;
	char text[1001];
	memset(text, 'z', 1000);
	text[1000] = 0;
	f->room = 0;
	begin(f, f->slave, f->slave);
	type(f->master, text);
	type(f->master, "\x01x");
	expect_count(f, &f->quits, 1);
}

static void console_ctrl_a_sends_break_and_itself(void **state)
{
	struct fixture *f = *state;
	begin(f, f->slave, f->slave);
	type(f->master, "a\x01"
			"bh\x01\x01z");
	expect_got(f, "a!h\x01z");
}

static void console_ctrl_a_h_helps(void **state)
{
	struct fixture *f = *state;
	begin(f, f->slave, f->slave);
	type(f->master, "\x01h");
	expect_text(f->master, "\r\r\nCtrl-A x ");
	assert_int_equal(f->got_count, 0);
}

static void console_three_ctrl_c_within_a_second_quit(void **state)
{
	struct fixture *f = *state;
	const struct timespec pause = { .tv_nsec = 1000000 }, second = { .tv_sec = 1 };
	struct timespec start, end;
	begin(f, f->slave, f->slave);
	/* On a busy machine they may take more than a second, and are the guest's. */
	for (int tries = 0; tries < 20 && !count_quits(f); tries++) {
		char text[64] = "";
		memset(text, 3, 3 * (size_t)tries + 2);
		clock_gettime(CLOCK_MONOTONIC, &start);
		type(f->master, "\x03\x03");
		expect_got(f, text);
		assert_int_equal(count_quits(f), 0);
		type(f->master, "\x03");
		while (!count_quits(f) && count_got(f) == strlen(text))
			nanosleep(&pause, NULL);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (!count_quits(f)) {
			assert_true(end.tv_sec > start.tv_sec);
			nanosleep(&second, NULL);
		}
	}
	expect_count(f, &f->quits, 1);
}

static void console_three_slow_ctrl_c_are_the_guests(void **state)
{
	struct fixture *f = *state;
	struct timespec pause = { .tv_nsec = 600000000 };
	begin(f, f->slave, f->slave);
	type(f->master, "\x03");
	expect_got(f, "\x03");
	nanosleep(&pause, NULL);
	type(f->master, "\x03");
	expect_got(f, "\x03\x03");
	nanosleep(&pause, NULL);
	type(f->master, "\x03");
	expect_got(f, "\x03\x03\x03");
	assert_int_equal(count_quits(f), 0);
}

static void console_sysrq_is_break_and_key(void **state)
{
	struct fixture *f = *state;
	begin(f, f->in[0], f->out[1]);
	console_terminal_send_sysrq(f->console, 'p');
	expect_got(f, "!p");
}

static void console_second_on_a_terminal_is_refused(void **state)
{
	struct fixture *f = *state;
	struct console_terminal *second;
	struct error err = { "" };
	const struct console_terminal_config config = {
		.in_fd = f->slave, .out_fd = f->out[1], .device = &f->device
	};
	begin(f, f->slave, f->slave);
	assert_int_equal(console_terminal_create(&config, &second, &err), 0);
	assert_int_equal(console_terminal_start(second, &err), -EBUSY);
	assert_string_not_equal(err.text, "");
	console_terminal_destroy(second);
	assert_true(is_raw(f->slave));
}

static void console_hung_up_terminal_is_survived(void **state)
{
	struct fixture *f = *state;
	begin(f, f->slave, f->slave);
	close(f->master);
	f->master = -1;
	emit(f, "into the void");
	console_terminal_stop(f->console);
}

/* Runs a child with the console on the terminal that then ends the way `how` says. */
static int die_with_console(struct fixture *f, int how)
{
	int ready[2];
	char byte;
	int status;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit no_core = { 0, 0 };
		setrlimit(RLIMIT_CORE, &no_core);
		close(2);
		const int numbers[] = { SIGSEGV, SIGABRT, SIGTERM };
		for (size_t i = 0; i < array_size(numbers); i++)
			signal(numbers[i], SIG_DFL); /* cmocka's and the sanitizers' */
		begin(f, f->slave, f->slave);
		if (write(ready[1], "r", 1) != 1)
			_exit(99);
		if (how == 0)
			exit(7);
		if (how == SIGABRT)
			abort();
		if (how == SIGSEGV) {
			volatile int *nowhere = NULL;
			*nowhere = 1;
		}
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	if (how == SIGTERM) {
		assert_true(is_raw(f->slave));
		kill(child, SIGTERM);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	close(ready[0]);
	close(ready[1]);
	return status;
}

static void console_exit_restores_the_terminal(void **state)
{
	struct fixture *f = *state;
	int status = die_with_console(f, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_false(is_raw(f->slave));
}

static void console_crash_restores_the_terminal(void **state)
{
	struct fixture *f = *state;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	int status = die_with_console(f, SIGSEGV);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_false(is_raw(f->slave));
#endif
	int aborted = die_with_console(f, SIGABRT);
	assert_true(WIFSIGNALED(aborted));
	assert_int_equal(WTERMSIG(aborted), SIGABRT);
	assert_false(is_raw(f->slave));
}

static void console_unhandled_signal_restores_the_terminal(void **state)
{
	struct fixture *f = *state;
	int status = die_with_console(f, SIGTERM);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_false(is_raw(f->slave));
}

/* Stopped, the terminal is the shell's; continued, it is raw again. */
static void console_stop_and_continue_give_the_terminal_back(void **state)
{
	struct fixture *f = *state;
	int ready[2], status;
	char byte;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		begin(f, f->slave, f->slave);
		if (write(ready[1], "r", 1) != 1)
			_exit(99);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGTSTP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	assert_false(is_raw(f->slave));
	kill(child, SIGCONT);
	for (int i = 0; i < 6000 && !is_raw(f->slave); i++) {
		struct timespec pause_10ms = { .tv_nsec = 10000000 };
		nanosleep(&pause_10ms, NULL);
	}
	assert_true(is_raw(f->slave));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(console_pipe_passes_bytes_both_ways),
		TEST(console_pipe_end_of_input_keeps_output),
		TEST(console_input_from_a_file_is_read_as_the_device_takes_it),
		TEST(console_dev_null_as_input_is_no_input),
		TEST(console_closed_descriptors_are_no_error),
		TEST(console_stdout_without_reader_discards),
		TEST(console_stuck_reader_holds_the_device_back_and_loses_nothing),
		TEST(console_stop_drains_to_a_reader),
		TEST(console_stop_gives_up_on_a_stuck_reader),
		TEST(console_leaves_the_flags_of_stdout_alone),
		TEST(console_terminal_is_raw_while_it_runs),
		TEST(console_tells_the_size_of_the_terminal_and_when_it_changes),
		TEST(console_ctrl_a_x_quits),
		TEST(console_ctrl_a_x_quits_though_the_guest_reads_nothing),
		TEST(console_ctrl_a_sends_break_and_itself),
		TEST(console_ctrl_a_h_helps),
		TEST(console_three_ctrl_c_within_a_second_quit),
		TEST(console_three_slow_ctrl_c_are_the_guests),
		TEST(console_sysrq_is_break_and_key),
		TEST(console_second_on_a_terminal_is_refused),
		TEST(console_hung_up_terminal_is_survived),
		TEST(console_exit_restores_the_terminal),
		TEST(console_crash_restores_the_terminal),
		TEST(console_unhandled_signal_restores_the_terminal),
		TEST(console_stop_and_continue_give_the_terminal_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

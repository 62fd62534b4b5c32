/* The guest's console, serial or virtio, on stdin and stdout.
 *
 * On a terminal, Ctrl-A is a prefix: x quits, h helps, b sends a break, Ctrl-A sends itself; three
 * Ctrl-C within a second quit. From anything else (pipe, file) bytes go through as they are.
 *
 * The thread "console" sleeps in epoll with edge-triggered descriptors and keeps what it last knew
 * of them (in_ready, out_ready); a background job therefore sees one wake-up for each line that
 * somebody types to the shell, and takes none of them. stdin and stdout are shared with the shell,
 * so their O_NONBLOCK is never touched: input is read after poll says so, output goes to a
 * description of our own where the kernel gives one.
 *
 * Output waits in a ring; when that is full the serial port holds its bytes back and the guest
 * waits.
 *
 * Threads: "console"; vCPUs call the char_host operations with the serial port's lock held. Lock
 * order: device, then `lock`; the device is never called with `lock` held. */
#include "core/console_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/console_tty.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/signals.h"

enum {
	OUTPUT_BYTES = 256 * 1024, /* power of two; more than a whole boot's messages */
	INPUT_ITEMS = 32 * 1024,   /* power of two */
	READ_BYTES = 512,
	/* What a pipe or terminal takes without blocking once poll says that it is writable. */
	BLOCKING_CHUNK_BYTES = 256,

	ITEM_BREAK = 0x100, /* input items are bytes, or this */

	CTRL_A = 0x01,
	CTRL_C = 0x03,
};

#define CTRL_C_COUNT     3
#define CTRL_C_WINDOW_NS 1000000000LL
#define DRAIN_IDLE_MS    1000 /* at stop: how long nobody may read */
#define DRAIN_TOTAL_MS   5000

enum out_kind {
	OUT_NONBLOCKING, /* a description of our own, or O_NONBLOCK already */
	OUT_SOCKET,
	OUT_FILE,     /* never blocks for long */
	OUT_BLOCKING, /* small pieces, and stop may have to cancel the thread */
};

struct console_terminal {
	/* Immutable after create. */
	int in_fd, out_fd; /* out_fd is ours */
	int wake_fd, epoll_fd;
	bool in_is_tty;
	enum out_kind out_kind;
	const struct char_device *device;
	const struct vm_control *control;
	struct char_host char_host;

	bool started; /* main thread */
	pthread_t thread;

	pthread_mutex_t lock;
	/* lock guards these */
	uint8_t output[OUTPUT_BYTES];
	size_t output_head, output_count;
	bool device_waits; /* it was refused bytes: call writable */
	bool discard;      /* nobody will ever read: stdout closed, or stopped */
	bool stop;

	atomic_int sysrq; /* key to send after a break; 0: none */

	/* Of the thread "console" only. */
	bool in_ready, in_eof, out_ready, in_raw;
	bool prefix; /* Ctrl-A was the last key */
	int64_t ctrl_c_ns[CTRL_C_COUNT];
	unsigned ctrl_c_next;
	uint16_t input[INPUT_ITEMS];
	size_t input_head, input_count;
};

static const char help_text[] = "\r\n"
				"Ctrl-A x       quit vmgui\r\n"
				"Ctrl-A b       send a break (SysRq)\r\n"
				"Ctrl-A Ctrl-A  send Ctrl-A\r\n"
				"Ctrl-A h       this help\r\n"
				"Three Ctrl-C within a second quit, too.\r\n";

static void wake(struct console_terminal *console)
{
	uint64_t one = 1;
	/* Fails only when the counter is full, which wakes as well. */
	if (write(console->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* The guest's side. */

/* With the lock held. Takes up to length bytes. */
static size_t output_put(struct console_terminal *console, const uint8_t *data, size_t length)
{
	size_t room = OUTPUT_BYTES - console->output_count;
	size_t taken = length < room ? length : room;
	for (size_t i = 0; i < taken; i++)
		console->output[(console->output_head + console->output_count + i) % OUTPUT_BYTES] =
			data[i];
	console->output_count += taken;
	return taken;
}

static size_t host_write(void *opaque, const uint8_t *data, size_t length)
{
	struct console_terminal *console = opaque;
	bool was_empty = false;
	size_t taken = length;
	pthread_mutex_lock(&console->lock);
	if (!console->discard) {
		was_empty = console->output_count == 0;
		taken = output_put(console, data, length);
		if (taken < length)
			console->device_waits = true;
	}
	pthread_mutex_unlock(&console->lock);
	if (was_empty)
		wake(console);
	return taken;
}

static void host_resume_input(void *opaque)
{
	wake(opaque);
}

/* Input. */

static void input_put(struct console_terminal *console, uint16_t item)
{
	/* Full only on a terminal whose guest has stopped reading long ago; the keys that quit must
	 * be seen even then, so reading goes on and what is typed is lost. */
	if (console->input_count == INPUT_ITEMS)
		return;
	console->input[(console->input_head + console->input_count++) % INPUT_ITEMS] = item;
}

/* As much as the device takes now; resume_input or more input comes back here. */
static void deliver_input(struct console_terminal *console)
{
	while (console->input_count) {
		uint8_t bytes[64];
		size_t n = 0;
		while (n < sizeof(bytes) && n < console->input_count) {
			uint16_t item = console->input[(console->input_head + n) % INPUT_ITEMS];
			if (item == ITEM_BREAK)
				break;
			bytes[n++] = (uint8_t)item;
		}
		size_t taken;
		if (n) {
			taken = console->device->receive(console->device->opaque, bytes, n);
		} else {
			console->device->receive_break(console->device->opaque);
			taken = n = 1;
		}
		console->input_head = (console->input_head + taken) % INPUT_ITEMS;
		console->input_count -= taken;
		if (taken < n)
			return;
	}
}

static void quit(struct console_terminal *console)
{
	if (console->control && console->control->request_quit)
		console->control->request_quit(console->control->opaque);
}

static void help(struct console_terminal *console)
{
	pthread_mutex_lock(&console->lock);
	if (!console->discard)
		output_put(console, (const uint8_t *)help_text, sizeof(help_text) - 1);
	pthread_mutex_unlock(&console->lock);
}

static void count_ctrl_c(struct console_terminal *console)
{
	int64_t now = (int64_t)clock_now_ns();
	console->ctrl_c_ns[console->ctrl_c_next] = now;
	console->ctrl_c_next = (console->ctrl_c_next + 1) % CTRL_C_COUNT;
	int64_t oldest = console->ctrl_c_ns[console->ctrl_c_next];
	if (oldest && now - oldest <= CTRL_C_WINDOW_NS)
		quit(console);
}

static void handle_key(struct console_terminal *console, uint8_t byte)
{
	if (console->prefix) {
		console->prefix = false;
		switch (byte) {
		case 'x':
		case 'X':
			quit(console);
			return;
		case 'b':
		case 'B':
			input_put(console, ITEM_BREAK);
			return;
		case CTRL_A:
			input_put(console, CTRL_A);
			return;
		default:
			help(console);
			return;
		}
	}
	if (byte == CTRL_A) {
		console->prefix = true;
		return;
	}
	if (byte == CTRL_C)
		count_ctrl_c(console);
	input_put(console, byte);
}

static void end_input(struct console_terminal *console)
{
	console->in_eof = true;
	console->in_ready = false;
	epoll_ctl(console->epoll_fd, EPOLL_CTL_DEL, console->in_fd, NULL);
}

static void step_input(struct console_terminal *console)
{
	deliver_input(console);
	while (console->in_ready) {
		uint8_t bytes[READ_BYTES];
		if (!console->in_is_tty && console->input_count)
			return; /* in_ready stays: go on when the device has taken these */
		if (console->in_is_tty && !console->in_raw) {
			console->in_raw = console_tty_enter_raw();
			if (!console->in_raw) {
				console->in_ready = false;
				return;
			}
		}
		if (console->in_is_tty && !console_tty_foreground()) {
			console->in_raw = console->in_ready = false;
			return;
		}
		struct pollfd input = { .fd = console->in_fd, .events = POLLIN };
		if (poll(&input, 1, 0) <= 0) {
			console->in_ready = false;
			return;
		}
		ssize_t n = read(console->in_fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			console->in_ready = false;
			return;
		}
		if (n <= 0) {
			/* Moved to the background in between: SIGTTIN is blocked here. */
			if (n < 0 && console->in_is_tty && !console_tty_foreground())
				continue;
			if (n < 0)
				log_debug("console", "stdin: %s (no more input)", strerror(errno));
			end_input(console);
			return;
		}
		for (ssize_t i = 0; i < n; i++) {
			if (console->in_is_tty)
				handle_key(console, bytes[i]);
			else
				input_put(console, bytes[i]);
		}
		deliver_input(console);
	}
}

static void step_sysrq(struct console_terminal *console)
{
	int key = atomic_exchange(&console->sysrq, 0);
	if (!key)
		return;
	input_put(console, ITEM_BREAK);
	input_put(console, (uint16_t)key);
}

/* The size of a terminal that input comes from is the one that is looked at. */
static void step_size(struct console_terminal *console)
{
	const struct char_device *device = console->device;
	struct winsize size;
	if (!console->in_is_tty || !device->resized || !console_tty_resized())
		return;
	if (!ioctl(console->in_fd, TIOCGWINSZ, &size) && size.ws_col && size.ws_row)
		device->resized(device->opaque, size.ws_col, size.ws_row);
}

/* Output. */

static ssize_t write_some(struct console_terminal *console, const uint8_t *data, size_t length)
{
	if (console->out_kind == OUT_SOCKET)
		return send(console->out_fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (console->out_kind != OUT_BLOCKING)
		return write(console->out_fd, data, length);

	struct pollfd output = { .fd = console->out_fd, .events = POLLOUT };
	if (poll(&output, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	if (length > BLOCKING_CHUNK_BYTES)
		length = BLOCKING_CHUNK_BYTES;
	/* The one place where stop may find the thread stuck: it holds nothing here. */
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	ssize_t n = write(console->out_fd, data, length);
	int keep = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	errno = keep;
	return n;
}

static void close_output(struct console_terminal *console, int reason)
{
	if (reason == EPIPE)
		log_debug("console", "stdout: nobody reads any more");
	else
		log_warn("console", "stdout: %s (the guest's console output is lost from here on)",
			strerror(reason));
	pthread_mutex_lock(&console->lock);
	console->discard = true;
	console->output_count = 0;
	pthread_mutex_unlock(&console->lock);
}

/* Returns whether any byte went out. */
static bool step_output(struct console_terminal *console)
{
	bool progress = false;
	for (;;) {
		/* The piece up to the ring's end is written without the lock, which vCPUs want:
		 * they add behind it, and only this thread takes away. */
		pthread_mutex_lock(&console->lock);
		const uint8_t *piece = console->output + console->output_head;
		size_t n = console->output_count;
		if (n > OUTPUT_BYTES - console->output_head)
			n = OUTPUT_BYTES - console->output_head;
		bool notify = console->device_waits && console->output_count < OUTPUT_BYTES / 2;
		if (notify)
			console->device_waits = false;
		pthread_mutex_unlock(&console->lock);
		if (notify) {
			console->device->writable(console->device->opaque);
			continue;
		}
		if (!n || !console->out_ready)
			return progress;

		ssize_t written = write_some(console, piece, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			console->out_ready = false;
			return progress;
		}
		if (written < 0) {
			close_output(console, errno);
			continue;
		}
		progress = true;
		pthread_mutex_lock(&console->lock);
		console->output_head = (console->output_head + (size_t)written) % OUTPUT_BYTES;
		console->output_count -= (size_t)written;
		pthread_mutex_unlock(&console->lock);
	}
}

/* Sleeps until something happens and notes what. */
static void wait_for_events(struct console_terminal *console, int timeout_ms)
{
	struct epoll_event events[3];
	int n = epoll_wait(console->epoll_fd, events, array_size(events), timeout_ms);
	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		if (fd == console->in_fd) {
			console->in_ready = !console->in_eof;
		} else if (fd == console->out_fd) {
			console->out_ready = true;
		} else {
			uint64_t count;
			if (read(console->wake_fd, &count, sizeof(count)) < 0)
				continue;
			if (console->in_is_tty && console_tty_continued()) {
				console->in_raw = false; /* step_input enters it anew */
				console->in_ready = !console->in_eof;
				console->out_ready = true;
			}
		}
	}
}

static bool console_should_stop(struct console_terminal *console, size_t *pending)
{
	pthread_mutex_lock(&console->lock);
	bool stop = console->stop;
	*pending = console->output_count;
	pthread_mutex_unlock(&console->lock);
	return stop;
}

/* The vCPUs have stopped: only what is in the ring and in the serial port's own FIFO is left. */
static void drain(struct console_terminal *console)
{
	int64_t start = (int64_t)clock_now_ns(), last = start;
	size_t pending;
	for (;;) {
		if (step_output(console))
			last = (int64_t)clock_now_ns();
		console_should_stop(console, &pending);
		if (!pending)
			return;
		int64_t now = (int64_t)clock_now_ns();
		int64_t left_ms = DRAIN_IDLE_MS - (now - last) / 1000000;
		int64_t total_left_ms = DRAIN_TOTAL_MS - (now - start) / 1000000;
		if (total_left_ms < left_ms)
			left_ms = total_left_ms;
		if (left_ms <= 0)
			return;
		wait_for_events(console, (int)left_ms);
	}
}

static void *console_thread(void *opaque)
{
	struct console_terminal *console = opaque;
	size_t pending;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setname_np(pthread_self(), "console");
	while (!console_should_stop(console, &pending)) {
		step_size(console);
		step_sysrq(console);
		step_input(console);
		step_output(console);
		wait_for_events(console, -1);
	}
	drain(console);
	return NULL;
}

/* Life. */

/* The descriptor that output goes to, without setting O_NONBLOCK on the one that we share with the
 * shell: the same terminal or pipe opened anew, if it lets us. */
static int open_output(struct console_terminal *console, int fd)
{
	struct stat status;
	char path[64];
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &status))
		return -errno;
	console->out_kind = OUT_BLOCKING;
	if (S_ISSOCK(status.st_mode))
		console->out_kind = OUT_SOCKET;
	else if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
		console->out_kind = OUT_FILE;
	else if (flags & O_NONBLOCK)
		console->out_kind = OUT_NONBLOCKING;
	if (console->out_kind == OUT_BLOCKING) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (own >= 0) {
			console->out_kind = OUT_NONBLOCKING;
			return own;
		}
	}
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

/* Files and some devices cannot be waited for, and need not be. */
static int watch(struct console_terminal *console, int fd, uint32_t events, bool *ready)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	if (!epoll_ctl(console->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return 0;
	if (errno != EPERM)
		return -errno;
	*ready = true;
	return 0;
}

int console_terminal_create(const struct console_terminal_config *config,
	struct console_terminal **out, struct error *err)
{
	int rc;
	struct console_terminal *console = calloc(1, sizeof(*console));
	if (!console)
		return error_set(err, ENOMEM, "console: out of memory");
	console->in_fd = config->in_fd;
	console->device = config->device;
	console->control = config->control;
	console->char_host = (struct char_host){ host_write, host_resume_input, console };
	console->in_is_tty = isatty(console->in_fd);
	pthread_mutex_init(&console->lock, NULL);

	console->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (console->wake_fd < 0) {
		rc = error_set(err, errno, "console: cannot make an eventfd: %s", strerror(errno));
		goto free_console;
	}
	console->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (console->epoll_fd < 0) {
		rc = error_set(err, errno, "console: cannot make an epoll: %s", strerror(errno));
		goto close_wake;
	}
	bool unused;
	rc = watch(console, console->wake_fd, EPOLLIN, &unused);
	if (rc) {
		error_set(err, -rc, "console: cannot watch an eventfd: %s", strerror(-rc));
		goto close_epoll;
	}
	console->out_fd = open_output(console, config->out_fd);
	if (console->out_fd >= 0)
		rc = watch(console, console->out_fd, EPOLLOUT | EPOLLET, &console->out_ready);
	/* A program started with stdin or stdout closed runs all the same, without them. */
	if (console->out_fd < 0 || rc) {
		log_debug("console", "stdout cannot be used; console output is lost");
		console->discard = true;
	}
	if (watch(console, console->in_fd, EPOLLIN | EPOLLET, &console->in_ready)) {
		log_debug("console", "stdin cannot be used; the console has no input");
		console->in_eof = true;
		console->in_is_tty = false;
	}
	*out = console;
	return 0;

close_epoll:
	close(console->epoll_fd);
close_wake:
	close(console->wake_fd);
free_console:
	pthread_mutex_destroy(&console->lock);
	free(console);
	return rc;
}

const struct char_host *console_terminal_char_host(struct console_terminal *console)
{
	return &console->char_host;
}

int console_terminal_start(struct console_terminal *console, struct error *err)
{
	int rc;
	if (console->in_is_tty) {
		rc = console_tty_claim(console->in_fd, console->wake_fd);
		if (rc)
			return error_set(err, -rc, "console: the terminal is in use by another");
		console->in_raw = console_tty_enter_raw();
	}
	console->stop = false;
	/* Signals are main's; SIGPIPE stays pending in this thread and write fails with EPIPE. */
	sigset_t before;
	signals_block_for_thread(&before);
	rc = pthread_create(&console->thread, NULL, console_thread, console);
	signals_restore(&before);
	if (rc) {
		if (console->in_is_tty)
			console_tty_release();
		return error_set(err, rc, "console: cannot start a thread: %s", strerror(rc));
	}
	console->started = true;
	return 0;
}

void console_terminal_stop(struct console_terminal *console)
{
	struct timespec limit;

	if (!console || !console->started)
		return;
	pthread_mutex_lock(&console->lock);
	console->stop = true;
	pthread_mutex_unlock(&console->lock);
	wake(console);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += DRAIN_TOTAL_MS / 1000 + 1;
	if (console->out_kind == OUT_BLOCKING) {
		limit.tv_sec -= (DRAIN_TOTAL_MS - DRAIN_IDLE_MS) / 1000;
		if (pthread_timedjoin_np(console->thread, NULL, &limit)) {
			pthread_cancel(console->thread);
			pthread_join(console->thread, NULL);
		}
	} else {
		pthread_join(console->thread, NULL);
	}
	console->started = false;
	pthread_mutex_lock(&console->lock);
	console->discard = true;
	console->output_count = 0;
	pthread_mutex_unlock(&console->lock);
	if (console->in_is_tty)
		console_tty_release();
}

void console_terminal_destroy(struct console_terminal *console)
{
	if (!console)
		return;
	console_terminal_stop(console);
	if (console->out_fd >= 0)
		close(console->out_fd);
	close(console->epoll_fd);
	close(console->wake_fd);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

void console_terminal_send_sysrq(struct console_terminal *console, char key)
{
	atomic_store(&console->sysrq, (unsigned char)key);
	wake(console);
}

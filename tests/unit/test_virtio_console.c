/* The virtio console: hvc0 on the host's console, ports on sockets, control messages. Mostly
 * stepped, so that each test sees one order of things; the last ones run the thread. */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "devices/virtio_console.h"
#include "fake_virtio.h"

enum {
	FEATURE_SIZE = 1,
	FEATURE_MULTIPORT = 2,
	FEATURE_EMERG_WRITE = 4,

	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	RESIZE = 5,
	PORT_OPEN = 6,
	PORT_NAME = 7,

	CHANNELS = 2,
	QUEUES = 4 + 2 * CHANNELS,
	SIZE = 64,
};

struct fixture {
	struct fake_virtio driver;
	struct fake_queue queues[QUEUES];
	uint64_t gpa[QUEUES][SIZE]; /* of the buffer that a head stands for */
	struct virtio_console *console;
	const struct char_device *end;
	struct device *device;

	/* The host's console. */
	struct char_host host;
	pthread_mutex_t lock;
	char got[1 << 20];
	size_t got_count, room;
	unsigned resumed;

	char folder[64];
	struct virtio_console_channel channels[CHANNELS];
	int client;
};

static size_t host_write(void *opaque, const uint8_t *data, size_t length)
{
	struct fixture *f = opaque;

	pthread_mutex_lock(&f->lock);
	size_t taken = length < f->room ? length : f->room;
	memcpy(f->got + f->got_count, data, taken);
	f->got_count += taken;
	f->room -= taken;
	pthread_mutex_unlock(&f->lock);
	return taken;
}

static void host_resume_input(void *opaque)
{
	struct fixture *f = opaque;

	pthread_mutex_lock(&f->lock);
	f->resumed++;
	pthread_mutex_unlock(&f->lock);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_virtio_init(&f->driver, MIB(8), 0);
	pthread_mutex_init(&f->lock, NULL);
	f->room = sizeof(f->got);
	f->host = (struct char_host){ host_write, host_resume_input, f };
	f->client = -1;
	strcpy(f->folder, "/tmp/vmgui-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(f->channels[i].name, sizeof(f->channels[i].name), "org.test.%d", i);
		snprintf(f->channels[i].path, sizeof(f->channels[i].path), "%s/%d", f->folder, i);
	}
	*state = f;
	return 0;
}

static void destroy(struct fixture *f)
{
	if (!f->console)
		return;
	f->device->ops->stop(f->device);
	f->device->ops->destroy(f->device);
	f->console = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	destroy(f);
	if (f->client >= 0)
		close(f->client);
	fake_virtio_fini(&f->driver);
	for (int i = 0; i < CHANNELS; i++)
		assert_int_equal(access(f->channels[i].path, F_OK), -1);
	assert_int_equal(rmdir(f->folder), 0);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static int try_create(struct fixture *f, bool console, unsigned channels, struct error *err)
{
	const struct virtio_console_config config = {
		.mem = &f->driver.mem,
		.console = console,
		.channels = f->channels,
		.channel_count = channels,
	};
	int rc = virtio_console_create(&config, &f->console, err);

	if (rc)
		return rc;
	f->end = virtio_console_char_device(f->console);
	f->device = &virtio_console_vdev(f->console)->device;
	fake_virtio_attach(&f->driver, virtio_console_vdev(f->console));
	if (console)
		virtio_console_set_host(f->console, &f->host);
	return 0;
}

static void create(struct fixture *f, bool console, unsigned channels)
{
	struct error err = { "" };

	assert_int_equal(try_create(f, console, channels, &err), 0);
}

static void step(struct fixture *f)
{
	unsigned rounds = 0;

	while (event_thread_step(virtio_console_thread(f->console)))
		assert_true(++rounds < 100000); /* it comes to rest */
}

static void bring_up_with(struct fixture *f, uint64_t features)
{
	unsigned count = virtio_console_vdev(f->console)->queue_count;

	f->driver.next_gpa = PAGE_BYTES;
	assert_true(fake_virtio_negotiate(&f->driver, features));
	for (unsigned i = 0; i < count && i < QUEUES; i++) {
		fake_queue_init(&f->queues[i], &f->driver, SIZE);
		fake_queue_enable(&f->queues[i], i);
	}
	fake_virtio_driver_ok(&f->driver);
}

static void bring_up(struct fixture *f)
{
	bring_up_with(f, ~UINT64_C(0));
}

/* What a queue's buffer holds. */
static const char *buffer_at(struct fixture *f, unsigned queue, uint32_t head, uint32_t length)
{
	return fake_virtio_at(&f->driver, f->gpa[queue][head], length);
}

static void give(struct fixture *f, unsigned queue, uint32_t bytes)
{
	const struct fake_buffer buffer = { fake_virtio_alloc(&f->driver, bytes, 8), bytes, true };
	uint16_t head = fake_queue_add(&f->queues[queue], &buffer, 1);

	f->gpa[queue][head] = buffer.gpa;
	fake_queue_kick(&f->queues[queue]);
}

static void put(struct fixture *f, unsigned queue, const void *data, uint32_t bytes)
{
	const struct fake_buffer buffer = { fake_virtio_alloc(&f->driver, bytes, 8), bytes, false };

	memcpy(fake_virtio_at(&f->driver, buffer.gpa, bytes), data, bytes);
	fake_queue_add(&f->queues[queue], &buffer, 1);
	fake_queue_kick(&f->queues[queue]);
}

static void put_text(struct fixture *f, unsigned queue, const char *text)
{
	put(f, queue, text, (uint32_t)strlen(text));
}

static void say(struct fixture *f, uint32_t port, uint16_t event, uint16_t value)
{
	const struct {
		uint32_t port;
		uint16_t event, value;
	} message = { port, event, value };

	put(f, 3, &message, sizeof(message));
}

/* The driver's next message from the device; there must be one. */
static void hear(
	struct fixture *f, uint32_t port, unsigned event, unsigned value, const char *extra)
{
	uint32_t head = 0, written = 0, got_port;
	uint16_t got_event, got_value;

	step(f);
	assert_true(fake_queue_used(&f->queues[2], &head, &written));
	const char *bytes = buffer_at(f, 2, head, 8);
	memcpy(&got_port, bytes, 4);
	memcpy(&got_event, bytes + 4, 2);
	memcpy(&got_value, bytes + 6, 2);
	assert_int_equal(got_port, port);
	assert_int_equal(got_event, event);
	assert_int_equal(got_value, value);
	assert_int_equal(written, 8 + (extra ? strlen(extra) : 0));
	if (extra)
		assert_memory_equal(buffer_at(f, 2, head, written) + 8, extra, strlen(extra));
	give(f, 2, 100);
}

static void hear_nothing(struct fixture *f)
{
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[2]), 0);
}

/* The conversation up to where all ports are there, and closed by the guest. */
static void introduce(struct fixture *f, unsigned channels)
{
	for (int i = 0; i < 16; i++)
		give(f, 2, 100);
	say(f, 0, DEVICE_READY, 1);
	for (unsigned i = 0; i <= channels; i++)
		hear(f, i, PORT_ADD, 1, NULL);
	say(f, 0, PORT_READY, 1);
	hear(f, 0, CONSOLE_PORT, 1, NULL);
	hear(f, 0, PORT_OPEN, 1, NULL);
	for (unsigned i = 1; i <= channels; i++) {
		say(f, i, PORT_READY, 1);
		hear(f, i, PORT_NAME, 1, f->channels[i - 1].name);
	}
	hear_nothing(f);
}

static void expect_input(struct fixture *f, unsigned queue, const char *text)
{
	uint32_t head = 0, written = 0;

	step(f);
	assert_true(fake_queue_used(&f->queues[queue], &head, &written));
	assert_int_equal(written, strlen(text));
	assert_memory_equal(buffer_at(f, queue, head, written), text, written);
}

static void expect_no_input(struct fixture *f, unsigned queue)
{
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[queue]), 0);
}

static void expect_output(struct fixture *f, const char *text)
{
	step(f);
	assert_int_equal(f->got_count, strlen(text));
	assert_memory_equal(f->got, text, f->got_count);
}

static size_t type(struct fixture *f, const char *text)
{
	return f->end->receive(f->end->opaque, (const uint8_t *)text, strlen(text));
}

static int try_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void connect_client(struct fixture *f, unsigned channel)
{
	f->client = try_connect(f->channels[channel].path);
	assert_true(f->client >= 0);
}

static void hang_up(struct fixture *f)
{
	close(f->client);
	f->client = -1;
}

static void client_sends(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void client_gets(int fd, const char *text)
{
	char bytes[64];
	struct pollfd input = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&input, 1, 5000), 1);
	ssize_t got = read(fd, bytes, sizeof(bytes));
	assert_int_equal(got, strlen(text));
	assert_memory_equal(bytes, text, (size_t)got);
}

static bool is_silent(int fd)
{
	struct pollfd input = { .fd = fd, .events = POLLIN };

	return poll(&input, 1, 0) == 0;
}

/* ---- port 0, without multiport ---- */

static void virtio_console_output_reaches_the_host(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	create(f, true, 0);
	assert_int_equal(fake_virtio_offered(&f->driver) & 7, FEATURE_SIZE | FEATURE_EMERG_WRITE);
	bring_up(f);
	put_text(f, 1, "hello ");
	uint64_t gpa = fake_virtio_alloc(&f->driver, 16, 8);
	memcpy(fake_virtio_at(&f->driver, gpa, 5), "world", 5);
	const struct fake_buffer pieces[] = { { gpa, 2, false }, { gpa + 2, 3, false },
		{ gpa + 8, 8, true } };
	fake_queue_add(&f->queues[1], pieces, 3);
	fake_queue_kick(&f->queues[1]);
	expect_output(f, "hello world");
	for (int i = 0; i < 2; i++) {
		assert_true(fake_queue_used(&f->queues[1], &head, &written));
		assert_int_equal(written, 0);
	}
}

static void virtio_console_input_reaches_the_guest(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	step(f);
	assert_int_equal(type(f, "abc"), 3); /* no buffer yet */
	expect_no_input(f, 0);
	give(f, 0, 100);
	expect_input(f, 0, "abc");
	give(f, 0, 2);
	give(f, 0, 100);
	assert_int_equal(type(f, "defgh"), 5);
	expect_input(f, 0, "de");
	expect_input(f, 0, "fgh");
}

static void virtio_console_without_a_driver_takes_no_input(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	step(f);
	assert_int_equal(type(f, "early"), 0);
	bring_up(f);
	give(f, 0, 100);
	step(f);
	assert_int_equal(f->resumed, 1);
	assert_int_equal(type(f, "early"), 5);
	expect_input(f, 0, "early");
	/* And a driver that resets the device loses none of it. */
	assert_int_equal(type(f, "between"), 7);
	fake_virtio_add_status(&f->driver, 0);
	step(f);
	assert_int_equal(fake_virtio_status(&f->driver), 0);
	assert_int_equal(type(f, "x"), 0);
	bring_up(f);
	give(f, 0, 100);
	expect_input(f, 0, "between");
}

static void virtio_console_input_has_back_pressure(void **state)
{
	struct fixture *f = *state;
	static char text[10001];
	size_t sent = 0, seen = 0;

	create(f, true, 0);
	bring_up(f);
	step(f);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 23);
	sent = type(f, text);
	assert_int_equal(sent, 4096);
	assert_int_equal(type(f, text + sent), 0);
	while (seen < sizeof(text) - 1) {
		uint32_t head = 0, written = 0;
		unsigned resumed = f->resumed;

		give(f, 0, 1000);
		step(f);
		assert_true(fake_queue_used(&f->queues[0], &head, &written));
		assert_memory_equal(buffer_at(f, 0, head, written), text + seen, written);
		seen += written;
		if (f->resumed != resumed)
			sent += type(f, text + sent);
	}
	assert_in_range(f->resumed, 2, 8);
}

static void virtio_console_output_waits_for_a_full_host(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	f->room = 4;
	put_text(f, 1, "0123456");
	put_text(f, 1, "789");
	expect_output(f, "0123");
	assert_int_equal(fake_queue_used_count(&f->queues[1]), 0);
	f->room = 2;
	f->end->writable(f->end->opaque);
	expect_output(f, "012345");
	/* The doorbell does not hurry it. */
	fake_queue_ring(&f->queues[1]);
	expect_output(f, "012345");
	f->room = 100;
	f->end->writable(f->end->opaque);
	expect_output(f, "0123456789");
	assert_int_equal(fake_queue_used_count(&f->queues[1]), 2);
}

static void virtio_console_without_a_host_discards(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	f->room = 0;
	bring_up(f);
	put_text(f, 1, "stuck");
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[1]), 0);
	virtio_console_set_host(f->console, NULL);
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[1]), 1);
}

static void virtio_console_break_becomes_ctrl_o(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	step(f);
	assert_int_equal(type(f, "a"), 1);
	f->end->receive_break(f->end->opaque);
	assert_int_equal(type(f, "h"), 1);
	give(f, 0, 100);
	expect_input(f, 0, "a\x0fh");
}

static void virtio_console_break_is_not_lost_when_input_is_full(void **state)
{
	struct fixture *f = *state;
	static char text[4097];
	uint32_t head = 0, written = 0;

	create(f, true, 0);
	bring_up(f);
	step(f);
	memset(text, 'x', 4096);
	assert_int_equal(type(f, text), 4096);
	f->end->receive_break(f->end->opaque);
	assert_int_equal(type(f, "h"), 0);
	give(f, 0, 4000);
	give(f, 0, 4000);
	step(f);
	assert_int_equal(f->resumed, 1);
	assert_int_equal(type(f, "h"), 1);
	assert_true(fake_queue_used(&f->queues[0], &head, &written));
	assert_int_equal(written, 4000);
	assert_true(fake_queue_used(&f->queues[0], &head, &written));
	assert_int_equal(written, 97);
	assert_int_equal(buffer_at(f, 0, head, 97)[96], 0x0f);
	give(f, 0, 10);
	expect_input(f, 0, "h");
}

static struct virtio_device *watched;
static unsigned unlocked_changes;

static void see_lock(struct virtio_transport *transport)
{
	(void)transport;
	if (!pthread_mutex_trylock(&watched->device.lock)) {
		unlocked_changes++;
		pthread_mutex_unlock(&watched->device.lock);
	}
}

static void virtio_console_size_and_generation_change_at_once(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	watched = virtio_console_vdev(f->console);
	unlocked_changes = 0;
	f->driver.transport.config_interrupt = see_lock;
	f->end->resized(f->end->opaque, 133, 51);
	assert_int_equal(unlocked_changes, 0);
}

static void virtio_console_config_space_has_the_terminals_size(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	assert_int_equal(fake_virtio_read_config(&f->driver, 0, 4), 0);
	f->end->resized(f->end->opaque, 132, 50);
	assert_int_equal(fake_virtio_read_config(&f->driver, 0, 2), 132);
	assert_int_equal(fake_virtio_read_config(&f->driver, 2, 2), 50);
	assert_int_equal(fake_virtio_read_config(&f->driver, 4, 4), 1);
	assert_int_equal(fake_virtio_read_config(&f->driver, 0, 8), 132 | 50 << 16 | 1ULL << 32);
	assert_int_equal(fake_virtio_read_config(&f->driver, 8, 8), 0);
	assert_int_equal(fake_virtio_read_config(&f->driver, 12, 1), 0);
	assert_int_equal(f->driver.config_interrupts, 1);
	f->end->resized(f->end->opaque, 132, 50); /* the same */
	assert_int_equal(f->driver.config_interrupts, 1);
	fake_virtio_write_config(&f->driver, 0, 4, 0);
	assert_int_equal(fake_virtio_read_config(&f->driver, 0, 2), 132);
}

static void virtio_console_emergency_write_needs_no_driver(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	fake_virtio_write_config(&f->driver, 8, 4, 0x4141004fu);
	fake_virtio_write_config(&f->driver, 8, 1, 'h');
	fake_virtio_write_config(&f->driver, 9, 1, '?');
	fake_virtio_write_config(&f->driver, 4, 8, '?');
	expect_output(f, "Oh");
	f->room = 0;
	fake_virtio_write_config(&f->driver, 8, 4, '!'); /* lost, and nothing waits */
	expect_output(f, "Oh");
}

static void virtio_console_machine_reset_forgets_what_was_typed(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	assert_int_equal(f->device->ops->start(f->device, NULL), 0);
	while (!type(f, "old")) /* until the thread has started the queue */
		usleep(1000);
	f->device->ops->reset(f->device);
	f->device->ops->stop(f->device);
	bring_up(f);
	step(f);
	assert_int_equal(type(f, "new"), 3);
	give(f, 0, 100);
	expect_input(f, 0, "new");
}

/* ---- control messages ---- */

static void virtio_console_ports_are_introduced(void **state)
{
	struct fixture *f = *state;

	create(f, true, 2);
	assert_int_equal(fake_virtio_offered(&f->driver) & 7,
		FEATURE_SIZE | FEATURE_EMERG_WRITE | FEATURE_MULTIPORT);
	bring_up(f);
	assert_int_equal(fake_virtio_read_config(&f->driver, 4, 4), 3);
	introduce(f, 2);
	/* Once. */
	say(f, 0, DEVICE_READY, 1);
	say(f, 1, PORT_READY, 1);
	hear_nothing(f);
}

static void virtio_console_channels_without_a_console_have_no_port_0(void **state)
{
	struct fixture *f = *state;

	create(f, false, 1);
	assert_int_equal(fake_virtio_offered(&f->driver) & 7, FEATURE_MULTIPORT);
	bring_up(f);
	for (int i = 0; i < 8; i++)
		give(f, 2, 100);
	say(f, 0, DEVICE_READY, 1);
	hear(f, 1, PORT_ADD, 1, NULL);
	say(f, 0, PORT_READY, 1);
	hear_nothing(f);
	say(f, 1, PORT_READY, 1);
	hear(f, 1, PORT_NAME, 1, "org.test.0");
	put_text(f, 1, "nobody");
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[1]), 1);
	assert_int_equal(f->got_count, 0);
	fake_virtio_write_config(&f->driver, 8, 4, 'x');
	assert_int_equal(f->got_count, 0);
}

static void virtio_console_size_is_a_message_with_multiport(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	f->end->resized(f->end->opaque, 0x4242, 0x4141);
	bring_up(f);
	for (int i = 0; i < 8; i++)
		give(f, 2, 100);
	say(f, 0, DEVICE_READY, 1);
	hear(f, 0, PORT_ADD, 1, NULL);
	hear(f, 1, PORT_ADD, 1, NULL);
	say(f, 0, PORT_READY, 1);
	hear(f, 0, CONSOLE_PORT, 1, NULL);
	hear(f, 0, RESIZE, 1, "BBAA");
	hear(f, 0, PORT_OPEN, 1, NULL);
	f->end->resized(f->end->opaque, 0x4444, 0x4343);
	f->end->resized(f->end->opaque, 0x4646, 0x4545);
	hear(f, 0, RESIZE, 1, "FFEE"); /* the last one counts */
	hear_nothing(f);
}

static void virtio_console_without_multiport_only_port_0_works(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	connect_client(f, 0);
	bring_up_with(f, ~(uint64_t)FEATURE_MULTIPORT);
	give(f, 0, 100);
	for (unsigned i = 2; i < 6; i += 2)
		give(f, i, 100);
	say(f, 0, DEVICE_READY, 1);
	put_text(f, 5, "no");
	client_sends(f->client, "no");
	step(f);
	assert_int_equal(type(f, "yes"), 3);
	expect_input(f, 0, "yes");
	put_text(f, 1, "yes");
	expect_output(f, "yes");
	for (unsigned i = 2; i < 6; i++)
		assert_int_equal(fake_queue_used_count(&f->queues[i]), 0);
	assert_true(is_silent(f->client));
}

static void virtio_console_wrong_messages_are_ignored(void **state)
{
	struct fixture *f = *state;

	create(f, true, 2);
	bring_up(f);
	for (int i = 0; i < 8; i++)
		give(f, 2, 100);
	say(f, 1, PORT_READY, 1); /* not announced yet */
	say(f, 1, PORT_OPEN, 1);
	hear_nothing(f);
	say(f, 0, DEVICE_READY, 0);
	say(f, 3, PORT_READY, 1);
	say(f, 0xffffffff, PORT_OPEN, 1);
	say(f, 0x80000001, PORT_READY, 1);
	say(f, 0, PORT_ADD, 1);
	say(f, 0, 99, 1);
	put(f, 3, "\0\0\0\0\0\0\1", 7); /* DEVICE_READY, but for its last byte */
	give(f, 3, 64);                 /* for the device to write */
	hear_nothing(f);
	assert_int_equal(fake_queue_used_count(&f->queues[3]), 10);
	assert_int_equal(fake_virtio_status(&f->driver) & VIRTIO_STATUS_NEEDS_RESET, 0);
}

static void virtio_console_control_buffer_too_short_comes_back_empty(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	create(f, true, 1);
	bring_up(f);
	give(f, 2, 7);
	for (int i = 0; i < 8; i++)
		give(f, 2, 100);
	say(f, 0, DEVICE_READY, 1);
	step(f);
	assert_true(fake_queue_used(&f->queues[2], &head, &written));
	assert_int_equal(written, 0);
	hear(f, 1, PORT_ADD, 1, NULL);
}

/* A guest that gives no buffers gets what is true when it does. */
static void virtio_console_messages_wait_and_do_not_pile_up(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	bring_up(f);
	say(f, 0, DEVICE_READY, 1);
	for (int i = 0; i < 1000; i++) {
		f->driver.next_gpa = MIB(4);
		say(f, 1, PORT_READY, 1);
		say(f, 1, PORT_READY, 0);
		step(f);
	}
	say(f, 1, PORT_READY, 1);
	step(f);
	f->driver.next_gpa = MIB(5);
	for (int i = 0; i < 8; i++)
		give(f, 2, 100);
	hear(f, 0, PORT_ADD, 1, NULL);
	hear(f, 1, PORT_NAME, 1, "org.test.0");
	hear_nothing(f);
}

/* ---- channels ---- */

static void virtio_console_channel_passes_bytes_both_ways(void **state)
{
	struct fixture *f = *state;

	create(f, true, 2);
	bring_up(f);
	introduce(f, 2);
	connect_client(f, 1);
	hear(f, 2, PORT_OPEN, 1, NULL);
	say(f, 2, PORT_OPEN, 1);
	give(f, 6, 100);
	expect_no_input(f, 6);
	client_sends(f->client, "ping");
	expect_input(f, 6, "ping");
	put_text(f, 7, "pong");
	step(f);
	client_gets(f->client, "pong");
	assert_int_equal(f->got_count, 0);
	hang_up(f);
	hear(f, 2, PORT_OPEN, 0, NULL);
	hear_nothing(f);
}

static void virtio_console_client_before_the_guest_is_told_later(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	connect_client(f, 0);
	client_sends(f->client, "early");
	step(f);
	bring_up(f);
	for (int i = 0; i < 16; i++)
		give(f, 2, 100);
	give(f, 4, 100);
	say(f, 0, DEVICE_READY, 1);
	hear(f, 0, PORT_ADD, 1, NULL);
	hear(f, 1, PORT_ADD, 1, NULL);
	say(f, 1, PORT_READY, 1);
	hear(f, 1, PORT_NAME, 1, "org.test.0");
	hear(f, 1, PORT_OPEN, 1, NULL);
	expect_no_input(f, 4);
	say(f, 1, PORT_OPEN, 1);
	expect_input(f, 4, "early");
}

static void virtio_console_input_waits_while_the_guest_has_the_port_closed(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	give(f, 4, 100);
	give(f, 4, 100);
	client_sends(f->client, "one");
	expect_no_input(f, 4);
	say(f, 1, PORT_OPEN, 1);
	expect_input(f, 4, "one");
	say(f, 1, PORT_OPEN, 0);
	step(f);
	client_sends(f->client, "two");
	expect_no_input(f, 4);
	say(f, 1, PORT_OPEN, 1);
	expect_input(f, 4, "two");
}

static void virtio_console_slow_client_holds_the_guest_back(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[16384], bytes[16384];
	size_t sent = 0, seen = 0;
	uint32_t head = 0, written = 0;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	uint64_t base = f->driver.next_gpa;
	while (sent < 64 && !fake_queue_used_count(&f->queues[5])) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)((sent * sizeof(block) + i) % 251);
		put(f, 5, block, sizeof(block));
		sent++;
	}
	step(f);
	unsigned done = fake_queue_used_count(&f->queues[5]);
	assert_in_range(done, 1, 63);
	while (seen < 64 * sizeof(block)) {
		ssize_t got = recv(f->client, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (got < 0)
			assert_int_equal(errno, EAGAIN);
		for (ssize_t i = 0; i < got; i++)
			assert_int_equal(bytes[i], (seen + (size_t)i) % 251);
		seen += got > 0 ? (size_t)got : 0;
		step(f);
		while (fake_queue_used(&f->queues[5], &head, &written))
			assert_int_equal(written, 0);
	}
	(void)base;
}

static void virtio_console_client_that_leaves_drops_what_it_was_to_get(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[16384];

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	for (int i = 0; i < 60; i++)
		put(f, 5, block, sizeof(block));
	step(f);
	assert_in_range(fake_queue_used_count(&f->queues[5]), 1, 59);
	hang_up(f);
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[5]), 60);
	hear(f, 1, PORT_OPEN, 0, NULL);
	put_text(f, 5, "to nobody");
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	assert_true(is_silent(f->client));
}

static void virtio_console_last_words_of_a_client_reach_an_open_guest(void **state)
{
	struct fixture *f = *state;
	int next;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	say(f, 1, PORT_OPEN, 1);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	client_sends(f->client, "last words");
	hang_up(f);
	hear_nothing(f); /* the guest has no buffer, and is not told too early */
	next = try_connect(f->channels[0].path);
	hear_nothing(f);
	give(f, 4, 5);
	expect_input(f, 4, "last ");
	give(f, 4, 5);
	give(f, 4, 5);
	expect_input(f, 4, "words");
	hear(f, 1, PORT_OPEN, 0, NULL);
	hear(f, 1, PORT_OPEN, 1, NULL);
	client_sends(next, "new");
	expect_input(f, 4, "new");
	close(next);
	hear(f, 1, PORT_OPEN, 0, NULL);
}

static void virtio_console_client_that_leaves_a_closed_port_is_forgotten(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	give(f, 4, 100);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	client_sends(f->client, "unheard");
	hang_up(f);
	hear(f, 1, PORT_OPEN, 0, NULL);
	say(f, 1, PORT_OPEN, 1);
	expect_no_input(f, 4);
	/* Nor does one block the port whose last words the guest will not take. */
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	client_sends(f->client, "a");
	expect_input(f, 4, "a");
	client_sends(f->client, "b");
	hang_up(f);
	hear_nothing(f);
	say(f, 1, PORT_OPEN, 0);
	hear(f, 1, PORT_OPEN, 0, NULL);
}

static void virtio_console_half_closed_client_gets_its_answer(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	say(f, 1, PORT_OPEN, 1);
	give(f, 4, 100);
	give(f, 4, 100);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	client_sends(f->client, "question");
	shutdown(f->client, SHUT_WR);
	expect_input(f, 4, "question");
	hear_nothing(f);
	put_text(f, 5, "answer");
	step(f);
	client_gets(f->client, "answer");
	hang_up(f);
	hear(f, 1, PORT_OPEN, 0, NULL);
}

static void virtio_console_second_client_waits_for_the_first_to_leave(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	say(f, 1, PORT_OPEN, 1);
	for (int i = 0; i < 4; i++)
		give(f, 4, 100);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	int second = try_connect(f->channels[0].path);
	assert_true(second >= 0);
	client_sends(second, "second");
	client_sends(f->client, "first");
	expect_input(f, 4, "first");
	expect_no_input(f, 4);
	hang_up(f);
	hear(f, 1, PORT_OPEN, 0, NULL);
	hear(f, 1, PORT_OPEN, 1, NULL);
	expect_input(f, 4, "second");
	close(second);
}

/* The guest hears of every departure, even if the next client is there at once. */
static void virtio_console_next_client_waits_until_the_guest_has_heard(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	/* All its buffers are taken away. */
	fake_virtio_lock(&f->driver);
	virtio_queue_reset(f->driver.vdev, 2);
	fake_virtio_unlock(&f->driver);
	step(f);
	hang_up(f);
	step(f);
	connect_client(f, 0);
	step(f);
	fake_queue_init(&f->queues[2], &f->driver, SIZE);
	fake_queue_enable(&f->queues[2], 2);
	give(f, 2, 100);
	step(f);
	assert_true(fake_queue_used(&f->queues[2], &head, &written));
	assert_int_equal(buffer_at(f, 2, head, 8)[6], 0);
	give(f, 2, 100);
	hear(f, 1, PORT_OPEN, 1, NULL);
}

static void virtio_console_client_stays_through_a_reset_of_the_guest(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	say(f, 1, PORT_OPEN, 1);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
	fake_virtio_add_status(&f->driver, 0);
	step(f);
	assert_int_equal(fake_virtio_status(&f->driver), 0);
	client_sends(f->client, "again");
	step(f);
	bring_up(f);
	for (int i = 0; i < 16; i++)
		give(f, 2, 100);
	give(f, 4, 100);
	say(f, 0, DEVICE_READY, 1);
	hear(f, 0, PORT_ADD, 1, NULL);
	hear(f, 1, PORT_ADD, 1, NULL);
	say(f, 1, PORT_READY, 1);
	hear(f, 1, PORT_NAME, 1, "org.test.0");
	hear(f, 1, PORT_OPEN, 1, NULL);
	expect_no_input(f, 4);
	say(f, 1, PORT_OPEN, 1);
	expect_input(f, 4, "again");
}

static void virtio_console_client_is_turned_away_without_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, low;
	char byte;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	connect_client(f, 0);
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = (rlim_t)f->client + 1; /* the next one would be this */
	int fill[256], count = 0;
	setrlimit(RLIMIT_NOFILE, &low);
	while (count < 256 && (fill[count] = dup(0)) >= 0)
		count++;
	step(f); /* comes to rest, too */
	setrlimit(RLIMIT_NOFILE, &before);
	while (count)
		close(fill[--count]);
	assert_int_equal(read(f->client, &byte, 1), 0);
	hang_up(f);
	connect_client(f, 0);
	hear(f, 1, PORT_OPEN, 1, NULL);
}

/* ---- the rings ---- */

static void virtio_console_broken_queue_needs_a_reset_and_stops_all(void **state)
{
	struct fixture *f = *state;

	for (unsigned queue = 0; queue < 6; queue++) {
		if (!f->console)
			create(f, true, 1);
		bring_up(f);
		introduce(f, 1);
		say(f, 0, PORT_OPEN, 1);
		say(f, 1, PORT_OPEN, 1);
		connect_client(f, 0);
		hear(f, 1, PORT_OPEN, 1, NULL);
		assert_int_equal(fake_virtio_status(&f->driver) & VIRTIO_STATUS_NEEDS_RESET, 0);
		if (queue == 2) { /* looked at only when there is something to say */
			for (unsigned i = 0; i < SIZE; i++)
				fake_queue_put(&f->queues[2], i, f->driver.mem.size_bytes - 99, 100,
					FAKE_WRITE, 0);
			hang_up(f);
		} else {
			fake_queue_offer(&f->queues[queue], SIZE);
		}
		fake_queue_ring(&f->queues[queue]);
		step(f);
		assert_true(fake_virtio_status(&f->driver) & VIRTIO_STATUS_NEEDS_RESET);
		/* Nothing is served any more, and neither does what comes keep the thread busy. */
		if (f->client >= 0)
			client_sends(f->client, "x");
		unsigned used = fake_queue_used_count(&f->queues[1]);
		put_text(f, 1, "?");
		fake_queue_ring(&f->queues[1]);
		step(f);
		assert_int_equal(fake_queue_used_count(&f->queues[1]), used);
		fake_virtio_add_status(&f->driver, 0);
		step(f);
		assert_int_equal(fake_virtio_status(&f->driver), 0);
		if (f->client >= 0)
			hang_up(f);
		step(f);
	}
}

static void virtio_console_empty_buffers_come_back(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	put(f, 0, "readable", 8); /* in the queue that is ours to write to */
	give(f, 0, 100);
	give(f, 1, 100);
	const struct fake_buffer none = { 0x1000, 0, true };
	fake_queue_add(&f->queues[0], &none, 1);
	fake_queue_add(&f->queues[1], &none, 1);
	fake_queue_kick(&f->queues[1]);
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[1]), 2);
	assert_int_equal(type(f, "a"), 1);
	step(f);
	assert_int_equal(fake_queue_used_count(&f->queues[0]), 3);
}

static void virtio_console_reset_forgets_the_old_drivers_buffers(void **state)
{
	struct fixture *f = *state;

	create(f, true, 1);
	f->room = 0;
	for (int i = 0; i < 5; i++) {
		bring_up(f);
		introduce(f, 1);
		say(f, 0, PORT_OPEN, 1);
		give(f, 0, 10);
		give(f, 4, 10);
		put_text(f, 1, "stuck");
		step(f);
		assert_int_equal(fake_queue_used_count(&f->queues[1]), 0);
		fake_virtio_add_status(&f->driver, 0);
		step(f);
		assert_int_equal(fake_virtio_status(&f->driver), 0);
	}
	bring_up(f);
	introduce(f, 1);
	say(f, 0, PORT_OPEN, 1);
	f->room = 1000;
	f->end->writable(f->end->opaque);
	step(f);
	assert_int_equal(type(f, "new"), 3);
	expect_output(f, "");
	expect_no_input(f, 0);
	put_text(f, 1, "new");
	expect_output(f, "new");
	give(f, 0, 10);
	expect_input(f, 0, "new");
}

/* ---- the socket, and the command line ---- */

static void virtio_console_socket_is_the_users_alone(void **state)
{
	struct fixture *f = *state;
	struct stat status;

	create(f, false, 1);
	assert_int_equal(stat(f->channels[0].path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void virtio_console_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, f->channels[0].path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	create(f, false, 1);
	connect_client(f, 0);
}

static void virtio_console_socket_in_use_is_refused(void **state)
{
	struct fixture *f = *state;
	struct virtio_console *first;
	struct device *device;
	struct error err;

	create(f, false, 1);
	first = f->console;
	device = f->device;
	f->console = NULL;
	assert_int_equal(try_create(f, false, 1, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "--channel org.test.0,/tmp/"));
	assert_non_null(strstr(err.text, "another program listens there"));
	assert_int_equal(access(f->channels[0].path, F_OK), 0);
	f->console = first;
	f->device = device;
}

static void virtio_console_path_that_is_no_socket_is_refused(void **state)
{
	struct fixture *f = *state;
	struct error err;

	/* The second one, so that the first has to be undone. */
	int fd = open(f->channels[1].path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(try_create(f, true, 2, &err), -EEXIST);
	assert_non_null(strstr(err.text, "is no socket"));
	assert_int_equal(access(f->channels[0].path, F_OK), -1);
	assert_int_equal(access(f->channels[1].path, F_OK), 0);
	unlink(f->channels[1].path);
	snprintf(f->channels[1].path, sizeof(f->channels[1].path), "%s/no/such", f->folder);
	assert_int_equal(try_create(f, true, 2, &err), -ENOENT);
}

static void virtio_console_path_of_another_is_left_at_exit(void **state)
{
	struct fixture *f = *state;

	create(f, false, 1);
	unlink(f->channels[0].path);
	int fd = open(f->channels[0].path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	destroy(f);
	assert_int_equal(access(f->channels[0].path, F_OK), 0);
	unlink(f->channels[0].path);
}

static void virtio_console_channel_option_is_checked(void **state)
{
	struct virtio_console_channel channel;
	struct error err;
	char longest[64 + 3], text[200];

	(void)state;
	assert_int_equal(virtio_console_parse_channel("org.x.0,/run/a,b", &channel, &err), 0);
	assert_string_equal(channel.name, "org.x.0");
	assert_string_equal(channel.path, "/run/a,b");
	const char *bad[] = { "", "name", "name,", ",path", "a/b,path", "a b,path", "\x01,path" };
	for (size_t i = 0; i < array_size(bad); i++) {
		assert_int_equal(virtio_console_parse_channel(bad[i], &channel, &err), -EINVAL);
		assert_non_null(strstr(err.text, "--channel "));
	}
	memset(longest, 'n', 64);
	strcpy(longest + 63, ",p");
	assert_int_equal(virtio_console_parse_channel(longest, &channel, &err), 0);
	strcpy(longest + 64, ",p");
	longest[63] = 'n';
	assert_int_equal(virtio_console_parse_channel(longest, &channel, &err), -EINVAL);
	strcpy(text, "a,");
	memset(text + 2, 'p', 108);
	text[110] = 0;
	assert_int_equal(virtio_console_parse_channel(text, &channel, &err), -EINVAL);
	text[109] = 0;
	assert_int_equal(virtio_console_parse_channel(text, &channel, &err), 0);
}

static void virtio_console_names_are_unique_and_not_too_many(void **state)
{
	struct fixture *f = *state;
	static struct virtio_console_channel many[31];
	struct virtio_console_config config = { .mem = &f->driver.mem, .channels = many };
	struct error err;

	for (int i = 0; i < 31; i++) {
		snprintf(many[i].name, sizeof(many[i].name), "n%d", i);
		snprintf(many[i].path, sizeof(many[i].path), "%s/m%d", f->folder, i);
	}
	config.channel_count = 31;
	assert_int_equal(virtio_console_create(&config, &f->console, &err), -EINVAL);
	config.channel_count = 30;
	strcpy(many[29].name, "n3");
	assert_int_equal(virtio_console_create(&config, &f->console, &err), -EINVAL);
	assert_non_null(strstr(err.text, "n3"));
	strcpy(many[29].name, "n29");
	assert_int_equal(virtio_console_create(&config, &f->console, &err), 0);
	f->device = &virtio_console_vdev(f->console)->device;
	assert_int_equal(virtio_console_vdev(f->console)->queue_count, 64);
}

/* ---- with its thread ---- */

struct echo {
	struct fixture *f;
	int fd;
};

/* A guest that sends back what it gets on port 1. */
static void *echo_guest(void *opaque)
{
	struct fixture *f = opaque;
	uint32_t head = 0, written = 0;
	size_t echoed = 0;

	while (echoed < 100000) {
		fake_queue_wait(&f->queues[4], &head, &written);
		const struct fake_buffer back = { f->gpa[4][head], written, false };
		fake_queue_add(&f->queues[5], &back, 1);
		fake_queue_kick(&f->queues[5]);
		echoed += written;
		fake_queue_wait(&f->queues[5], &head, &written);
		f->driver.next_gpa = MIB(1);
		give(f, 4, 1000);
	}
	return NULL;
}

static void virtio_console_thread_carries_bytes(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[5000];
	pthread_t guest;
	size_t sent = 0, seen = 0;

	create(f, true, 1);
	bring_up(f);
	introduce(f, 1);
	say(f, 1, PORT_OPEN, 1);
	step(f);
	f->driver.next_gpa = MIB(1);
	give(f, 4, 1000);
	assert_int_equal(f->device->ops->start(f->device, NULL), 0);
	pthread_create(&guest, NULL, echo_guest, f);
	connect_client(f, 0);
	while (seen < 100000) {
		if (sent < 100000) {
			for (int i = 0; i < 1000; i++)
				bytes[i] = (uint8_t)((sent + (size_t)i) % 251);
			assert_int_equal(write(f->client, bytes, 1000), 1000);
			sent += 1000;
		}
		ssize_t got =
			recv(f->client, bytes, sizeof(bytes), sent < 100000 ? MSG_DONTWAIT : 0);
		for (ssize_t i = 0; i < got; i++)
			assert_int_equal(bytes[i], (seen + (size_t)i) % 251);
		seen += got > 0 ? (size_t)got : 0;
	}
	pthread_join(guest, NULL);
}

static void *typist(void *opaque)
{
	struct fixture *f = opaque;

	for (int i = 0; i < 3000; i++) {
		type(f, "some text");
		f->end->writable(f->end->opaque);
		if (i % 10 == 0)
			f->end->receive_break(f->end->opaque);
		if (i % 10 == 5)
			f->end->resized(f->end->opaque, 80, (unsigned)i);
	}
	return NULL;
}

static void virtio_console_thread_survives_resets_amid_everything(void **state)
{
	struct fixture *f = *state;
	pthread_t host;

	create(f, true, 1);
	assert_int_equal(f->device->ops->start(f->device, NULL), 0);
	pthread_create(&host, NULL, typist, f);
	for (int i = 0; i < 30; i++) {
		bring_up(f);
		for (int j = 0; j < 8; j++) {
			give(f, 2, 100);
			give(f, 0, 100);
			give(f, 4, 100);
		}
		say(f, 0, DEVICE_READY, 1);
		for (uint32_t j = 0; j < 2; j++) {
			say(f, j, PORT_READY, 1);
			say(f, j, PORT_OPEN, 1);
		}
		connect_client(f, 0);
		client_sends(f->client, "hello");
		put_text(f, 1, "out");
		put_text(f, 5, "out");
		pthread_mutex_lock(&f->lock);
		f->room = i % 2 ? 2 : 1000;
		pthread_mutex_unlock(&f->lock);
		if (i % 3)
			f->device->ops->reset(f->device);
		else
			fake_virtio_reset(&f->driver);
		hang_up(f);
		virtio_console_set_host(f->console, i % 5 ? &f->host : NULL);
	}
	pthread_join(host, NULL);
}

static void virtio_console_stop_writes_what_the_guest_has_sent(void **state)
{
	struct fixture *f = *state;

	create(f, true, 0);
	bring_up(f);
	step(f);
	for (int i = 0; i < 50; i++) {
		size_t before = f->got_count;
		assert_int_equal(f->device->ops->start(f->device, NULL), 0);
		f->driver.next_gpa = MIB(1);
		put_text(f, 1, "end");
		f->device->ops->stop(f->device);
		assert_int_equal(f->got_count, before + 3);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(virtio_console_output_reaches_the_host),
		TEST(virtio_console_input_reaches_the_guest),
		TEST(virtio_console_without_a_driver_takes_no_input),
		TEST(virtio_console_input_has_back_pressure),
		TEST(virtio_console_output_waits_for_a_full_host),
		TEST(virtio_console_without_a_host_discards),
		TEST(virtio_console_break_becomes_ctrl_o),
		TEST(virtio_console_break_is_not_lost_when_input_is_full),
		TEST(virtio_console_config_space_has_the_terminals_size),
		TEST(virtio_console_size_and_generation_change_at_once),
		TEST(virtio_console_emergency_write_needs_no_driver),
		TEST(virtio_console_machine_reset_forgets_what_was_typed),
		TEST(virtio_console_ports_are_introduced),
		TEST(virtio_console_channels_without_a_console_have_no_port_0),
		TEST(virtio_console_size_is_a_message_with_multiport),
		TEST(virtio_console_without_multiport_only_port_0_works),
		TEST(virtio_console_wrong_messages_are_ignored),
		TEST(virtio_console_control_buffer_too_short_comes_back_empty),
		TEST(virtio_console_messages_wait_and_do_not_pile_up),
		TEST(virtio_console_channel_passes_bytes_both_ways),
		TEST(virtio_console_client_before_the_guest_is_told_later),
		TEST(virtio_console_input_waits_while_the_guest_has_the_port_closed),
		TEST(virtio_console_slow_client_holds_the_guest_back),
		TEST(virtio_console_client_that_leaves_drops_what_it_was_to_get),
		TEST(virtio_console_last_words_of_a_client_reach_an_open_guest),
		TEST(virtio_console_client_that_leaves_a_closed_port_is_forgotten),
		TEST(virtio_console_half_closed_client_gets_its_answer),
		TEST(virtio_console_second_client_waits_for_the_first_to_leave),
		TEST(virtio_console_next_client_waits_until_the_guest_has_heard),
		TEST(virtio_console_client_stays_through_a_reset_of_the_guest),
		TEST(virtio_console_client_is_turned_away_without_descriptors),
		TEST(virtio_console_broken_queue_needs_a_reset_and_stops_all),
		TEST(virtio_console_empty_buffers_come_back),
		TEST(virtio_console_reset_forgets_the_old_drivers_buffers),
		TEST(virtio_console_socket_is_the_users_alone),
		TEST(virtio_console_stale_socket_is_replaced),
		TEST(virtio_console_socket_in_use_is_refused),
		TEST(virtio_console_path_that_is_no_socket_is_refused),
		TEST(virtio_console_path_of_another_is_left_at_exit),
		TEST(virtio_console_channel_option_is_checked),
		TEST(virtio_console_names_are_unique_and_not_too_many),
		TEST(virtio_console_thread_carries_bytes),
		TEST(virtio_console_thread_survives_resets_amid_everything),
		TEST(virtio_console_stop_writes_what_the_guest_has_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

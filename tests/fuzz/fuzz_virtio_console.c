/* A driver, clients of the sockets and a host console that do anything to the virtio console, and a
 * driver that does anything to the entropy device, which has the same worker. What must hold: the
 * device comes to rest, takes no more from the host than it has room for, reports a broken ring and
 * nothing else by NEEDS_RESET, and completes a reset whatever happened before. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/virtio_console.h"
#include "devices/virtio_rng.h"
#include "fake_virtio.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MEMORY_BYTES = 128 * 1024,
	RING_SIZE = 16,
	CHANNELS = 2,
	CLIENTS = 3,
	QUEUES = 4 + 2 * CHANNELS,
	BUFFERS_GPA = 0x4000,
};

struct machine {
	struct fake_virtio driver;
	struct fake_queue queues[QUEUES];
	bool enabled;
	struct event_thread *thread;
	struct device *device;
};

struct world {
	struct fuzz_input input;
	struct machine console, rng;
	const struct char_device *end;
	struct virtio_console *virtio_console;
	struct virtio_console_channel channels[CHANNELS];
	int clients[CLIENTS];
	size_t room;
};

static size_t host_write(void *opaque, const uint8_t *data, size_t length)
{
	struct world *world = opaque;
	size_t taken = length < world->room ? length : world->room;
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < taken; i++)
		sum = (uint8_t)(sum + data[i]);
	world->room -= taken;
	return taken;
}

static void host_resume_input(void *opaque)
{
	(void)opaque;
}

static void rest(struct machine *machine)
{
	unsigned rounds = 0;

	while (event_thread_step(machine->thread))
		if (++rounds > 20000)
			abort();
}

static void bring_up(struct machine *machine, uint64_t features, unsigned which)
{
	struct virtio_device *vdev = machine->driver.vdev;

	machine->driver.next_gpa = PAGE_BYTES;
	fake_virtio_negotiate(&machine->driver, features | VIRTIO_F_VERSION_1);
	for (unsigned i = 0; i < vdev->queue_count && i < QUEUES; i++) {
		fake_queue_init(&machine->queues[i], &machine->driver, RING_SIZE);
		machine->queues[i].index = i;
		if (which & 1u << i)
			fake_queue_enable(&machine->queues[i], i);
	}
	fake_virtio_driver_ok(&machine->driver);
	machine->enabled = true;
}

static void reset(struct machine *machine)
{
	fake_virtio_add_status(&machine->driver, 0);
	rest(machine);
	if (fake_virtio_status(&machine->driver))
		abort();
	machine->enabled = false;
}

static void add_chain(struct machine *machine, struct fuzz_input *input, unsigned queue)
{
	struct fake_buffer buffers[4];
	unsigned count = 1 + (fuzz_u8(input) & 3);

	for (unsigned i = 0; i < count; i++) {
		uint8_t flags = fuzz_u8(input);

		buffers[i] = (struct fake_buffer){
			.gpa = BUFFERS_GPA + (uint64_t)fuzz_u16(input) * 2,
			.length = flags & 2 ? fuzz_u16(input) : fuzz_u8(input),
			.writable = flags & 1,
		};
		if ((flags & 0xf0) == 0xf0)
			buffers[i].gpa <<= 20;
		if ((flags & 0xf0) == 0xe0)
			buffers[i].length <<= 16;
	}
	fake_queue_add(&machine->queues[queue], buffers, count);
}

/* What a driver says when it behaves, so that the states behind it are reached. */
static void say(struct machine *machine, uint32_t port, uint16_t event, uint16_t value)
{
	const struct fake_buffer buffer = { BUFFERS_GPA, 8, false };
	const uint8_t bytes[8] = { (uint8_t)port, (uint8_t)(port >> 8), (uint8_t)(port >> 16),
		(uint8_t)(port >> 24), (uint8_t)event, (uint8_t)(event >> 8), (uint8_t)value,
		(uint8_t)(value >> 8) };

	memcpy(fake_virtio_at(&machine->driver, BUFFERS_GPA, 8), bytes, 8);
	fake_queue_add(&machine->queues[3], &buffer, 1);
	fake_queue_ring(&machine->queues[3]);
	event_thread_step(machine->thread);
	event_thread_step(machine->thread);
}

static void introduce(struct machine *machine)
{
	const struct fake_buffer buffer = { BUFFERS_GPA + 64, 100, true };

	for (int i = 0; i < 12; i++)
		fake_queue_add(&machine->queues[2], &buffer, 1);
	say(machine, 0, 0, 1);
	for (uint32_t port = 0; port <= CHANNELS; port++) {
		say(machine, port, 3, 1);
		say(machine, port, 6, 1);
	}
}

static void registers(struct machine *machine, struct fuzz_input *input)
{
	struct virtio_device *vdev = machine->driver.vdev;
	uint8_t what = fuzz_u8(input), index = fuzz_u8(input);
	uint16_t value = fuzz_u16(input);

	fake_virtio_lock(&machine->driver);
	switch (what % 8) {
	case 0:
		virtio_queue_set_size(vdev, index, value);
		break;
	case 1:
		virtio_queue_set_address(
			vdev, index, what >> 3 & 3, what & 0x80, (uint32_t)value << 4);
		break;
	case 2:
		virtio_queue_enable(vdev, index);
		break;
	case 3:
		virtio_queue_reset(vdev, index);
		break;
	case 4:
		virtio_device_set_driver_features(vdev, index & 3, (uint32_t)value << (what >> 4));
		break;
	case 5:
		if (value & 0xff)
			virtio_device_set_status(vdev, (uint8_t)value);
		break;
	case 6:
		virtio_device_read_config(vdev, index, what >> 3);
		break;
	default:
		virtio_device_write_config(vdev, index, what >> 3, value);
		break;
	}
	fake_virtio_unlock(&machine->driver);
}

static void drive(struct world *world, struct machine *machine, unsigned operation)
{
	struct fuzz_input *input = &world->input;
	uint8_t arg = fuzz_u8(input);
	unsigned queue = arg % machine->driver.vdev->queue_count;

	switch (operation) {
	case 0:
		if (!machine->enabled)
			bring_up(machine, arg & 1 ? ~UINT64_C(0) : (uint64_t)arg << 24 | (arg >> 4),
				arg & 2 ? 0xff : fuzz_u8(input));
		break;
	case 1:
		if (machine->enabled && machine == &world->console)
			introduce(machine);
		break;
	case 2:
		if (machine->enabled)
			add_chain(machine, input, queue);
		break;
	case 3: {
		struct fake_queue *rung = &machine->queues[queue];

		if (machine->enabled)
			fake_queue_ring(rung);
		break;
	}
	case 4: { /* memory, rings included */
		uint64_t gpa = (uint64_t)fuzz_u16(input) & 0x7fff;
		size_t count = arg < input->size ? arg : input->size;

		memcpy(fake_virtio_at(&machine->driver, gpa, count), input->data, count);
		input->data += count;
		input->size -= count;
		break;
	}
	case 5:
		if (machine->enabled && machine == &world->console)
			say(machine, fuzz_u8(input) == 0xff ? 0x80000001u : arg & 3, arg >> 4,
				arg & 4 ? 1 : 0);
		break;
	case 6:
		registers(machine, input);
		break;
	case 7:
		if (arg < 32)
			reset(machine);
		else
			event_thread_step(machine->thread);
		break;
	}
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		if (errno != EAGAIN)
			abort();
		close(fd);
		fd = -1;
	}
	return fd;
}

static void client(struct world *world)
{
	static uint8_t bytes[4096];
	uint8_t arg = fuzz_u8(&world->input);
	int *fd = &world->clients[arg % CLIENTS];

	if (*fd < 0) {
		*fd = connect_to(world->channels[arg >> 7].path);
		return;
	}
	switch (arg >> 4 & 7) {
	case 0:
		close(*fd);
		*fd = -1;
		break;
	case 1:
		shutdown(*fd, arg & 8 ? SHUT_RD : SHUT_WR);
		break;
	case 2:
	case 3:
		if (recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0)
			break;
		break;
	default:
		if (send(*fd, bytes, (size_t)arg * 16, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		break;
	}
}

static void host(struct world *world)
{
	uint8_t arg = fuzz_u8(&world->input);
	const struct char_device *end = world->end;
	const struct char_host ends = { host_write, host_resume_input, world };

	switch (arg & 7) {
	case 0:
		end->receive_break(end->opaque);
		break;
	case 1:
		end->resized(end->opaque, arg, fuzz_u16(&world->input));
		break;
	case 2:
		world->room = arg;
		end->writable(end->opaque);
		break;
	case 3:
		virtio_console_set_host(world->virtio_console, arg & 8 ? &ends : NULL);
		break;
	default: {
		static uint8_t bytes[8192];

		if (end->receive(end->opaque, bytes, (size_t)arg * 32) > 4096)
			abort();
		break;
	}
	}
}

static void machine_init(
	struct machine *machine, struct virtio_device *vdev, struct event_thread *thread)
{
	fake_virtio_attach(&machine->driver, vdev);
	machine->thread = thread;
	machine->device = &vdev->device;
}

static void create(struct world *world, uint8_t kind)
{
	static char folder[64];
	const struct char_host ends = { host_write, host_resume_input, world };
	struct virtio_rng *rng;
	struct error err;

	if (!folder[0]) {
		strcpy(folder, "/tmp/vmgui-fuzz-XXXXXX");
		if (!mkdtemp(folder))
			abort();
	}
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(world->channels[i].name, sizeof(world->channels[i].name), "name%d", i);
		snprintf(world->channels[i].path, sizeof(world->channels[i].path), "%s/%d", folder,
			i);
	}
	fake_virtio_init(&world->console.driver, MEMORY_BYTES, 0);
	fake_virtio_init(&world->rng.driver, MEMORY_BYTES, 0);
	const struct virtio_console_config config = {
		.mem = &world->console.driver.mem,
		.console = !(kind & 1),
		.channels = world->channels,
		.channel_count = CHANNELS,
	};
	const struct virtio_rng_config rng_config = { .mem = &world->rng.driver.mem };
	if (virtio_console_create(&config, &world->virtio_console, &err) ||
		virtio_rng_create(&rng_config, &rng, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	world->end = virtio_console_char_device(world->virtio_console);
	virtio_console_set_host(world->virtio_console, &ends);
	machine_init(&world->console, virtio_console_vdev(world->virtio_console),
		virtio_console_thread(world->virtio_console));
	machine_init(&world->rng, virtio_rng_vdev(rng), virtio_rng_thread(rng));
}

static void destroy(struct world *world)
{
	for (int i = 0; i < CLIENTS; i++)
		if (world->clients[i] >= 0)
			close(world->clients[i]);
	for (int i = 0; i < 2; i++) {
		struct machine *machine = i ? &world->rng : &world->console;

		machine->device->ops->destroy(machine->device);
		fake_virtio_fini(&machine->driver);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;

	memset(&world, 0, sizeof(world));
	world.input = (struct fuzz_input){ data, size };
	world.room = 100;
	memset(world.clients, 0xff, sizeof(world.clients));
	create(&world, fuzz_u8(&world.input));
	while (world.input.size) {
		uint8_t op = fuzz_u8(&world.input);

		if (op >= 0xe0)
			drive(&world, &world.rng, op & 7);
		else if (op >= 0xb0)
			client(&world);
		else if (op >= 0x90)
			host(&world);
		else
			drive(&world, &world.console, op & 7);
		if (op & 8)
			event_thread_step(world.console.thread);
	}
	rest(&world.console);
	rest(&world.rng);
	reset(&world.console);
	reset(&world.rng);
	/* And it works as if nothing had happened. */
	const struct fake_buffer buffer = { BUFFERS_GPA, 64, true };
	bring_up(&world.rng, ~UINT64_C(0), 1);
	fake_queue_add(&world.rng.queues[0], &buffer, 1);
	fake_queue_ring(&world.rng.queues[0]);
	rest(&world.rng);
	if (fake_queue_used_count(&world.rng.queues[0]) != 1)
		abort();
	destroy(&world);
	return 0;
}

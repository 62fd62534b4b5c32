/* Virtio console: the device itself. Its parts: virtio_console_internal.h.
 *
 * Port 0 is the guest's console, if it is to have one; further ports have a name and a unix socket.
 * Only with those is multiport offered. The driver then asks for the ports on the control queues:
 *
 *   driver: DEVICE_READY      we: PORT_ADD for each port
 *   driver: PORT_READY        we: CONSOLE_PORT, RESIZE (port 0), PORT_NAME, PORT_OPEN
 *   driver: PORT_OPEN 1 or 0, as programs of the guest open and close the port
 *
 * Threads: "virtio-console" serves the queues and owns what device.lock does not guard; vCPU
 * threads under device.lock; the host's console through virtio_console_host.c.
 * Source: VIRTIO 1.2, section 5.3. */
#include "devices/virtio_console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio_console_internal.h"

#define FEATURE_SIZE        VIRTIO_FEATURE(0)
#define FEATURE_MULTIPORT   VIRTIO_FEATURE(1)
#define FEATURE_EMERG_WRITE VIRTIO_FEATURE(2)

struct console_config_space {
	uint16_t cols, rows;
	uint32_t port_count;
	uint32_t emergency_write;
};

enum control_event {
	EVENT_DEVICE_READY = 0, /* from the driver */
	EVENT_PORT_ADD = 1,
	EVENT_PORT_REMOVE = 2, /* never sent */
	EVENT_PORT_READY = 3,  /* from the driver */
	EVENT_CONSOLE_PORT = 4,
	EVENT_RESIZE = 5,
	EVENT_PORT_OPEN = 6, /* both ways */
	EVENT_PORT_NAME = 7,
};

struct control_message {
	uint32_t port;
	uint16_t event, value;
};

/* As the specification has it (5.3.6.2) and as Linux reads it since 2025, Debian's 6.1 too; older
 * kernels take the one for the other. Without multiport there is no doubt: the configuration space
 * is used. */
struct control_size {
	uint16_t cols, rows;
};

/* Messages that a port's pending bits stand for, in this order; PORT_OPEN follows. */
enum pending {
	PENDING_ADD = 1,
	PENDING_CONSOLE = 2,
	PENDING_RESIZE = 4,
	PENDING_NAME = 8,
};

#define CONTROL_TURN_MAX 64

static struct virtio_console *console_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_console, vdev);
}

static struct virtio_console *console_of_device(struct device *device)
{
	return container_of(device, struct virtio_console, vdev.device);
}

/* ---- control messages; the event thread ---- */

static bool has_message(const struct console_port *port)
{
	return port->pending || (port->ready && port->told_open != port->host_open);
}

/* Makes the port's next message; returns its length. What follows the header is at most as long as
 * a name. */
static size_t take_message(struct console_port *port, uint8_t *bytes)
{
	struct virtio_console *console = port->console;
	struct control_message message = { .port = port->number, .value = 1 };
	struct control_size size;
	size_t extra = 0;

	if (port->pending & PENDING_ADD) {
		port->pending &= ~(unsigned)PENDING_ADD;
		message.event = EVENT_PORT_ADD;
	} else if (port->pending & PENDING_CONSOLE) {
		port->pending &= ~(unsigned)PENDING_CONSOLE;
		message.event = EVENT_CONSOLE_PORT;
	} else if (port->pending & PENDING_RESIZE) {
		port->pending &= ~(unsigned)PENDING_RESIZE;
		message.event = EVENT_RESIZE;
		pthread_mutex_lock(&console->vdev.device.lock);
		size = (struct control_size){ .cols = console->cols, .rows = console->rows };
		pthread_mutex_unlock(&console->vdev.device.lock);
		extra = sizeof(size);
		memcpy(bytes + sizeof(message), &size, extra);
	} else if (port->pending & PENDING_NAME) {
		port->pending &= ~(unsigned)PENDING_NAME;
		message.event = EVENT_PORT_NAME;
		extra = strlen(port->name);
		memcpy(bytes + sizeof(message), port->name, extra);
	} else {
		port->told_open = port->host_open;
		message.event = EVENT_PORT_OPEN;
		message.value = port->told_open;
		port->ops->update(port);
	}
	memcpy(bytes, &message, sizeof(message));
	return sizeof(message) + extra;
}

static struct console_port *next_with_message(struct virtio_console *console)
{
	for (unsigned i = 0; i < console->port_count; i++)
		if (has_message(console->ports[i]))
			return console->ports[i];
	return NULL;
}

static int send_messages(struct virtio_console *console)
{
	struct virtqueue *ring = &console->vdev.queues[CONTROL_TO_DRIVER].ring;
	uint8_t bytes[sizeof(struct control_message) + VIRTIO_CONSOLE_NAME_BYTES];
	struct iovec iov[CONSOLE_QUEUE_SIZE];
	struct virtqueue_chain chain = { .iov = iov, .capacity = CONSOLE_QUEUE_SIZE };
	struct console_port *port;
	unsigned chains = 0, turns = 0;
	int rc = 0;

	virtqueue_disable_notify(ring);
	while ((port = next_with_message(console)) && turns++ < CONTROL_TURN_MAX) {
		size_t length;

		rc = virtqueue_pop(ring, &chain);
		if (rc < 0)
			break;
		if (!rc) {
			rc = virtqueue_enable_notify(ring);
			if (rc)
				continue;
			break;
		}
		length = take_message(port, bytes);
		if (chain.writable_bytes < length) {
			log_guest("virtio-console",
				"a control buffer of %llu bytes is too short for a message of %zu",
				(unsigned long long)chain.writable_bytes, length);
			length = 0;
		}
		virtqueue_fill(
			ring, chain.head, (uint32_t)virtqueue_write(&chain, 0, bytes, length));
		chains++;
	}
	if (chains && virtqueue_publish(ring))
		virtio_queue_interrupt(&console->vdev, CONTROL_TO_DRIVER);
	return rc > 0 && !port ? 0 : rc;
}

static void announce_ports(struct virtio_console *console)
{
	for (unsigned i = 0; i < console->port_count; i++) {
		struct console_port *port = console->ports[i];

		if (port->announced || (i == 0 && !console->console))
			continue;
		port->announced = true;
		port->pending |= PENDING_ADD;
	}
}

static void set_ready(struct console_port *port, bool ready)
{
	struct virtio_console *console = port->console;

	if (port->ready == ready)
		return;
	port->ready = ready;
	port->told_open = false;
	port->pending = 0;
	if (!ready) {
		port->guest_open = false;
	} else {
		if (port->number == 0) {
			pthread_mutex_lock(&console->vdev.device.lock);
			port->pending = PENDING_CONSOLE | (console->cols ? PENDING_RESIZE : 0);
			pthread_mutex_unlock(&console->vdev.device.lock);
		}
		if (port->name)
			port->pending |= PENDING_NAME;
	}
}

/* A message may be anything; ports are named by number only once they have been announced. */
static void handle_message(struct virtio_console *console, const struct control_message *message)
{
	struct console_port *port = NULL;

	if (message->event == EVENT_DEVICE_READY) {
		if (message->value == 1)
			announce_ports(console);
		return;
	}
	if (message->port < console->port_count)
		port = console->ports[message->port];
	if (!port || !port->announced) {
		log_guest("virtio-console", "control message %u for port %u, which there is not",
			message->event, (unsigned)message->port);
		return;
	}
	switch (message->event) {
	case EVENT_PORT_READY:
		set_ready(port, message->value == 1);
		break;
	case EVENT_PORT_OPEN:
		port->guest_open = message->value == 1;
		break;
	default:
		log_guest("virtio-console", "control message %u is not known", message->event);
		return;
	}
	port->ops->update(port);
	virtio_worker_again(console->worker, port->to_driver);
}

static int receive_messages(struct virtio_console *console)
{
	struct virtqueue *ring = &console->vdev.queues[CONTROL_FROM_DRIVER].ring;
	struct iovec iov[CONSOLE_QUEUE_SIZE];
	struct virtqueue_chain chain = { .iov = iov, .capacity = CONSOLE_QUEUE_SIZE };
	unsigned chains = 0, turns = 0;
	int rc = 1;

	virtqueue_disable_notify(ring);
	while (rc > 0 && turns++ < CONTROL_TURN_MAX) {
		struct control_message message;

		rc = virtqueue_pop(ring, &chain);
		if (!rc) {
			rc = virtqueue_enable_notify(ring);
		} else if (rc > 0) {
			if (virtqueue_read(&chain, 0, &message, sizeof(message)) == sizeof(message))
				handle_message(console, &message);
			else
				log_guest("virtio-console", "half a control message");
			virtqueue_fill(ring, chain.head, 0);
			chains++;
		}
	}
	if (chains) {
		if (virtqueue_publish(ring))
			virtio_queue_interrupt(&console->vdev, CONTROL_FROM_DRIVER);
		virtio_worker_again(console->worker, CONTROL_TO_DRIVER);
	}
	return rc;
}

/* ---- queues; the event thread ---- */

/* NULL: a control queue. */
static struct console_port *port_of_queue(struct virtio_console *console, unsigned queue)
{
	if (queue == CONTROL_TO_DRIVER || queue == CONTROL_FROM_DRIVER)
		return NULL;
	return console->ports[queue < 2 ? 0 : queue / 2 - 1];
}

static void queue_started(struct virtio_device *vdev, unsigned queue)
{
	(void)queue;
	console_of(vdev)->multiport = vdev->features & FEATURE_MULTIPORT;
}

static int serve_queue(struct virtio_device *vdev, unsigned queue)
{
	struct virtio_console *console = console_of(vdev);

	if (queue >= 2 && !console->multiport)
		return 0; /* a queue that such a driver does not have */
	if (queue == CONTROL_TO_DRIVER)
		return send_messages(console);
	if (queue == CONTROL_FROM_DRIVER)
		return receive_messages(console);
	return console_port_serve(port_of_queue(console, queue), queue);
}

static void queue_stopped(struct virtio_device *vdev, unsigned queue)
{
	struct console_port *port = port_of_queue(console_of(vdev), queue);

	if (port)
		console_port_stopped(port, queue);
}

static const struct virtio_worker_ops worker_ops = {
	.started = queue_started,
	.serve = serve_queue,
	.stopped = queue_stopped,
};

/* The driver has gone, and with it all that was said on the control queues. Posted, and so done
 * before a next driver's queues start. */
static void reset_in_thread(struct event_call *call)
{
	struct virtio_console *console = container_of(call, struct virtio_console, reset_call);

	console->multiport = false;
	for (unsigned i = 0; i < console->port_count; i++) {
		struct console_port *port = console->ports[i];

		port->announced = port->ready = port->guest_open = port->told_open = false;
		port->pending = 0;
		port->ops->update(port);
	}
}

/* ---- the terminal's size ---- */

static void resize_in_thread(struct event_call *call)
{
	struct virtio_console *console = container_of(call, struct virtio_console, resize_call);

	if (console->host.port.ready)
		console->host.port.pending |= PENDING_RESIZE;
	virtio_worker_again(console->worker, CONTROL_TO_DRIVER);
}

void console_set_size(struct virtio_console *console, unsigned cols, unsigned rows)
{
	uint16_t new_cols = cols <= UINT16_MAX ? (uint16_t)cols : UINT16_MAX;
	uint16_t new_rows = rows <= UINT16_MAX ? (uint16_t)rows : UINT16_MAX;
	bool changed;

	pthread_mutex_lock(&console->vdev.device.lock);
	changed = console->cols != new_cols || console->rows != new_rows;
	console->cols = new_cols;
	console->rows = new_rows;
	/* Under the lock: no driver reads new columns, old rows and the old generation. */
	if (changed)
		virtio_config_changed(&console->vdev);
	pthread_mutex_unlock(&console->vdev.device.lock);
	if (changed)
		event_thread_post(virtio_worker_thread(console->worker), &console->resize_call);
}

/* ---- the transport's calls, with device.lock held ---- */

static void queue_start(struct virtio_device *vdev, unsigned queue)
{
	virtio_worker_queue_start(console_of(vdev)->worker, queue);
}

static void queue_stop(struct virtio_device *vdev, unsigned queue)
{
	virtio_worker_queue_stop(console_of(vdev)->worker, queue);
}

static void driver_reset(struct virtio_device *vdev)
{
	struct virtio_console *console = console_of(vdev);

	event_thread_post(virtio_worker_thread(console->worker), &console->reset_call);
}

static uint64_t read_config(struct virtio_device *vdev, unsigned offset, unsigned width)
{
	struct virtio_console *console = console_of(vdev);
	const struct console_config_space space = {
		.cols = console->cols,
		.rows = console->rows,
		.port_count = console->port_count,
	};
	uint64_t value = 0;

	memcpy(&value, (const uint8_t *)&space + offset, width);
	return value;
}

static void write_config(
	struct virtio_device *vdev, unsigned offset, unsigned width, uint64_t value)
{
	struct virtio_console *console = console_of(vdev);

	(void)width;
	if (offset == offsetof(struct console_config_space, emergency_write) && console->console)
		console_host_emergency_write(console, (uint8_t)value);
}

static const struct virtio_device_ops vdev_ops = {
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.reset = driver_reset,
	.read_config = read_config,
	.write_config = write_config,
};

/* ---- life ---- */

static void console_reset(struct device *device)
{
	struct virtio_console *console = console_of_device(device);

	virtio_device_reset(&console->vdev);
	console_host_clear(console);
}

static int console_start(struct device *device, struct error *err)
{
	return virtio_worker_start(console_of_device(device)->worker, "virtio-console", err);
}

static void console_stop(struct device *device)
{
	struct virtio_console *console = console_of_device(device);

	/* The guest's last words, should their doorbell not have been heard yet. */
	for (unsigned i = 0; i < console->port_count; i++)
		virtio_worker_again(console->worker, console->ports[i]->from_driver);
	virtio_worker_stop(console->worker);
}

static void console_destroy(struct device *device)
{
	struct virtio_console *console;

	if (!device)
		return;
	console = console_of_device(device);
	for (unsigned i = 0; i < VIRTIO_CONSOLE_MAX_CHANNELS; i++)
		console_channel_destroy(console->channels[i]);
	if (console->spare_fd >= 0)
		close(console->spare_fd);
	virtio_worker_destroy(console->worker);
	virtio_device_fini(&console->vdev);
	free(console);
}

static const struct device_ops console_device_ops = {
	.name = "virtio-console",
	.reset = console_reset,
	.start = console_start,
	.stop = console_stop,
	.destroy = console_destroy,
};

int virtio_console_parse_channel(
	const char *argument, struct virtio_console_channel *channel, struct error *err)
{
	const char *comma = strchr(argument, ',');
	size_t length = comma ? (size_t)(comma - argument) : 0;

	if (!length || !comma[1])
		return error_set(err, EINVAL,
			"--channel %s: a name and a path are needed (--channel NAME,PATH)",
			argument);
	if (length >= sizeof(channel->name))
		return error_set(err, EINVAL,
			"--channel %s: the name is too long (at most %zu bytes)", argument,
			sizeof(channel->name) - 1);
	/* The guest makes a file name of it. */
	for (size_t i = 0; i < length; i++)
		if (argument[i] == '/' || (unsigned char)argument[i] <= ' ' || argument[i] == 0x7f)
			return error_set(err, EINVAL,
				"--channel %s: the name has a character that it may not have (use "
				"letters, digits, dots and dashes)",
				argument);
	if (strlen(comma + 1) >= sizeof(channel->path))
		return error_set(err, EINVAL,
			"--channel %s: the path is too long for a socket (at most %zu bytes)",
			argument, sizeof(channel->path) - 1);
	memcpy(channel->name, argument, length);
	channel->name[length] = 0;
	strcpy(channel->path, comma + 1);
	return 0;
}

static int check_names(const struct virtio_console_config *config, struct error *err)
{
	if (config->channel_count > VIRTIO_CONSOLE_MAX_CHANNELS)
		return error_set(err, EINVAL, "--channel: %u channels are too many (at most %u)",
			config->channel_count, VIRTIO_CONSOLE_MAX_CHANNELS);
	for (unsigned i = 0; i < config->channel_count; i++)
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(config->channels[i].name, config->channels[j].name))
				return error_set(err, EINVAL,
					"--channel %s,%s: the name is taken by another channel "
					"(choose "
					"another)",
					config->channels[i].name, config->channels[i].path);
	return 0;
}

int virtio_console_create(
	const struct virtio_console_config *config, struct virtio_console **out, struct error *err)
{
	const struct virtio_device_config vdev_config = {
		.name = "virtio-console",
		.ops = &vdev_ops,
		.id = VIRTIO_ID_CONSOLE,
		.mem = config->mem,
		.features = (config->console ? FEATURE_SIZE | FEATURE_EMERG_WRITE : 0) |
			    (config->channel_count ? FEATURE_MULTIPORT : 0),
		.config_bytes = sizeof(struct console_config_space),
		.queue_count = config->channel_count ? 4 + 2 * config->channel_count : 2,
		.max_queue_size = CONSOLE_QUEUE_SIZE,
	};
	struct virtio_console *console;
	int rc = check_names(config, err);

	if (rc)
		return rc;
	console = calloc(1, sizeof(*console));
	if (!console)
		return error_set(err, ENOMEM, "virtio-console: out of memory");
	console->console = config->console;
	console->reset_call.function = reset_in_thread;
	console->resize_call.function = resize_in_thread;
	console->spare_fd = -1;
	rc = virtio_device_init(&console->vdev, &console_device_ops, &vdev_config, err);
	if (rc)
		goto free_console;
	rc = virtio_worker_create(&console->vdev, &worker_ops, &console->worker, err);
	if (rc)
		goto fini_vdev;
	console_host_init(console);
	console->ports[console->port_count++] = &console->host.port;
	if (config->channel_count)
		console->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < config->channel_count; i++) {
		rc = console_channel_create(console, console->port_count, &config->channels[i],
			&console->channels[i], err);
		if (rc) {
			console_destroy(&console->vdev.device);
			return rc;
		}
		console->ports[console->port_count++] = console_channel_port(console->channels[i]);
	}
	*out = console;
	return 0;

fini_vdev:
	virtio_device_fini(&console->vdev);
free_console:
	free(console);
	return rc;
}

struct virtio_device *virtio_console_vdev(struct virtio_console *console)
{
	return &console->vdev;
}

struct event_thread *virtio_console_thread(struct virtio_console *console)
{
	return virtio_worker_thread(console->worker);
}

/* A port of the virtio console: two queues, and whoever is behind them.
 *
 * Bytes are copied once, between the guest's buffers and the socket or terminal: what nobody takes
 * stays in the guest's queue, what the guest does not take stays in the socket. So memory is
 * bounded and nothing is lost, whichever side is slow; a popped chain that waits is all that a port
 * keeps.
 *
 * Threads: the device's event thread. Source: VIRTIO 1.2, section 5.3.6. */
#include <string.h>

#include "devices/virtio_console_internal.h"

/* What one look at a queue may do before others have a turn. */
enum {
	TURN_MAX_BYTES = 256 * 1024,
	TURN_MAX_CHAINS = 256,
	PIECES = 16, /* buffers written at once */
};

void console_port_init(struct console_port *port, struct virtio_console *console, unsigned number,
	const struct console_port_ops *ops)
{
	port->console = console;
	port->ops = ops;
	port->number = number;
	/* The control queues come after the first port's. */
	port->to_driver = number ? 2 + 2 * number : 0;
	port->from_driver = port->to_driver + 1;
	port->input =
		(struct virtqueue_chain){ .iov = port->input_iov, .capacity = CONSOLE_QUEUE_SIZE };
	port->output =
		(struct virtqueue_chain){ .iov = port->output_iov, .capacity = CONSOLE_QUEUE_SIZE };
}

bool console_port_listens(const struct console_port *port)
{
	const struct virtio_console *console = port->console;

	/* Without multiport there is one port, and nobody says when it is open. */
	return (console->multiport ? port->guest_open : port->number == 0) &&
	       virtio_worker_is_live(console->worker, port->to_driver);
}

bool console_port_wants_input(const struct console_port *port)
{
	return !port->starved && console_port_listens(port);
}

bool console_port_wants_output(const struct console_port *port)
{
	return port->output_held && virtio_worker_is_live(port->console->worker, port->from_driver);
}

void console_port_set_host_open(struct console_port *port, bool open)
{
	port->host_open = open;
	virtio_worker_again(port->console->worker, CONTROL_TO_DRIVER);
}

static int serve_input(struct console_port *port)
{
	struct virtio_device *vdev = &port->console->vdev;
	struct virtqueue *ring = &vdev->queues[port->to_driver].ring;
	unsigned chains = 0, turns = 0;
	size_t bytes = 0;
	int rc = 0;

	if (!console_port_listens(port)) {
		port->ops->update(port);
		return 0;
	}
	virtqueue_disable_notify(ring);
	port->starved = false;
	while (turns++ < TURN_MAX_CHAINS && bytes < TURN_MAX_BYTES) {
		size_t got = 0;

		if (!port->input_held) {
			rc = virtqueue_pop(ring, &port->input);
			if (rc < 0)
				break;
			if (!rc) {
				/* Counted as well: the driver may go back on its word. */
				rc = virtqueue_enable_notify(ring);
				if (rc)
					continue;
				port->starved = true;
				break;
			}
			port->input_held = true;
		}
		if (port->input.writable_count) {
			got = port->ops->read(port, port->input_iov + port->input.readable_count,
				port->input.writable_count);
			if (!got) {
				rc = 0;
				break;
			}
		}
		virtqueue_fill(ring, port->input.head, (uint32_t)got);
		port->input_held = false;
		bytes += got;
		chains++;
		rc = 1;
	}
	if (chains && virtqueue_publish(ring))
		virtio_queue_interrupt(vdev, port->to_driver);
	port->ops->update(port);
	return rc;
}

/* The part of the chain that has not been sent: at most PIECES buffers. */
static unsigned unsent(const struct console_port *port, struct iovec *iov)
{
	uint64_t skip = port->output_sent;
	unsigned count = 0;

	for (unsigned i = 0; i < port->output.readable_count && count < PIECES; i++) {
		size_t length = port->output_iov[i].iov_len;

		if (skip >= length) {
			skip -= length;
			continue;
		}
		iov[count++] = (struct iovec){
			.iov_base = (uint8_t *)port->output_iov[i].iov_base + skip,
			.iov_len = length - skip,
		};
		skip = 0;
	}
	return count;
}

static int serve_output(struct console_port *port)
{
	struct virtio_device *vdev = &port->console->vdev;
	struct virtqueue *ring = &vdev->queues[port->from_driver].ring;
	struct iovec iov[PIECES];
	unsigned chains = 0, turns = 0;
	size_t bytes = 0;
	int rc = 0;

	virtqueue_disable_notify(ring);
	while (turns++ < TURN_MAX_CHAINS && bytes < TURN_MAX_BYTES) {
		if (!port->output_held) {
			rc = virtqueue_pop(ring, &port->output);
			if (rc < 0)
				break;
			if (!rc) {
				rc = virtqueue_enable_notify(ring);
				if (rc)
					continue;
				break;
			}
			port->output_held = true;
			port->output_sent = 0;
		}
		rc = 1;
		if (port->output_sent < port->output.readable_bytes) {
			unsigned count = unsent(port, iov);
			size_t taken = port->ops->write(port, iov, count);

			port->output_sent += taken;
			bytes += taken;
			if (taken < console_iov_bytes(iov, count)) {
				rc = 0;
				break;
			}
			if (port->output_sent < port->output.readable_bytes)
				continue;
		}
		virtqueue_fill(ring, port->output.head, 0);
		port->output_held = false;
		chains++;
	}
	if (chains && virtqueue_publish(ring))
		virtio_queue_interrupt(vdev, port->from_driver);
	port->ops->update(port);
	return rc;
}

int console_port_serve(struct console_port *port, unsigned queue)
{
	return queue == port->to_driver ? serve_input(port) : serve_output(port);
}

void console_port_stopped(struct console_port *port, unsigned queue)
{
	if (queue == port->to_driver)
		port->input_held = port->starved = false;
	else
		port->output_held = false;
	port->ops->update(port);
}

/* Behind port 0: the host's console, as behind a serial port (core/char_channel.h).
 *
 * Nothing is taken from the host while no guest listens, so what is piped into vmgui waits there
 * for the driver, and is not eaten by one that resets the device first.
 *
 * There is no break on this line. Linux takes Ctrl-O for one on hvc consoles (the next byte is a
 * SysRq command, on the console that has the kernel's messages), so that is what a break becomes.
 *
 * Threads: the host's thread (char_device) and the event thread, both with device.lock; vCPUs for
 * emergency writes. */
#include <string.h>

#include "devices/virtio_console_internal.h"

#define CTRL_O 0x0f
/* The lock is held that long: vCPUs want it, too. */
#define WRITE_MAX_BYTES ((size_t)16 * 1024)

static void lock(struct virtio_console *console)
{
	pthread_mutex_lock(&console->vdev.device.lock);
}

static void unlock(struct virtio_console *console)
{
	pthread_mutex_unlock(&console->vdev.device.lock);
}

/* ---- with device.lock held ---- */

static void put(struct console_host *host, uint8_t byte)
{
	host->input[(host->input_head + host->input_count++) % CONSOLE_INPUT_BYTES] = byte;
}

/* There may be room: a break that waited first, then the host's bytes, though not for each single
 * one that the guest takes. */
static void resume_input(struct console_host *host)
{
	if (host->break_waits && host->input_count < CONSOLE_INPUT_BYTES) {
		host->break_waits = false;
		put(host, CTRL_O);
	}
	if (host->input_refused && host->listens && host->input_count <= CONSOLE_INPUT_BYTES / 2) {
		host->input_refused = false;
		if (host->host.resume_input)
			host->host.resume_input(host->host.opaque);
	}
}

void console_host_emergency_write(struct virtio_console *console, uint8_t byte)
{
	const struct char_host *host = &console->host.host;

	/* The guest is beyond waiting: a byte that finds no room is lost. */
	if (host->write)
		host->write(host->opaque, &byte, 1);
}

/* ---- for the host ---- */

static size_t host_receive(void *opaque, const uint8_t *data, size_t length)
{
	struct virtio_console *console = opaque;
	struct console_host *host = &console->host;
	size_t taken = 0;

	lock(console);
	if (host->listens) /* a break that waits has found no room, and is put where there is some
			    */
		while (taken < length && host->input_count < CONSOLE_INPUT_BYTES)
			put(host, data[taken++]);
	if (taken < length)
		host->input_refused = true;
	unlock(console);
	if (taken)
		virtio_worker_again(console->worker, host->port.to_driver);
	return taken;
}

static void host_writable(void *opaque)
{
	struct virtio_console *console = opaque;

	virtio_worker_again(console->worker, console->host.port.from_driver);
}

static void host_receive_break(void *opaque)
{
	struct virtio_console *console = opaque;
	struct console_host *host = &console->host;

	lock(console);
	host->break_waits = true;
	resume_input(host);
	unlock(console);
	virtio_worker_again(console->worker, host->port.to_driver);
}

static void host_resized(void *opaque, unsigned cols, unsigned rows)
{
	console_set_size(opaque, cols, rows);
}

void virtio_console_set_host(struct virtio_console *console, const struct char_host *host)
{
	lock(console);
	console->host.host = host ? *host : (struct char_host){ 0 };
	unlock(console);
	host_writable(console); /* or discarded, if there is nobody */
}

const struct char_device *virtio_console_char_device(struct virtio_console *console)
{
	return &console->host.char_device;
}

/* ---- for the port ---- */

static size_t port_read(struct console_port *port, const struct iovec *iov, unsigned count)
{
	struct console_host *host = container_of(port, struct console_host, port);
	size_t done = 0;

	lock(port->console);
	for (unsigned i = 0; i < count && host->input_count; i++) {
		uint8_t *to = iov[i].iov_base;

		for (size_t j = 0; j < iov[i].iov_len && host->input_count; j++) {
			to[j] = host->input[host->input_head++ % CONSOLE_INPUT_BYTES];
			host->input_count--;
			done++;
		}
	}
	resume_input(host);
	unlock(port->console);
	return done;
}

static size_t port_write(struct console_port *port, const struct iovec *iov, unsigned count)
{
	struct console_host *host = container_of(port, struct console_host, port);
	size_t done = 0;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *from = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left) {
			size_t wanted = left < WRITE_MAX_BYTES ? left : WRITE_MAX_BYTES;
			size_t taken = wanted;

			lock(port->console);
			if (host->host.write)
				taken = host->host.write(host->host.opaque, from, wanted);
			unlock(port->console);
			if (taken > wanted)
				taken = wanted;
			done += taken;
			from += taken;
			left -= taken;
			if (taken < wanted)
				return done;
		}
	}
	return done;
}

static void port_update(struct console_port *port)
{
	struct console_host *host = container_of(port, struct console_host, port);

	lock(port->console);
	host->listens = console_port_listens(port);
	resume_input(host);
	unlock(port->console);
}

static const struct console_port_ops port_ops = {
	.read = port_read,
	.write = port_write,
	.update = port_update,
};

void console_host_init(struct virtio_console *console)
{
	struct console_host *host = &console->host;

	console_port_init(&host->port, console, 0, &port_ops);
	host->port.host_open = console->console;
	host->char_device = (struct char_device){
		.receive = host_receive,
		.writable = host_writable,
		.receive_break = host_receive_break,
		.resized = host_resized,
		.opaque = console,
	};
}

void console_host_clear(struct virtio_console *console)
{
	lock(console);
	console->host.input_count = 0;
	console->host.break_waits = false;
	unlock(console);
}

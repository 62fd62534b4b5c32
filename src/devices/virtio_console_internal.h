/* What the parts of the virtio console know of each other.
 *
 *   virtio_console.c           the device: configuration space, control messages, life
 *   virtio_console_port.c      a port's two queues, and who is behind it
 *   virtio_console_host.c      behind port 0: the host's console
 *   virtio_console_channel.c   behind the others: a unix socket each
 *
 * Unless said otherwise all of it runs in the device's event thread, without a lock. */
#ifndef VMGUI_DEVICES_VIRTIO_CONSOLE_INTERNAL_H
#define VMGUI_DEVICES_VIRTIO_CONSOLE_INTERNAL_H

#include "core/virtio/virtio_worker.h"
#include "devices/virtio_console.h"

enum {
	CONSOLE_QUEUE_SIZE = 128,
	CONSOLE_INPUT_BYTES = 4096, /* power of two */
	CONSOLE_MAX_PORTS = VIRTIO_CONSOLE_MAX_CHANNELS + 1,

	CONTROL_TO_DRIVER = 2, /* queues, both from the host's point of view */
	CONTROL_FROM_DRIVER = 3,
};

struct console_port;

/* Who is behind a port. */
struct console_port_ops {
	/* Bytes for the guest, at most as many as fit. 0: none now; whoever is behind sees to it
	 * that the queue to the driver is served again (virtio_worker_again) when there are. */
	size_t (*read)(struct console_port *port, const struct iovec *iov, unsigned count);
	/* Bytes from the guest; returns how many were taken, thrown away ones included. Fewer than
	 * all: the queue from the driver is served again when there is room. */
	size_t (*write)(struct console_port *port, const struct iovec *iov, unsigned count);
	/* What console_port_listens, _wants_input or _wants_output say, or told_open, may have
	 * changed. */
	void (*update)(struct console_port *port);
};

struct console_port {
	struct virtio_console *console; /* immutable, like the next five */
	const struct console_port_ops *ops;
	unsigned number, to_driver, from_driver; /* queues */
	const char *name;                        /* NULL: none */

	/* The conversation on the control queues. Messages are not queued but made from this when
	 * the driver has a buffer for them, so there is never more than one of a kind. */
	bool announced;  /* PORT_ADD has been or is about to be sent */
	bool ready;      /* the driver has answered that */
	bool guest_open; /* what the driver said last */
	bool host_open;  /* somebody is behind the port */
	bool told_open;  /* what the driver has been told of it */
	unsigned pending;

	/* Popped chains wait here for bytes to come or to go; `starved`: the driver has given no
	 * buffer to put any into. */
	bool starved, input_held, output_held;
	struct virtqueue_chain input, output;
	uint64_t output_sent; /* bytes of the chain */
	struct iovec input_iov[CONSOLE_QUEUE_SIZE], output_iov[CONSOLE_QUEUE_SIZE];
};

/* Port 0. device.lock guards everything but port: the host's thread comes here. */
struct console_host {
	struct console_port port;
	struct char_device char_device; /* immutable */
	struct char_host host;
	uint8_t input[CONSOLE_INPUT_BYTES]; /* what the driver has had no buffer for */
	unsigned input_head, input_count;   /* the head runs freely */
	bool listens;                       /* the guest does; without it, nothing is taken */
	bool input_refused;                 /* the host waits for resume_input */
	bool break_waits;                   /* it found the input full */
};

struct console_channel;

struct virtio_console {
	struct virtio_device vdev;
	struct virtio_worker *worker; /* immutable after create, like the next four */
	bool console;
	unsigned port_count;
	struct console_port *ports[CONSOLE_MAX_PORTS];
	struct console_channel *channels[VIRTIO_CONSOLE_MAX_CHANNELS];
	struct event_call reset_call, resize_call;
	uint16_t cols, rows; /* device.lock; 0: not known */

	bool multiport; /* negotiated */
	int spare_fd;   /* see virtio_console_channel.c */
	struct console_host host;
};

/* ---- ports ---- */

void console_port_init(struct console_port *port, struct virtio_console *console, unsigned number,
	const struct console_port_ops *ops);
/* For virtio_worker_ops.serve: the queue to, or from, the driver. */
VMGUI_MUST_USE int console_port_serve(struct console_port *port, unsigned queue);
/* A queue of the port has stopped: its chain is forgotten. */
void console_port_stopped(struct console_port *port, unsigned queue);
/* The guest has the port open: input is for it to take, sooner or later. */
bool console_port_listens(const struct console_port *port);
/* It listens and has a buffer. */
bool console_port_wants_input(const struct console_port *port);
/* Bytes of it wait for whoever is behind the port. */
bool console_port_wants_output(const struct console_port *port);
/* Somebody is behind the port, or no longer: the driver is told. */
void console_port_set_host_open(struct console_port *port, bool open);

/* ---- who is behind ---- */

void console_host_init(struct virtio_console *console);
/* The machine's reset: what was typed for the old guest is not for the new one. */
void console_host_clear(struct virtio_console *console);
/* A byte straight to the host. With device.lock held. */
void console_host_emergency_write(struct virtio_console *console, uint8_t byte);

VMGUI_MUST_USE int console_channel_create(struct virtio_console *console, unsigned number,
	const struct virtio_console_channel *config, struct console_channel **out,
	struct error *err);
struct console_port *console_channel_port(struct console_channel *channel);
/* NULL is fine; the thread has stopped. */
void console_channel_destroy(struct console_channel *channel);

/* ---- the device ---- */

/* The size of the host's terminal. Any thread, without device.lock. */
void console_set_size(struct virtio_console *console, unsigned cols, unsigned rows);

static inline size_t console_iov_bytes(const struct iovec *iov, unsigned count)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

#endif

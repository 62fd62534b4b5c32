/* Virtio console: the guest's hvc0, and named ports on unix sockets for guest agents. See
 * virtio_console.c. */
#ifndef VMGUI_DEVICES_VIRTIO_CONSOLE_H
#define VMGUI_DEVICES_VIRTIO_CONSOLE_H

#include "core/char_channel.h"
#include "core/event_thread.h"
#include "core/unix_listener.h"
#include "core/virtio/virtio_device.h"

#define VIRTIO_CONSOLE_MAX_CHANNELS 30u /* with port 0 and two control queues: all 64 queues */
#define VIRTIO_CONSOLE_NAME_BYTES   64

/* A port of the guest, /dev/virtio-ports/NAME there, and the socket that we listen on for it. */
struct virtio_console_channel {
	char name[VIRTIO_CONSOLE_NAME_BYTES];
	char path[UNIX_LISTENER_PATH_BYTES];
};

struct virtio_console_config {
	const struct guest_mem *mem;
	bool console; /* port 0 is the guest's console hvc0; false: there are channels only */
	const struct virtio_console_channel *channels; /* copied */
	unsigned channel_count;
};

/* For virtio_pci_create. */
#define VIRTIO_CONSOLE_PCI_CLASS UINT32_C(0x078000) /* communication controller, other */

struct virtio_console;

/* "NAME,PATH", the value of --channel. -EINVAL with a line for the user. */
VMGUI_MUST_USE int virtio_console_parse_channel(
	const char *argument, struct virtio_console_channel *channel, struct error *err);

/* Begins to listen (clients may connect, and wait until the guest runs). -EINVAL: a name twice or
 * too many; -EEXIST, -EADDRINUSE and so on: see unix_listener_open. */
VMGUI_MUST_USE int virtio_console_create(
	const struct virtio_console_config *config, struct virtio_console **out, struct error *err);
/* The device for virtio_pci_create and, its first member, for the machine. */
struct virtio_device *virtio_console_vdev(struct virtio_console *console);

/* The end of port 0 that the host side talks to; lives as long as the device. */
const struct char_device *virtio_console_char_device(struct virtio_console *console);
/* Connects the host side; *host is copied. NULL (and the state after create): nobody listens,
 * output is discarded. */
void virtio_console_set_host(struct virtio_console *console, const struct char_host *host);

/* For tests, which step it. */
struct event_thread *virtio_console_thread(struct virtio_console *console);

#endif

/* Message-signalled interrupts as a service that PCI's MSI and MSI-X (core/pci_msi.h) use.
 *
 * A vector owns an eventfd. Writing 1 to it raises the interrupt while the vector is bound to a
 * message; while it is not (masked), the eventfd keeps count, and binding it again raises once and
 * leaves it empty. */
#ifndef VMGUI_CORE_MSI_H
#define VMGUI_CORE_MSI_H

#include "core/util.h"

struct msi_message {
	uint64_t address;
	uint32_t data;
};

struct msi_controller {
	/* A free interrupt number, or -ENOSPC. */
	int (*allocate)(void *opaque);
	void (*release)(void *opaque, unsigned gsi);
	/* Writes to the eventfd, which does not block, now send the message. 0 or negative errno.
	 */
	int (*bind)(void *opaque, unsigned gsi, int eventfd, const struct msi_message *message);
	/* The message of a bound vector changes; no interrupt is lost. */
	int (*update)(void *opaque, unsigned gsi, const struct msi_message *message);
	void (*unbind)(void *opaque, unsigned gsi, int eventfd);
	void *opaque;
};

#endif

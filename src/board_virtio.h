/* The board's virtio devices and their places on the PCI bus: disks, console, random numbers. */
#ifndef VMGUI_BOARD_VIRTIO_H
#define VMGUI_BOARD_VIRTIO_H

#include "config.h"
#include "disks.h"

struct board;

/* As the options say; takes the disks over, one by one. What was made before a failure is the
 * machine's and goes with it. */
VMGUI_MUST_USE int board_virtio_create(
	struct board *board, const struct config *config, struct disks *disks, struct error *err);

#endif

/* The board: which chips the machine has, where they are and how they are wired. One function,
 * board_create, is the table of it all. */
#ifndef VMGUI_BOARD_H
#define VMGUI_BOARD_H

#include "config.h"
#include "core/boot/boot.h"
#include "core/display_source.h"
#include "core/input_sink.h"
#include "core/irq_or.h"
#include "core/machine.h"
#include "core/pci.h"
#include "core/timer.h"
#include "disks.h"

#define BOARD_SERIAL_PORTS 4

struct board_video {
	unsigned width, height, depth;
};

struct board {
	struct machine machine;
	struct timer_queue *timers;
	struct pci_bus *pci;
	struct device pci_device; /* passes the machine's resets on to the bus */
	struct device_memory *vram;
	struct vga *vga;
	struct serial *serial[BOARD_SERIAL_PORTS]; /* COM1.. */
	struct irq_or serial_irq[2];               /* IRQ 3, IRQ 4 */
	struct i8042 *i8042;
	struct vmmouse *vmmouse;
	struct acpi_pm *acpi_pm;
	struct virtio_console *console; /* NULL: there is none */
	struct board_video video;
};

/* Everything but the guest; on failure nothing is left. The machine owns the devices, and these the
 * disks. */
VMGUI_MUST_USE int board_create(const struct config *config, const struct board_video *video,
	struct disks *disks, struct board *board, struct error *err);
void board_destroy(struct board *board);
/* ACPI tables and kernel into cleared memory: the machine's load hook. */
VMGUI_MUST_USE int board_load(
	struct board *board, struct boot_image *image, struct boot_entry *entry, struct error *err);

#endif

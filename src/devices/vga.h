/* The graphics card: PCI 1234:1111, the Bochs display with a linear framebuffer, as stock drivers
 * (bochs-drm, and vesafb or simplefb on what the boot loader tells) expect it.
 *
 *   BAR0  video memory, no exit on any pixel
 *   BAR2  4 KiB of registers: EDID, the VGA ports, the DISPI registers, byte order
 *   ports 0x1ce to 0x1d1 DISPI; 0x3b4 to 0x3bb and 0x3c0 to 0x3df VGA
 *
 * It comes up in the start-up mode with the framebuffer on, since there is no video BIOS to set
 * one. VGA's own text and planar modes are not shown: with DISPI off the screen is black. */
#ifndef VMGUI_DEVICES_VGA_H
#define VMGUI_DEVICES_VGA_H

#include "core/bus.h"
#include "core/device.h"
#include "core/device_memory.h"
#include "core/display_source.h"
#include "core/pci.h"

struct vga_options {
	uint32_t width, height; /* start-up mode, 8x1 .. DISPLAY_MAX_* */
	unsigned depth;         /* 8, 15, 16, 24 or 32 bits a pixel */
};

struct vga;

/* memory is the video memory: a power of two, 1 MiB or more, all zeroes; not owned, outlives the
 * card. -EINVAL: the start-up mode is none, or does not fit in memory. */
VMGUI_MUST_USE int vga_create(const struct vga_options *options, struct device_memory *memory,
	struct vga **vga, struct error *err);
/* Puts the registers on the buses. ports: NULL for a second card, which then has its BARs only.
 * Undone by destroying the device. */
VMGUI_MUST_USE int vga_attach(
	struct vga *vga, struct bus *ports, struct pci_bus *pci, unsigned slot, struct error *err);

struct device *vga_get_device(struct vga *vga);
/* Lives as long as the device. */
struct display_source *vga_get_source(struct vga *vga);
/* Where the guest sees the first pixel of the start-up mode, for screen_info; 0: not attached. */
uint64_t vga_framebuffer_gpa(const struct vga *vga);
/* The monitor's EDID, EDID_BYTES; lives as long as the device. */
const uint8_t *vga_edid(const struct vga *vga);

#endif

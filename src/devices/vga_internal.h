/* What the parts of the graphics card share: vga.c (the device, its buses, the published mode),
 * vga_dispi.c (the Bochs registers) and vga_legacy.c (the VGA ports). */
#ifndef VMGUI_DEVICES_VGA_INTERNAL_H
#define VMGUI_DEVICES_VGA_INTERNAL_H

#include "devices/edid.h"
#include "devices/vga.h"

/* The Bochs VBE display interface: register numbers and bits. */
enum dispi_index {
	DISPI_ID,
	DISPI_XRES,
	DISPI_YRES,
	DISPI_BPP,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRT_WIDTH,
	DISPI_VIRT_HEIGHT,
	DISPI_X_OFFSET,
	DISPI_Y_OFFSET,
	DISPI_VIDEO_MEMORY_64K,
	DISPI_COUNT,
};

#define DISPI_ENABLED    0x01u
#define DISPI_GETCAPS    0x02u
#define DISPI_8BIT_DAC   0x20u
#define DISPI_LFB        0x40u
#define DISPI_NOCLEARMEM 0x80u

struct vga_dispi {
	uint16_t index;
	uint16_t regs[DISPI_COUNT];
};

struct vga_legacy {
	uint8_t misc, feature, status1;
	uint8_t seq_index, seq[8];
	uint8_t gfx_index, gfx[16];
	uint8_t crtc_index, crtc[32];
	uint8_t attr_index, attr[32];
	bool attr_data; /* the next write to 0x3c0 goes to the register, not to the index */
	uint8_t dac_mask, dac_read, dac_write, dac_state;
	uint8_t dac_part; /* which colour of the triple is next: 0 to 2 */
	uint8_t dac_latch[3];
	uint8_t dac[256][3]; /* red, green, blue, as written: 6 or 8 bits */
};

struct vga {
	struct device device; /* its lock covers all registers */
	struct pci_device pci;
	struct display_source source;
	struct device_memory *memory; /* immutable */
	struct vga_options options;   /* immutable */
	uint8_t edid[EDID_BYTES];     /* immutable */
	struct bus *ports;            /* NULL: no ports taken */

	/* under the device's lock */
	struct vga_dispi dispi;
	struct vga_legacy legacy;
	bool big_endian;
	bool used; /* a guest has run: video memory may hold something */

	/* What the refresh thread sees. The innermost lock: it may be taken under the device's. */
	pthread_mutex_t publish_lock;
	struct display_mode mode;
	uint32_t palette[256];
	uint32_t palette_version;
	int bell; /* rung at the next change of any of these; -1: nobody waits */
};

/* All of these with the device's lock held. */

void vga_dispi_reset(struct vga *vga);
uint16_t vga_dispi_read(const struct vga *vga, unsigned index);
void vga_dispi_write(struct vga *vga, unsigned index, uint16_t value);
/* The picture that the registers ask for; it fits in video memory. Fills all of *mode but blank and
 * generation. */
void vga_dispi_mode(const struct vga *vga, struct display_mode *mode);

void vga_legacy_reset(struct vga *vga);
/* port is 0x3b0 to 0x3df. */
uint8_t vga_legacy_read(struct vga *vga, unsigned port);
void vga_legacy_write(struct vga *vga, unsigned port, uint8_t value);
/* Whether the guest has turned the screen off by the VGA's own means. */
bool vga_legacy_blank(const struct vga *vga);
/* The palette as colours, after the mask and with the DAC's width of now. */
void vga_legacy_palette(const struct vga *vga, uint32_t palette[256]);

/* Publish the mode or the palette if they changed. */
void vga_publish_mode(struct vga *vga);
void vga_publish_palette(struct vga *vga);
/* Zeroes video memory from its start. */
void vga_clear_memory(struct vga *vga, uint64_t bytes);

#endif

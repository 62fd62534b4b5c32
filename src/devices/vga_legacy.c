/* The VGA's own registers, 0x3b0 to 0x3df: kept so that drivers find what they wrote, and obeyed
 * where they still matter with a linear framebuffer: the palette, and turning the screen off.
 *
 * Threads: any vCPU, device's lock held. Source: IBM Personal System/2 Video Subsystem Technical
 * Reference, VGA function: registers. */
#include "devices/vga_internal.h"

#include <string.h>

#define MISC_COLOUR    0x01u /* CRTC at 0x3d4, not 0x3b4 */
#define SEQ_CLOCKING   1
#define SEQ_SCREEN_OFF 0x20u
#define ATTR_SCREEN_ON 0x20u /* in the index: the attribute registers belong to the display */
#define CRTC_OVERFLOW  0x07
#define CRTC_SYNC_END  0x11
#define CRTC_MODE      0x17
#define CRTC_SYNC_ON   0x80u /* in CRTC_MODE: without, the monitor gets no syncs and is off */
#define CRTC_PROTECT   0x80u /* in CRTC_SYNC_END: registers 0 to 7 are read-only */
#define CRTC_LINE_CMP  0x10u /* in CRTC_OVERFLOW: the bit that is writable even then */
#define STATUS1_TOGGLE 0x09u /* display disabled, vertical retrace */

/* Bits that exist. */
static const uint8_t seq_mask[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gfx_mask[16] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
#define CRTC_COUNT 0x19u
#define ATTR_COUNT 0x15u

/* ---- Palette ---- */

static uint32_t widen(uint8_t value, bool eight_bits)
{
	return eight_bits ? value : (uint32_t)(value << 2 & 0xfc) | (value >> 4 & 3);
}

static bool dac_eight_bits(const struct vga *vga)
{
	return vga->dispi.regs[DISPI_ENABLE] & DISPI_8BIT_DAC;
}

void vga_legacy_palette(const struct vga *vga, uint32_t palette[256])
{
	bool eight = dac_eight_bits(vga);

	for (unsigned i = 0; i < 256; i++) {
		const uint8_t *entry = vga->legacy.dac[i & vga->legacy.dac_mask];

		palette[i] = widen(entry[0], eight) << 16 | widen(entry[1], eight) << 8 |
			     widen(entry[2], eight);
	}
}

/* What a video BIOS would leave: the 16 text colours, 16 greys, and a 6x6x6 colour cube. */
static void default_palette(uint8_t dac[256][3])
{
	memset(dac, 0, 256 * sizeof(dac[0]));
	for (unsigned i = 0; i < 16; i++) {
		for (unsigned c = 0; c < 3; c++) {
			unsigned on = i >> (2 - c) & 1, bright = i >> 3;

			dac[i][c] = (uint8_t)(on * 42 + bright * 21);
			dac[16 + i][c] = (uint8_t)(i * 63 / 15);
		}
	}
	dac[6][1] = 21; /* brown, not dark yellow */
	for (unsigned i = 0; i < 216; i++) {
		dac[32 + i][0] = (uint8_t)(i / 36 * 63 / 5);
		dac[32 + i][1] = (uint8_t)(i / 6 % 6 * 63 / 5);
		dac[32 + i][2] = (uint8_t)(i % 6 * 63 / 5);
	}
}

static uint8_t dac_read_data(struct vga_legacy *legacy)
{
	uint8_t value = legacy->dac[legacy->dac_read][legacy->dac_part];

	if (++legacy->dac_part == 3) {
		legacy->dac_part = 0;
		legacy->dac_read++;
	}
	return value;
}

static void dac_write_data(struct vga *vga, uint8_t value)
{
	struct vga_legacy *legacy = &vga->legacy;

	legacy->dac_latch[legacy->dac_part] = dac_eight_bits(vga) ? value : value & 0x3f;
	if (++legacy->dac_part < 3)
		return;
	/* An entry changes as a whole, with its third byte. */
	legacy->dac_part = 0;
	memcpy(legacy->dac[legacy->dac_write], legacy->dac_latch, sizeof(legacy->dac_latch));
	legacy->dac_write++;
	vga_publish_palette(vga);
}

/* ---- Registers ---- */

void vga_legacy_reset(struct vga *vga)
{
	struct vga_legacy *legacy = &vga->legacy;

	memset(legacy, 0, sizeof(*legacy));
	legacy->misc = 0x67; /* colour, memory on, negative syncs */
	legacy->seq[0] = 0x03;
	legacy->seq[2] = 0x0f;
	legacy->seq[4] = 0x0e;
	legacy->gfx[6] = 0x05; /* graphics, at 0xa0000 */
	legacy->gfx[8] = 0xff;
	for (uint8_t i = 0; i < 16; i++)
		legacy->attr[i] = i;
	legacy->attr[0x10] = 0x41; /* graphics, 256 colours */
	legacy->attr[0x12] = 0x0f;
	legacy->attr_index = ATTR_SCREEN_ON;
	legacy->crtc[CRTC_MODE] = CRTC_SYNC_ON | 0x23; /* byte addresses */
	legacy->dac_mask = 0xff;
	default_palette(legacy->dac);
}

bool vga_legacy_blank(const struct vga *vga)
{
	return !(vga->legacy.attr_index & ATTR_SCREEN_ON) ||
	       (vga->legacy.seq[SEQ_CLOCKING] & SEQ_SCREEN_OFF) ||
	       !(vga->legacy.crtc[CRTC_MODE] & CRTC_SYNC_ON);
}

/* The CRTC and status 1 answer at 0x3bx or at 0x3dx. Returns the port's colour twin, or 0 if it is
 * the one that does not answer now. */
static unsigned canonical(const struct vga *vga, unsigned port)
{
	bool mono = port < 0x3c0, colour = port >= 0x3d0;

	if (!mono && !colour)
		return port;
	if (mono == (bool)(vga->legacy.misc & MISC_COLOUR))
		return 0;
	return mono ? port + 0x20 : port;
}

static uint8_t read_status1(struct vga_legacy *legacy)
{
	legacy->attr_data = false;
	/* No beam moves: each look finds it elsewhere, so that who waits for either edge goes on.
	 */
	legacy->status1 ^= STATUS1_TOGGLE;
	return legacy->status1;
}

uint8_t vga_legacy_read(struct vga *vga, unsigned port)
{
	struct vga_legacy *legacy = &vga->legacy;

	switch (canonical(vga, port)) {
	case 0x3c0:
		return legacy->attr_index;
	case 0x3c1:
		return legacy->attr[legacy->attr_index & 0x1f];
	case 0x3c2:
		return 0x10; /* a colour monitor is there */
	case 0x3c3:
		return 0x01; /* the card is on */
	case 0x3c4:
		return legacy->seq_index;
	case 0x3c5:
		return legacy->seq[legacy->seq_index];
	case 0x3c6:
		return legacy->dac_mask;
	case 0x3c7:
		return legacy->dac_state;
	case 0x3c8:
		return legacy->dac_write;
	case 0x3c9:
		return dac_read_data(legacy);
	case 0x3ca:
		return legacy->feature;
	case 0x3cc:
		return legacy->misc;
	case 0x3ce:
		return legacy->gfx_index;
	case 0x3cf:
		return legacy->gfx[legacy->gfx_index];
	case 0x3d4:
		return legacy->crtc_index;
	case 0x3d5:
		return legacy->crtc[legacy->crtc_index];
	case 0x3da:
		return read_status1(legacy);
	default:
		return 0xff;
	}
}

static void write_attribute(struct vga *vga, uint8_t value)
{
	struct vga_legacy *legacy = &vga->legacy;
	uint8_t index = legacy->attr_index & 0x1f;

	if (!legacy->attr_data) {
		legacy->attr_index = value & 0x3f;
		vga_publish_mode(vga); /* bit 5 turns the screen on and off */
	} else if (index < ATTR_COUNT) {
		legacy->attr[index] = value & 0x3f;
		if (index == 0x10)
			legacy->attr[index] = value;
	}
	legacy->attr_data = !legacy->attr_data;
}

static void write_crtc(struct vga *vga, uint8_t value)
{
	struct vga_legacy *legacy = &vga->legacy;
	uint8_t index = legacy->crtc_index;

	if (index >= CRTC_COUNT)
		return;
	if (index <= CRTC_OVERFLOW && (legacy->crtc[CRTC_SYNC_END] & CRTC_PROTECT)) {
		if (index == CRTC_OVERFLOW)
			legacy->crtc[index] = (uint8_t)((legacy->crtc[index] & ~CRTC_LINE_CMP) |
							(value & CRTC_LINE_CMP));
		return;
	}
	legacy->crtc[index] = value;
	if (index == CRTC_MODE)
		vga_publish_mode(vga); /* how vesafb turns the screen off */
}

void vga_legacy_write(struct vga *vga, unsigned port, uint8_t value)
{
	struct vga_legacy *legacy = &vga->legacy;

	switch (canonical(vga, port)) {
	case 0x3c0:
		write_attribute(vga, value);
		break;
	case 0x3c2:
		legacy->misc = value & 0xef;
		break;
	case 0x3c4:
		legacy->seq_index = value & 0x07;
		break;
	case 0x3c5:
		legacy->seq[legacy->seq_index] = value & seq_mask[legacy->seq_index];
		if (legacy->seq_index == SEQ_CLOCKING)
			vga_publish_mode(vga);
		break;
	case 0x3c6:
		legacy->dac_mask = value;
		vga_publish_palette(vga);
		break;
	case 0x3c7:
		legacy->dac_read = value;
		legacy->dac_part = 0;
		legacy->dac_state = 3;
		break;
	case 0x3c8:
		legacy->dac_write = value;
		legacy->dac_part = 0;
		legacy->dac_state = 0;
		break;
	case 0x3c9:
		dac_write_data(vga, value);
		break;
	case 0x3ce:
		legacy->gfx_index = value & 0x0f;
		break;
	case 0x3cf:
		legacy->gfx[legacy->gfx_index] = value & gfx_mask[legacy->gfx_index];
		break;
	case 0x3d4:
		legacy->crtc_index = value & 0x1f;
		break;
	case 0x3d5:
		write_crtc(vga, value);
		break;
	case 0x3da:
		legacy->feature = value & 0x0b;
		break;
	default:
		break;
	}
}

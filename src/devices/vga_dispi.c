/* The Bochs VBE display interface (DISPI) of the graphics card, by port and by MMIO.
 *
 * The registers always hold a mode that fits: what does not is cut down when it is written or when
 * the mode is switched on, and the guest reads back what it got. Threads: any vCPU, device's lock
 * held. Source: the Bochs VBE extensions' description (vbe_display_api.txt of the Bochs VGABios).
 */
#include "devices/vga_internal.h"

#include <string.h>

#define ID_OLDEST 0xb0c0u
#define ID_NEWEST 0xb0c5u

#define MIN_WIDTH 8u

static uint32_t pixel_bytes(const struct vga_dispi *dispi)
{
	return (dispi->regs[DISPI_BPP] + 7u) / 8;
}

static uint16_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
	return (uint16_t)(value < low ? low : value > high ? high : value);
}

static bool depth_known(unsigned depth)
{
	return depth == 8 || depth == 15 || depth == 16 || depth == 24 || depth == 32;
}

/* Makes the registers agree with each other and with the memory there is. A line always fits: the
 * longest has 64K - 1 pixels of 4 bytes, and video memory is at least 1 MiB. */
static void settle(struct vga *vga)
{
	uint16_t *regs = vga->dispi.regs;
	uint64_t stride, lines, row;

	regs[DISPI_XRES] = clamp(regs[DISPI_XRES], MIN_WIDTH, DISPLAY_MAX_WIDTH);
	if (regs[DISPI_VIRT_WIDTH] < regs[DISPI_XRES])
		regs[DISPI_VIRT_WIDTH] = regs[DISPI_XRES];
	stride = (uint64_t)regs[DISPI_VIRT_WIDTH] * pixel_bytes(&vga->dispi);
	lines = vga->memory->size_bytes / stride;
	regs[DISPI_VIRT_HEIGHT] = (uint16_t)min_u64(lines, UINT16_MAX);
	regs[DISPI_YRES] = clamp(regs[DISPI_YRES], 1, (uint32_t)min_u64(lines, DISPLAY_MAX_HEIGHT));

	/* An offset that leads outside is dropped: first the rows', then the columns'. */
	row = (uint64_t)regs[DISPI_X_OFFSET] * pixel_bytes(&vga->dispi) +
	      (regs[DISPI_YRES] - 1u) * stride +
	      (uint64_t)regs[DISPI_XRES] * pixel_bytes(&vga->dispi);
	if (regs[DISPI_Y_OFFSET] * stride + row > vga->memory->size_bytes)
		regs[DISPI_Y_OFFSET] = 0;
	if (regs[DISPI_Y_OFFSET] * stride + row > vga->memory->size_bytes)
		regs[DISPI_X_OFFSET] = 0;
}

void vga_dispi_mode(const struct vga *vga, struct display_mode *mode)
{
	const uint16_t *regs = vga->dispi.regs;
	uint32_t bytes = pixel_bytes(&vga->dispi);

	mode->width = regs[DISPI_XRES];
	mode->height = regs[DISPI_YRES];
	mode->stride_bytes = regs[DISPI_VIRT_WIDTH] * bytes;
	mode->offset_bytes = (uint64_t)regs[DISPI_Y_OFFSET] * mode->stride_bytes +
			     (uint64_t)regs[DISPI_X_OFFSET] * bytes;
	switch (regs[DISPI_BPP]) {
	case 8:
		mode->format = PIXEL_INDEX8;
		break;
	case 15:
		mode->format = PIXEL_XRGB1555;
		break;
	case 16:
		mode->format = PIXEL_RGB565;
		break;
	case 24:
		mode->format = PIXEL_RGB888;
		break;
	default:
		mode->format = PIXEL_XRGB8888;
		break;
	}
	mode->big_endian = vga->big_endian;
}

void vga_dispi_reset(struct vga *vga)
{
	uint16_t *regs = vga->dispi.regs;

	memset(&vga->dispi, 0, sizeof(vga->dispi));
	regs[DISPI_ID] = ID_NEWEST;
	regs[DISPI_XRES] = (uint16_t)vga->options.width;
	regs[DISPI_YRES] = (uint16_t)vga->options.height;
	regs[DISPI_BPP] = (uint16_t)vga->options.depth;
	regs[DISPI_ENABLE] = DISPI_ENABLED | DISPI_LFB;
	regs[DISPI_VIDEO_MEMORY_64K] = (uint16_t)(vga->memory->size_bytes / KIB(64));
	settle(vga);
}

uint16_t vga_dispi_read(const struct vga *vga, unsigned index)
{
	const uint16_t *regs = vga->dispi.regs;

	if (index >= DISPI_COUNT)
		return 0;
	if (regs[DISPI_ENABLE] & DISPI_GETCAPS) {
		switch (index) {
		case DISPI_XRES:
			return DISPLAY_MAX_WIDTH;
		case DISPI_YRES:
			return DISPLAY_MAX_HEIGHT;
		case DISPI_BPP:
			return 32;
		default:
			break;
		}
	}
	return regs[index];
}

static void write_enable(struct vga *vga, uint16_t value)
{
	uint16_t *regs = vga->dispi.regs;
	uint16_t before = regs[DISPI_ENABLE];

	regs[DISPI_ENABLE] = value & (DISPI_ENABLED | DISPI_GETCAPS | DISPI_8BIT_DAC | DISPI_LFB |
					     DISPI_NOCLEARMEM);
	if ((value ^ before) & DISPI_8BIT_DAC)
		vga_publish_palette(vga);
	if (!(value & DISPI_ENABLED)) {
		regs[DISPI_BANK] = 0;
	} else if (!(before & DISPI_ENABLED)) {
		regs[DISPI_VIRT_WIDTH] = 0;
		regs[DISPI_X_OFFSET] = 0;
		regs[DISPI_Y_OFFSET] = 0;
		settle(vga);
		if (!(value & DISPI_NOCLEARMEM))
			vga_clear_memory(vga, (uint64_t)regs[DISPI_VIRT_WIDTH] *
						      pixel_bytes(&vga->dispi) * regs[DISPI_YRES]);
	}
	vga_publish_mode(vga);
}

void vga_dispi_write(struct vga *vga, unsigned index, uint16_t value)
{
	uint16_t *regs = vga->dispi.regs;

	switch (index) {
	case DISPI_ID:
		/* The driver asks for an interface no newer than it knows. */
		if (value >= ID_OLDEST && value <= ID_NEWEST)
			regs[index] = value;
		return;
	case DISPI_ENABLE:
		write_enable(vga, value);
		return;
	case DISPI_BPP:
		if (value == 0)
			value = 8; /* the oldest interface's only depth */
		if (!depth_known(value))
			return; /* 4 bits a pixel would need VGA's planes */
		regs[index] = value;
		break;
	case DISPI_XRES:
		regs[index] = clamp(value, 0, DISPLAY_MAX_WIDTH);
		break;
	case DISPI_YRES:
		regs[index] = clamp(value, 0, DISPLAY_MAX_HEIGHT);
		break;
	case DISPI_VIRT_WIDTH:
	case DISPI_X_OFFSET:
	case DISPI_Y_OFFSET:
		regs[index] = value;
		break;
	case DISPI_BANK:
		/* Kept for who reads it back; there is no banked window at 0xa0000. */
		regs[index] = value & (uint16_t)(regs[DISPI_VIDEO_MEMORY_64K] - 1);
		return;
	default: /* read-only, or none */
		return;
	}
	/* With the mode off the registers may pass through what makes no sense together. */
	if (regs[DISPI_ENABLE] & DISPI_ENABLED) {
		settle(vga);
		vga_publish_mode(vga);
	}
}

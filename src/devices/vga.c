/* The graphics card as a device: its buses, its place in PCI, and the mode it publishes; see vga.h.
 *
 * Threads: vCPUs under the device's lock, the refresh thread through the display source, which
 * takes publish_lock only and so never waits for a vCPU that clears the screen. Registers of BAR2:
 *
 *   0x000 EDID   0x400 VGA ports 0x3c0 to 0x3df   0x500 DISPI, a word each   0x600 size, byte order
 */
#include "devices/vga.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/vga_internal.h"

#define DISPI_PORT        0x1ceu
#define DISPI_PORT_COUNT  4u
#define MONO_PORT         0x3b4u
#define MONO_PORT_COUNT   8u
#define COLOUR_PORT       0x3c0u
#define COLOUR_PORT_COUNT 32u

#define MMIO_BYTES          KIB(4)
#define MMIO_EDID_END       0x400u
#define MMIO_PORTS          0x400u
#define MMIO_DISPI          0x500u
#define MMIO_EXT_SIZE       0x600u
#define MMIO_EXT_ORDER      0x604u
#define EXT_BYTES           8u
#define ORDER_LITTLE_ENDIAN 0x1e1e1e1eu
#define ORDER_BIG_ENDIAN    0xbebebebeu

static struct vga *from_device(struct device *device)
{
	return container_of(device, struct vga, device);
}

static struct vga *from_source(struct display_source *source)
{
	return container_of(source, struct vga, source);
}

/* ---- What the refresh thread sees ---- */

/* publish_lock held, something was published. */
static void ring(struct vga *vga)
{
	const uint64_t one = 1;

	if (vga->bell >= 0 && write(vga->bell, &one, sizeof(one)) < 0) {
		/* The counter is full: it has been rung. */
	}
	vga->bell = -1;
}

void vga_publish_mode(struct vga *vga)
{
	struct display_mode mode, *shown = &vga->mode;

	memset(&mode, 0, sizeof(mode));
	if (vga->dispi.regs[DISPI_ENABLE] & DISPI_ENABLED)
		vga_dispi_mode(vga, &mode);
	else
		mode = *shown; /* the last size, in black, until there is another */
	mode.blank = !(vga->dispi.regs[DISPI_ENABLE] & DISPI_ENABLED) || vga_legacy_blank(vga);

	pthread_mutex_lock(&vga->publish_lock);
	if (mode.width != shown->width || mode.height != shown->height ||
		mode.stride_bytes != shown->stride_bytes ||
		mode.offset_bytes != shown->offset_bytes || mode.format != shown->format ||
		mode.big_endian != shown->big_endian || mode.blank != shown->blank) {
		mode.generation = shown->generation + 1;
		*shown = mode;
		ring(vga);
	}
	pthread_mutex_unlock(&vga->publish_lock);
}

void vga_publish_palette(struct vga *vga)
{
	uint32_t palette[256];

	vga_legacy_palette(vga, palette);
	pthread_mutex_lock(&vga->publish_lock);
	if (memcmp(palette, vga->palette, sizeof(palette)) != 0) {
		memcpy(vga->palette, palette, sizeof(palette));
		vga->palette_version++;
		/* A mode that will show it rings by itself. */
		if (vga->mode.format == PIXEL_INDEX8 && !vga->mode.blank)
			ring(vga);
	}
	pthread_mutex_unlock(&vga->publish_lock);
}

void vga_clear_memory(struct vga *vga, uint64_t bytes)
{
	vga->memory->ops->clear(vga->memory, bytes);
}

static void source_get_mode(struct display_source *source, struct display_mode *mode)
{
	struct vga *vga = from_source(source);

	pthread_mutex_lock(&vga->publish_lock);
	*mode = vga->mode;
	pthread_mutex_unlock(&vga->publish_lock);
}

static int source_collect_damage(
	struct display_source *source, uint64_t *bitmap, const uint64_t *watched, size_t words)
{
	struct device_memory *memory = from_source(source)->memory;

	return memory->ops->collect_dirty(memory, bitmap, watched, words);
}

static uint32_t source_get_palette(struct display_source *source, uint32_t palette[256])
{
	struct vga *vga = from_source(source);
	uint32_t version;

	pthread_mutex_lock(&vga->publish_lock);
	memcpy(palette, vga->palette, sizeof(vga->palette));
	version = vga->palette_version;
	pthread_mutex_unlock(&vga->publish_lock);
	return version;
}

static int source_arm(struct display_source *source, int bell)
{
	struct vga *vga = from_source(source);
	uint64_t start, bytes;

	/* Should the mode change right after this, that rings. */
	pthread_mutex_lock(&vga->publish_lock);
	vga->bell = bell;
	start = vga->mode.offset_bytes;
	bytes = vga->mode.blank ? 0 : display_mode_end(&vga->mode) - start;
	pthread_mutex_unlock(&vga->publish_lock);
	return vga->memory->ops->arm(vga->memory, bell, start, bytes);
}

static void source_disarm(struct display_source *source)
{
	struct vga *vga = from_source(source);

	vga->memory->ops->disarm(vga->memory);
	pthread_mutex_lock(&vga->publish_lock);
	vga->bell = -1;
	pthread_mutex_unlock(&vga->publish_lock);
}

static uint64_t source_activity(struct display_source *source)
{
	struct device_memory *memory = from_source(source)->memory;

	return memory->ops->activity ? memory->ops->activity(memory) : 0;
}

static const struct display_source_ops source_ops = {
	.get_mode = source_get_mode,
	.collect_damage = source_collect_damage,
	.get_palette = source_get_palette,
	.arm = source_arm,
	.disarm = source_disarm,
	.activity = source_activity,
};

/* ---- Ports ---- */

static uint64_t dispi_port_read(void *opaque, uint64_t offset, unsigned width)
{
	struct vga *vga = opaque;

	(void)width;
	return offset ? vga_dispi_read(vga, vga->dispi.index) : vga->dispi.index;
}

/* Data is at 0x1cf, as on Bochs, and at 0x1d0, which is aligned. */
static void dispi_port_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct vga *vga = opaque;

	(void)width;
	if (offset)
		vga_dispi_write(vga, vga->dispi.index, (uint16_t)value);
	else
		vga->dispi.index = (uint16_t)value;
}

static uint64_t mono_port_read(void *opaque, uint64_t offset, unsigned width)
{
	(void)width;
	return vga_legacy_read(opaque, MONO_PORT + (unsigned)offset);
}

static void mono_port_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	(void)width;
	vga_legacy_write(opaque, MONO_PORT + (unsigned)offset, (uint8_t)value);
}

static uint64_t colour_port_read(void *opaque, uint64_t offset, unsigned width)
{
	(void)width;
	return vga_legacy_read(opaque, COLOUR_PORT + (unsigned)offset);
}

static void colour_port_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	(void)width;
	vga_legacy_write(opaque, COLOUR_PORT + (unsigned)offset, (uint8_t)value);
}

static const struct bus_region_ops dispi_port_ops = { dispi_port_read, dispi_port_write };
static const struct bus_region_ops mono_port_ops = { mono_port_read, mono_port_write };
static const struct bus_region_ops colour_port_ops = { colour_port_read, colour_port_write };

/* ---- BAR2 ---- */

static uint8_t mmio_read_byte(struct vga *vga, uint64_t offset)
{
	uint32_t word;

	if (offset < MMIO_EDID_END)
		return offset < EDID_BYTES ? vga->edid[offset] : 0;
	if (offset >= MMIO_PORTS && offset < MMIO_PORTS + COLOUR_PORT_COUNT)
		return vga_legacy_read(vga, COLOUR_PORT + (unsigned)(offset - MMIO_PORTS));
	if (offset >= MMIO_DISPI && offset < MMIO_DISPI + 2 * DISPI_COUNT)
		word = vga_dispi_read(vga, (unsigned)(offset - MMIO_DISPI) / 2);
	else if (offset >= MMIO_EXT_SIZE && offset < MMIO_EXT_ORDER)
		word = EXT_BYTES;
	else if (offset >= MMIO_EXT_ORDER && offset < MMIO_EXT_SIZE + EXT_BYTES)
		word = vga->big_endian ? ORDER_BIG_ENDIAN : ORDER_LITTLE_ENDIAN;
	else
		return 0xff;
	return (uint8_t)(word >> 8 * (offset & (offset < MMIO_EXT_SIZE ? 1 : 3)));
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned width)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < width; i++)
		value |= (uint64_t)mmio_read_byte(opaque, offset + i) << 8 * i;
	return value;
}

/* Writes what stands at offset and returns how many of the left bytes that took. Registers of more
 * than a byte are only written whole. */
static unsigned mmio_write_one(struct vga *vga, uint64_t offset, unsigned left, uint64_t value)
{
	if (offset >= MMIO_PORTS && offset < MMIO_PORTS + COLOUR_PORT_COUNT) {
		vga_legacy_write(
			vga, COLOUR_PORT + (unsigned)(offset - MMIO_PORTS), (uint8_t)value);
		return 1;
	}
	if (offset >= MMIO_DISPI && offset < MMIO_DISPI + 2 * DISPI_COUNT && !(offset & 1) &&
		left >= 2) {
		vga_dispi_write(vga, (unsigned)(offset - MMIO_DISPI) / 2, (uint16_t)value);
		return 2;
	}
	if (offset == MMIO_EXT_ORDER && left >= 4) {
		if ((uint32_t)value == ORDER_LITTLE_ENDIAN || (uint32_t)value == ORDER_BIG_ENDIAN)
			vga->big_endian = (uint32_t)value == ORDER_BIG_ENDIAN;
		vga_publish_mode(vga);
		return 4;
	}
	return 1;
}

static void mmio_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	unsigned done;

	for (; width; width -= done, offset += done) {
		done = mmio_write_one(opaque, offset, width, value);
		value = done < 8 ? value >> 8 * done : 0;
	}
}

static const struct bus_region_ops mmio_ops = { mmio_read, mmio_write };

/* ---- The device ---- */

static void reset_registers(struct vga *vga)
{
	vga->big_endian = false;
	vga_dispi_reset(vga);
	vga_legacy_reset(vga);
	vga_publish_mode(vga);
	vga_publish_palette(vga);
}

static void reset(struct device *device)
{
	struct vga *vga = from_device(device);

	pci_device_reset(&vga->pci);
	pthread_mutex_lock(&device->lock);
	reset_registers(vga);
	if (vga->used)
		vga_clear_memory(vga, vga->memory->size_bytes);
	pthread_mutex_unlock(&device->lock);
}

static int start(struct device *device, struct error *err)
{
	struct vga *vga = from_device(device);

	(void)err;
	pthread_mutex_lock(&device->lock);
	vga->used = true;
	pthread_mutex_unlock(&device->lock);
	return 0;
}

static void remove_ports(struct vga *vga)
{
	if (!vga->ports)
		return;
	(void)bus_remove(vga->ports, DISPI_PORT);
	(void)bus_remove(vga->ports, MONO_PORT);
	(void)bus_remove(vga->ports, COLOUR_PORT);
	vga->ports = NULL;
}

static void destroy(struct device *device)
{
	struct vga *vga = from_device(device);

	pci_bus_detach(&vga->pci);
	remove_ports(vga);
	pthread_mutex_destroy(&vga->publish_lock);
	device_fini(device);
	free(vga);
}

static const struct device_ops device_ops = {
	.name = "vga",
	.reset = reset,
	.start = start,
	.destroy = destroy,
};

static int add_ports(struct vga *vga, struct bus *ports, struct error *err)
{
	const struct bus_region regions[] = {
		{ .base = DISPI_PORT,
			.length = DISPI_PORT_COUNT,
			.widths = BUS_WIDTH_2,
			.ops = &dispi_port_ops },
		{ .base = MONO_PORT,
			.length = MONO_PORT_COUNT,
			.widths = BUS_WIDTH_1,
			.ops = &mono_port_ops },
		{ .base = COLOUR_PORT,
			.length = COLOUR_PORT_COUNT,
			.widths = BUS_WIDTH_1,
			.ops = &colour_port_ops },
	};

	for (size_t i = 0; i < array_size(regions); i++) {
		struct bus_region region = regions[i];
		int result;

		region.owner = device_ops.name;
		region.opaque = vga;
		region.lock = &vga->device.lock;
		result = bus_add(ports, &region, err);
		if (result) {
			while (i--)
				(void)bus_remove(ports, regions[i].base);
			return result;
		}
	}
	vga->ports = ports;
	return 0;
}

int vga_attach(
	struct vga *vga, struct bus *ports, struct pci_bus *pci, unsigned slot, struct error *err)
{
	int result = 0;

	if (ports)
		result = add_ports(vga, ports, err);
	if (result)
		return result;
	result = pci_bus_attach(pci, &vga->pci, slot, err);
	if (result)
		remove_ports(vga);
	return result;
}

static int init_pci(struct vga *vga, struct error *err)
{
	const struct pci_ids ids = {
		.vendor = 0x1234,
		.device = 0x1111,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x030000, /* VGA-compatible controller */
		.revision = 2,
	};
	const struct pci_bar framebuffer = {
		.kind = PCI_BAR_MEMORY,
		.prefetchable = true,
		.size_bytes = vga->memory->size_bytes,
		.memory = vga->memory,
	};
	const struct pci_bar registers = {
		.kind = PCI_BAR_MMIO,
		.size_bytes = MMIO_BYTES,
		.widths = BUS_WIDTH_ANY,
		.ops = &mmio_ops,
		.opaque = vga,
		.lock = &vga->device.lock,
	};
	int result;

	pci_device_init(&vga->pci, device_ops.name, &ids, 0);
	result = pci_device_set_bar(&vga->pci, 0, &framebuffer);
	if (!result)
		result = pci_device_set_bar(&vga->pci, 2, &registers);
	if (result)
		return error_set(err, -result,
			"vga: %llu bytes of video memory: not a power of two",
			(unsigned long long)vga->memory->size_bytes);
	return 0;
}

/* The registers cut an impossible mode down; a user is told instead. */
static int check_options(
	const struct vga_options *options, const struct device_memory *memory, struct error *err)
{
	uint64_t bytes = (uint64_t)options->width * options->height * ((options->depth + 7) / 8);

	if (memory->size_bytes < MIB(1) || memory->size_bytes / KIB(64) > UINT16_MAX)
		return error_set(err, EINVAL, "vga: %llu bytes of video memory: not 1 MiB or more",
			(unsigned long long)memory->size_bytes);
	if (options->depth != 8 && options->depth != 15 && options->depth != 16 &&
		options->depth != 24 && options->depth != 32)
		return error_set(err, EINVAL,
			"start-up mode: %u bits a pixel: not 8, 15, 16, 24 or 32", options->depth);
	if (options->width < 8 || options->width > DISPLAY_MAX_WIDTH || !options->height ||
		options->height > DISPLAY_MAX_HEIGHT)
		return error_set(err, EINVAL, "start-up mode: %ux%u: not within 8x1 and %ux%u",
			options->width, options->height, DISPLAY_MAX_WIDTH, DISPLAY_MAX_HEIGHT);
	if (bytes > memory->size_bytes)
		return error_set(err, EINVAL,
			"start-up mode: %ux%u at %u bits a pixel does not fit in %llu MiB of video "
			"memory (choose a smaller mode or depth)",
			options->width, options->height, options->depth,
			(unsigned long long)(memory->size_bytes >> 20));
	return 0;
}

int vga_create(const struct vga_options *options, struct device_memory *memory, struct vga **out,
	struct error *err)
{
	const struct edid_options edid = {
		.name = "vmgui",
		.width = options->width,
		.height = options->height,
		.max_pixels = memory->size_bytes / 4,
	};
	int result = check_options(options, memory, err);
	struct vga *vga;

	if (result)
		return result;
	vga = calloc(1, sizeof(*vga));
	if (!vga)
		return error_set(err, ENOMEM, "vga: out of memory");
	vga->memory = memory;
	vga->options = *options;
	vga->bell = -1;
	vga->source.ops = &source_ops;
	vga->source.vram = memory->hva;
	vga->source.vram_bytes = memory->size_bytes;
	device_init(&vga->device, &device_ops);
	pthread_mutex_init(&vga->publish_lock, NULL);
	result = init_pci(vga, err);
	if (result) {
		destroy(&vga->device);
		return result;
	}
	edid_build(vga->edid, &edid);
	reset_registers(vga);
	*out = vga;
	return 0;
}

struct device *vga_get_device(struct vga *vga)
{
	return &vga->device;
}

struct display_source *vga_get_source(struct vga *vga)
{
	return &vga->source;
}

const uint8_t *vga_edid(const struct vga *vga)
{
	return vga->edid;
}

uint64_t vga_framebuffer_gpa(const struct vga *vga)
{
	return vga->pci.mapped[0];
}

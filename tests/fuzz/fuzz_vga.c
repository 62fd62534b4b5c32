/* The graphics card's registers by port, MMIO and configuration space, video memory, and the
 * refresh over it. Whatever a guest does, the published mode fits in video memory, the surface
 * follows it, and who waits for a change is told of each.
 *
 * Input: a sequence of commands, each a byte and its operands; what is missing reads as zero. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/vga.h"
#include "display/refresh.h"
#include "fake_memory.h"

#define VRAM        MIB(1)
#define MMIO_BASE   UINT64_C(0xc0000000)
#define MAX_REFRESH 6 /* they are slow beside the rest */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct fake_memory *memory;
	struct vga *vga;
	struct display_source *source;
	struct surface *surface;
	struct refresh *refresh;
	int bell;
	bool armed;
	struct display_mode armed_mode; /* the mode and the palette when the source was armed */
	uint32_t armed_palette;
};

struct input {
	const uint8_t *data;
	size_t left;
};

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes && input->left; i++, input->left--)
		value |= (uint32_t)*input->data++ << 8 * i;
	return value;
}

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void create(struct machine *machine)
{
	/* small, so that most runs are quick */
	const struct vga_options options = { 64, 48, 32 };
	struct pci_bus_config config = { .mmio_base = MMIO_BASE,
		.mmio_end = MMIO_BASE + MIB(64),
		.ports_base = 0xc000,
		.ports_end = 0xd000 };
	struct device *device;
	struct error err;

	machine->ports = bus_create("ports", 0x10000);
	machine->mmio = bus_create("mmio", 0);
	config.ports = machine->ports;
	config.mmio = machine->mmio;
	check(machine->ports && machine->mmio);
	check(!pci_bus_create(&config, &machine->pci, &err));
	machine->memory = fake_memory_create(VRAM);
	check(!vga_create(&options, &machine->memory->base, &machine->vga, &err));
	check(!vga_attach(machine->vga, machine->ports, machine->pci, 1, &err));
	device = vga_get_device(machine->vga);
	check(!device->ops->start(device, &err));
	machine->source = vga_get_source(machine->vga);
	machine->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	machine->surface = surface_create();
	check(machine->surface);
	check(!refresh_create(machine->source, machine->surface, 60, &machine->refresh, &err));
}

static void check_mode(struct machine *machine, struct display_mode *last)
{
	struct display_mode mode;
	uint64_t end;

	machine->source->ops->get_mode(machine->source, &mode);
	check(mode.width >= 1 && mode.width <= DISPLAY_MAX_WIDTH);
	check(mode.height >= 1 && mode.height <= DISPLAY_MAX_HEIGHT);
	check(mode.format <= PIXEL_XRGB8888);
	end = display_mode_end(&mode);
	check(mode.offset_bytes <= VRAM && end <= VRAM);
	if (mode.generation == last->generation)
		check(mode.width == last->width && mode.height == last->height &&
			mode.stride_bytes == last->stride_bytes &&
			mode.offset_bytes == last->offset_bytes && mode.format == last->format &&
			mode.blank == last->blank && mode.big_endian == last->big_endian);
	*last = mode;
}

static void check_surface(struct machine *machine, const struct display_mode *mode)
{
	struct surface_reader *reader = surface_reader_create(machine->surface, NULL, NULL);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;

	check(reader);
	(void)surface_read_begin(reader, &view, rects);
	surface_read_end(reader);
	surface_reader_destroy(reader);
	check(view.width == mode->width && view.height == mode->height);
}

static uint32_t palette_version(struct machine *machine)
{
	uint32_t palette[256];

	return machine->source->ops->get_palette(machine->source, palette);
}

static void arm(struct machine *machine)
{
	uint64_t rings;

	check(!machine->source->ops->arm(machine->source, machine->bell));
	(void)!read(machine->bell, &rings, sizeof(rings));
	machine->source->ops->get_mode(machine->source, &machine->armed_mode);
	machine->armed_palette = palette_version(machine);
	machine->armed = true;
}

/* A change since arming has rung the bell. */
static void check_bell(struct machine *machine)
{
	bool changed = machine->memory->bell < 0; /* the memory's has been rung, or nobody waits */
	struct display_mode mode;
	uint64_t rings = 0;

	if (!machine->armed)
		return;
	machine->source->ops->get_mode(machine->source, &mode);
	changed |= mode.generation != machine->armed_mode.generation ||
		   (mode.format == PIXEL_INDEX8 && !mode.blank &&
			   palette_version(machine) != machine->armed_palette);
	if (read(machine->bell, &rings, sizeof(rings)) != sizeof(rings))
		rings = 0;
	check(changed == (rings > 0));
	if (changed)
		machine->armed = false;
}

static void draw(struct machine *machine, struct input *input)
{
	uint64_t offset = take(input, 3) % VRAM;
	uint64_t length = take(input, 2);

	fake_memory_fill(
		machine->memory, offset, (uint8_t)take(input, 1), min_u64(length, VRAM - offset));
}

static void configure(struct machine *machine, struct input *input)
{
	uint32_t address = 0x80000000u | 1u << 11 | take(input, 1), value = take(input, 4);
	static const unsigned widths[] = { 1, 2, 4, 4 };

	bus_write(machine->ports, 0xcf8, &address, 4);
	bus_write(machine->ports, 0xcfc, &value, widths[address & 3]);
	bus_read(machine->ports, 0xcfc, &value, 4);
}

static uint64_t registers(struct machine *machine)
{
	uint32_t address = 0x80000000u | 1u << 11 | 0x18, value;

	bus_write(machine->ports, 0xcf8, &address, 4);
	bus_read(machine->ports, 0xcfc, &value, 4);
	return value & ~15u;
}

static void run(struct machine *machine, struct input *input)
{
	static const uint16_t ports[] = { 0x1ce, 0x1cf, 0x1d0, 0x3b4, 0x3b5, 0x3ba, 0x3c0, 0x3c1,
		0x3c2, 0x3c4, 0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9, 0x3cc, 0x3ce, 0x3cf, 0x3d4, 0x3d5,
		0x3da };
	struct device *device = vga_get_device(machine->vga);
	struct display_mode mode = { .generation = 0 };
	unsigned refreshes = 0, resets = 0;
	uint64_t value;
	unsigned port, width;

	device->ops->reset(device);
	check_mode(machine, &mode);
	while (input->left) {
		unsigned command = take(input, 1);

		width = 1u << (command >> 4 & 3); /* 1 to 8 */
		switch (command & 15) {
		case 0:
		case 1: /* port from the table, or any near them */
			port = take(input, 1);
			port = port < array_size(ports) ? ports[port] : 0x1c0 + (port & 0xff) * 2;
			value = take(input, 2);
			if (command & 1)
				bus_read(machine->ports, port, &value, width > 4 ? 4 : width);
			else
				bus_write(machine->ports, port, &value, width > 4 ? 4 : width);
			break;
		case 2:
		case 3:
			port = take(input, 2) & 0xfff;
			value = take(input, 4);
			if (command & 1)
				bus_read(machine->mmio, registers(machine) + port, &value, width);
			else
				bus_write(machine->mmio, registers(machine) + port, &value, width);
			break;
		case 4:
		case 5:
		case 6: /* a DISPI register: what changes modes */
			port = 0x500 + 2 * (take(input, 1) % 12);
			value = take(input, 2);
			bus_write(machine->mmio, registers(machine) + port, &value, 2);
			break;
		case 7:
		case 8:
			draw(machine, input);
			break;
		case 9:
			configure(machine, input);
			break;
		case 10:
			if (resets++ < 3)
				device->ops->reset(device);
			break;
		case 11:
			if (refreshes++ < MAX_REFRESH) {
				refresh_sync(machine->refresh);
				check_surface(machine, &mode);
			}
			break;
		case 12:
			arm(machine);
			break;
		default: /* a palette entry's byte */
			value = take(input, 1);
			bus_write(machine->ports, 0x3c9, &value, 1);
			break;
		}
		check_mode(machine, &mode);
		check_bell(machine);
	}
	machine->source->ops->disarm(machine->source);
	machine->armed = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine machine;
	struct input input = { data, size };

	if (!machine.vga)
		create(&machine);
	run(&machine, &input);
	return 0;
}

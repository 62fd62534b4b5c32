/* A guest that does anything to configuration space, BARs and MSI-X tables, while devices raise
 * interrupts, reset, leave and come back. What must hold after each step: a BAR is mapped exactly
 * where command and register say, unless something else is there; no two BARs overlap; the INTx
 * lines are the OR of their pins; a vector is bound exactly while enabled and not masked, to the
 * message in its table. In the end both buses and all vectors are free. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pci_msi.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MMIO_BASE   UINT64_C(0xc0000000)
#define MMIO_END    UINT64_C(0xc0200000)
#define PORTS_BASE  UINT64_C(0xc00)
#define PORTS_END   UINT64_C(0xe00) /* the configuration ports lie inside */
#define MEMORY_SIZE KIB(256)
#define CARDS       3u
#define VECTORS     5u
#define FIRST_GSI   24

/* Something that is no PCI device and lies inside the memory window. */
#define OTHER_BASE UINT64_C(0xc0100000)
#define OTHER_SIZE KIB(64)

struct fake_vram {
	struct device_memory base;
	uint64_t gpa; /* 0: not mapped */
};

struct card {
	struct pci_device device;
	struct fake_vram vram;
	struct pci_msi *msi; /* NULL: none */
	bool has_vram;
};

struct vector {
	bool allocated;
	int fd; /* -1: not bound */
	struct msi_message message;
};

struct world {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct card cards[CARDS];
	struct vector vectors[VECTORS + 1];
	struct msi_controller controller;
	bool levels[4];
	unsigned resets;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static int vram_map(struct device_memory *base, uint64_t gpa)
{
	struct fake_vram *vram = container_of(base, struct fake_vram, base);

	require(gpa && !vram->gpa);
	vram->gpa = gpa;
	return 0;
}

static void vram_unmap(struct device_memory *base)
{
	struct fake_vram *vram = container_of(base, struct fake_vram, base);

	require(vram->gpa);
	vram->gpa = 0;
}

static const struct device_memory_ops vram_ops = { .map = vram_map, .unmap = vram_unmap };

static struct vector *vector_of(struct world *w, unsigned gsi)
{
	require(gsi >= FIRST_GSI && gsi - FIRST_GSI < array_size(w->vectors));
	require(w->vectors[gsi - FIRST_GSI].allocated);
	return &w->vectors[gsi - FIRST_GSI];
}

static int msi_allocate(void *opaque)
{
	struct world *w = opaque;

	for (unsigned i = 0; i < array_size(w->vectors); i++) {
		if (!w->vectors[i].allocated) {
			w->vectors[i] = (struct vector){ .allocated = true, .fd = -1 };
			return FIRST_GSI + (int)i;
		}
	}
	return -ENOSPC;
}

static void msi_release(void *opaque, unsigned gsi)
{
	struct vector *vector = vector_of(opaque, gsi);

	require(vector->fd < 0);
	vector->allocated = false;
}

static int msi_bind(void *opaque, unsigned gsi, int fd, const struct msi_message *message)
{
	struct vector *vector = vector_of(opaque, gsi);

	require(vector->fd < 0 && fd >= 0);
	vector->fd = fd;
	vector->message = *message;
	return 0;
}

static int msi_update(void *opaque, unsigned gsi, const struct msi_message *message)
{
	struct vector *vector = vector_of(opaque, gsi);

	require(vector->fd >= 0);
	vector->message = *message;
	return 0;
}

static void msi_unbind(void *opaque, unsigned gsi, int fd)
{
	struct vector *vector = vector_of(opaque, gsi);

	require(vector->fd == fd);
	vector->fd = -1;
}

static void set_level(void *opaque, unsigned number, bool level)
{
	((struct world *)opaque)->levels[number] = level;
}

static void count_reset(void *opaque)
{
	((struct world *)opaque)->resets++;
}

static uint64_t card_read(void *opaque, uint64_t offset, unsigned width)
{
	(void)opaque;
	require(offset + width <= PAGE_BYTES);
	return offset;
}

static void card_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	(void)opaque;
	(void)value;
	require(offset + width <= PAGE_BYTES);
}

static const struct bus_region_ops card_ops = { .read = card_read, .write = card_write };

static void set_bar(struct card *card, unsigned index, enum pci_bar_kind kind, uint64_t size)
{
	const struct pci_bar bar = {
		.kind = kind,
		.size_bytes = size,
		.memory = kind == PCI_BAR_MEMORY ? &card->vram.base : NULL,
		.widths = BUS_WIDTH_ANY,
		.ops = &card_ops,
	};

	card->has_vram |= kind == PCI_BAR_MEMORY;
	require(!pci_device_set_bar(&card->device, index, &bar));
}

static void create(struct world *w)
{
	static const struct pci_ids ids = { .vendor = 0x1234, .device = 0x5678 };
	struct pci_bus_config config = {
		.mmio_base = MMIO_BASE,
		.mmio_end = MMIO_END,
		.ports_base = PORTS_BASE,
		.ports_end = PORTS_END,
		.request_reset = count_reset,
		.opaque = w,
	};
	static const struct bus_region_ops none = { .read = NULL };
	const struct bus_region other = { .base = OTHER_BASE,
		.length = OTHER_SIZE,
		.widths = BUS_WIDTH_ANY,
		.owner = "other",
		.ops = &none };

	memset(w, 0, sizeof(*w));
	w->controller = (struct msi_controller){ msi_allocate, msi_release, msi_bind, msi_update,
		msi_unbind, w };
	w->ports = config.ports = bus_create("port", 0x10000);
	w->mmio = config.mmio = bus_create("memory", 0);
	require(w->ports && w->mmio && !bus_add(w->mmio, &other, NULL));
	for (unsigned i = 0; i < 4; i++)
		config.intx[i] = (struct irq_line){ .set = set_level, .opaque = w, .number = i };
	require(!pci_bus_create(&config, &w->pci, NULL));
	for (unsigned i = 0; i < CARDS; i++) {
		w->cards[i].vram.base =
			(struct device_memory){ .ops = &vram_ops, .size_bytes = MEMORY_SIZE };
		pci_device_init(&w->cards[i].device, "card", &ids, i % 2 + 1);
	}
	/* A display, a device with MSI-X, one with MSI. */
	set_bar(&w->cards[0], 0, PCI_BAR_MEMORY, MEMORY_SIZE);
	set_bar(&w->cards[0], 2, PCI_BAR_MMIO, 4096);
	set_bar(&w->cards[1], 0, PCI_BAR_IO, 64);
	set_bar(&w->cards[1], 4, PCI_BAR_MEMORY, MEMORY_SIZE);
	require(!pci_msix_create(
		&w->cards[1].device, &w->controller, VECTORS, 1, &w->cards[1].msi, NULL));
	set_bar(&w->cards[2], 5, PCI_BAR_IO, 4);
	set_bar(&w->cards[2], 3, PCI_BAR_MMIO, 16);
	require(!pci_msi_create(&w->cards[2].device, &w->controller, &w->cards[2].msi, NULL));
	for (unsigned i = 0; i < CARDS; i++)
		require(!pci_bus_attach(w->pci, &w->cards[i].device, 0, NULL));
}

static uint32_t config_at(const struct pci_device *device, unsigned offset, unsigned bytes)
{
	uint32_t value = 0;

	memcpy(&value, device->config + offset, bytes);
	return value;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* Whether something keeps the BAR from being at address. */
static bool is_taken(struct world *w, bool io, uint64_t address, uint64_t size)
{
	uint64_t base = io ? PORTS_BASE : MMIO_BASE, end = io ? PORTS_END : MMIO_END;

	if (address < base || address + size > end)
		return true;
	if (io ? overlap(address, size, 0xcf8, 8) : overlap(address, size, OTHER_BASE, OTHER_SIZE))
		return true;
	for (unsigned i = 0; i < CARDS * PCI_BAR_COUNT; i++) {
		const struct pci_device *other = &w->cards[i / PCI_BAR_COUNT].device;
		unsigned index = i % PCI_BAR_COUNT;

		if (other->mapped[index] && (other->bars[index].kind == PCI_BAR_IO) == io &&
			overlap(address, size, other->mapped[index], other->bars[index].size_bytes))
			return true;
	}
	return false;
}

static void check_bar(struct world *w, struct card *card, unsigned index)
{
	struct pci_device *device = &card->device;
	const struct pci_bar *bar = &device->bars[index];
	bool io = bar->kind == PCI_BAR_IO;
	uint64_t mapped = device->mapped[index], wanted;
	uint32_t value, command = config_at(device, PCI_CFG_COMMAND, 2);

	if (bar->kind == PCI_BAR_NONE)
		return;
	wanted = config_at(device, PCI_CFG_BAR0 + 4 * index, 4) & ~(uint32_t)(bar->size_bytes - 1);
	if (!device->bus || !(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		wanted = 0;
	if (bar->kind == PCI_BAR_MEMORY)
		require(card->vram.gpa == mapped);
	if (!mapped) {
		require(!wanted || is_taken(w, io, wanted, bar->size_bytes));
		return;
	}
	require(mapped == wanted);
	/* The bus agrees. */
	require(bus_read(io ? w->ports : w->mmio, mapped, &value, 4));
	/* Alone there: taken out of the account, nothing else keeps it away. */
	device->mapped[index] = 0;
	require(!is_taken(w, io, mapped, bar->size_bytes));
	device->mapped[index] = mapped;
}

static void check_lines(struct world *w)
{
	bool levels[4] = { false };

	for (unsigned i = 0; i < CARDS; i++) {
		const struct pci_device *device = &w->cards[i].device;
		unsigned pin = device->config[PCI_CFG_INTERRUPT_PIN];

		require(pin == i % 2 + 1);
		if (device->bus && device->intx_level && !device->uses_messages &&
			!(config_at(device, PCI_CFG_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE))
			levels[(device->slot + pin - 1) % 4] = true;
	}
	require(!memcmp(levels, w->levels, sizeof(levels)));
}

/* The offset of a capability; the list must end, inside configuration space. */
static unsigned capability(const struct pci_device *device, uint8_t id)
{
	unsigned offset = device->config[PCI_CFG_CAPABILITIES], length = 0;

	for (; offset && device->config[offset] != id; offset = device->config[offset + 1])
		require(offset >= 0x40 && offset % 4 == 0 && length++ < 48);
	require(offset);
	return offset;
}

static void check_msi(struct world *w)
{
	const struct pci_device *msix = &w->cards[1].device, *msi = &w->cards[2].device;
	uint32_t control = config_at(msix, capability(msix, 0x11) + 2, 2);
	unsigned cap = capability(msi, 0x05);
	const struct vector *last = &w->vectors[VECTORS];
	bool on = config_at(msi, cap + 2, 2) & 1 && !(config_at(msi, cap + 16, 4) & 1);

	require((control & 0x7ff) == VECTORS - 1);
	require(pci_msi_enabled(w->cards[1].msi) == (control >> 15 == 1));
	for (unsigned i = 0; i < VECTORS; i++) {
		const struct vector *vector = &w->vectors[i];
		uint64_t table = msix->mapped[1];
		uint32_t entry[4];

		if (vector->fd >= 0)
			require(control >> 14 == 2 &&
				vector->fd == pci_msi_eventfd(w->cards[1].msi, i));
		if (!table)
			continue;
		for (unsigned j = 0; j < 4; j++)
			require(bus_read(w->mmio, table + 16 * i + 4 * j, &entry[j], 4));
		require(entry[3] <= 1);
		require((vector->fd >= 0) == (control >> 14 == 2 && !entry[3]));
		if (vector->fd >= 0)
			require(vector->message.data == entry[2] &&
				vector->message.address == (entry[0] | (uint64_t)entry[1] << 32));
	}
	require((last->fd >= 0) == on);
	if (on)
		require(last->message.address ==
				(config_at(msi, cap + 4, 4) | (uint64_t)config_at(msi, cap + 8, 4)
								      << 32) &&
			last->message.data == config_at(msi, cap + 12, 2));
}

static void check(struct world *w)
{
	for (unsigned i = 0; i < CARDS * PCI_BAR_COUNT; i++)
		check_bar(w, &w->cards[i / PCI_BAR_COUNT], i % PCI_BAR_COUNT);
	check_lines(w);
	check_msi(w);
}

static uint32_t fuzz_u32(struct fuzz_input *input)
{
	uint32_t low = fuzz_u16(input);

	return low | (uint32_t)fuzz_u16(input) << 16;
}

static void config_write(
	struct world *w, unsigned slot, unsigned offset, uint32_t value, unsigned width)
{
	uint32_t address = 0x80000000u | slot << 11 | (offset & 0xfc);

	bus_write(w->ports, 0xcf8, &address, 4);
	bus_write(w->ports, 0xcfc + (offset & 3), &value, width);
}

static void reset_card(struct card *card)
{
	pci_device_reset(&card->device);
	if (card->msi)
		pci_msi_reset(card->msi);
}

static void move_card(struct world *w, struct card *card)
{
	if (!card->device.bus) {
		/* Its room may have been taken, by a BAR that the guest has moved. */
		(void)pci_bus_attach(w->pci, &card->device, 0, NULL);
		return;
	}
	pci_bus_detach(&card->device);
	if (card->msi)
		pci_msi_reset(card->msi);
}

static void step(struct world *w, struct fuzz_input *input)
{
	static const uint8_t widths[] = { 1, 2, 4, 8 };
	uint8_t op = fuzz_u8(input);
	struct card *card = &w->cards[(op >> 4) % CARDS];
	unsigned width = widths[op >> 6], slot = card->device.slot;
	uint64_t address;
	uint64_t value;

	switch (op & 15) {
	case 0:
	case 1:
		value = fuzz_u32(input);
		bus_write(w->ports, 0xcf8 + (fuzz_u8(input) & 7u), &value, width);
		break;
	case 2:
		bus_read(w->ports, 0xcf8 + (fuzz_u8(input) & 7u), &value, width);
		break;
	case 3:
	case 4:
		address = fuzz_u8(input);
		config_write(w, slot, (unsigned)address, fuzz_u32(input), width > 4 ? 4 : width);
		break;
	case 5: /* a BAR to somewhere in its window, or close by */
		address = fuzz_u8(input) % PCI_BAR_COUNT;
		value = card->device.bars[address].kind == PCI_BAR_IO
				? PORTS_BASE + fuzz_u16(input) % 0x300
				: MMIO_BASE - KIB(64) + fuzz_u16(input) * UINT64_C(64);
		config_write(w, slot, (unsigned)(PCI_CFG_BAR0 + 4 * address), (uint32_t)value, 4);
		break;
	case 6:
		config_write(w, slot, PCI_CFG_COMMAND, fuzz_u8(input) & 7, 1);
		break;
	case 7: /* the message control of MSI or MSI-X, which are at the same place */
		config_write(w, slot, 0x42, fuzz_u16(input), 2);
		break;
	case 8:
	case 9:
		address = w->cards[1].device.mapped[1];
		value = fuzz_u32(input) * UINT64_C(0x100000001);
		if (address)
			bus_write(w->mmio, address + fuzz_u8(input), &value, width);
		break;
	case 10:
		address = MMIO_BASE + fuzz_u32(input) % (MMIO_END - MMIO_BASE + PAGE_BYTES);
		value = 0;
		if (op & 0x80)
			bus_read(w->mmio, address, &value, width);
		else
			bus_write(w->mmio, address, &value, width);
		break;
	case 11:
		if (card->device.bus)
			pci_device_set_intx(&card->device, op & 0x80);
		break;
	case 12:
		reset_card(card);
		break;
	case 13:
		move_card(w, card);
		break;
	case 14:
		value = 1;
		if (card->msi && write(pci_msi_eventfd(card->msi, 0), &value, 8) != 8)
			abort();
		break;
	default:
		pci_bus_reset(w->pci);
		break;
	}
}

static void expect_empty(struct bus *bus, uint64_t base, uint64_t end)
{
	static const struct bus_region_ops none = { .read = NULL };
	const struct bus_region all = { .base = base,
		.length = end - base,
		.widths = BUS_WIDTH_ANY,
		.owner = "all",
		.ops = &none };

	require(!bus_add(bus, &all, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct world *w = malloc(sizeof(*w));

	require(w);
	create(w);
	while (input.size) {
		step(w, &input);
		check(w);
	}
	/* A reset of all brings all back to where it was assigned. */
	for (unsigned i = 0; i < CARDS; i++)
		reset_card(&w->cards[i]);
	check(w);
	for (unsigned i = 0; i < CARDS; i++) {
		pci_bus_detach(&w->cards[i].device);
		require(!w->cards[i].vram.gpa);
	}
	for (unsigned i = 0; i < CARDS; i++)
		pci_msi_destroy(w->cards[i].msi);
	for (unsigned i = 0; i < array_size(w->vectors); i++)
		require(!w->vectors[i].allocated);
	pci_bus_destroy(w->pci);
	require(!bus_remove(w->mmio, OTHER_BASE));
	expect_empty(w->mmio, 0, UINT64_MAX);
	expect_empty(w->ports, 0, 0x10000);
	bus_destroy(w->mmio);
	bus_destroy(w->ports);
	free(w);
	return 0;
}

/* core/pci: configuration mechanism 1, BARs, INTx, reset control. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/pci.h"
#include "fake_memory.h"

#define MMIO_BASE UINT64_C(0xc0000000)
#define MMIO_END  UINT64_C(0xc4000000)

struct machine {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct fake_memory *vram;
	struct pci_device card;
	bool levels[16];
	unsigned resets;
	uint32_t last_write;
};

static void set_level(void *opaque, unsigned number, bool level)
{
	((struct machine *)opaque)->levels[number] = level;
}

static void count_reset(void *opaque)
{
	((struct machine *)opaque)->resets++;
}

static uint64_t card_read(void *opaque, uint64_t offset, unsigned width)
{
	(void)opaque;
	(void)width;
	return 0xabcd0000 + offset;
}

static void card_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	(void)offset;
	(void)width;
	((struct machine *)opaque)->last_write = (uint32_t)value;
}

static const struct bus_region_ops card_ops = { .read = card_read, .write = card_write };

static void select_register(struct machine *m, unsigned slot, unsigned offset)
{
	uint32_t address = 0x80000000u | slot << 11 | (offset & 0xfc);

	bus_write(m->ports, 0xcf8, &address, 4);
}

static uint32_t config_read(struct machine *m, unsigned slot, unsigned offset, unsigned width)
{
	uint32_t value = 0;

	select_register(m, slot, offset);
	bus_read(m->ports, 0xcfc + (offset & 3), &value, width);
	return value;
}

static void config_write(
	struct machine *m, unsigned slot, unsigned offset, uint32_t value, unsigned width)
{
	select_register(m, slot, offset);
	bus_write(m->ports, 0xcfc + (offset & 3), &value, width);
}

static int setup(void **state)
{
	static const struct pci_ids ids = { .vendor = 0x1234,
		.device = 0x1111,
		.class_code = 0x030000,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.revision = 2 };
	struct machine *m = calloc(1, sizeof(*m));
	struct pci_bus_config config = {
		.mmio_base = MMIO_BASE,
		.mmio_end = MMIO_END,
		.ports_base = 0xc000,
		.ports_end = 0xd000,
		.request_reset = count_reset,
		.opaque = m,
	};
	static const unsigned irqs[4] = { 10, 11, 5, 6 };

	m->ports = config.ports = bus_create("port", 0x10000);
	m->mmio = config.mmio = bus_create("memory", 0);
	for (unsigned i = 0; i < 4; i++)
		config.intx[i] =
			(struct irq_line){ .set = set_level, .opaque = m, .number = irqs[i] };
	assert_int_equal(pci_bus_create(&config, &m->pci, NULL), 0);
	m->vram = fake_memory_create(MIB(1));
	pci_device_init(&m->card, "card", &ids, 1);
	assert_int_equal(pci_device_set_bar(&m->card, 0,
				 &(struct pci_bar){ .kind = PCI_BAR_MEMORY,
					 .prefetchable = true,
					 .size_bytes = MIB(1),
					 .memory = &m->vram->base }),
		0);
	assert_int_equal(pci_device_set_bar(&m->card, 2,
				 &(struct pci_bar){ .kind = PCI_BAR_MMIO,
					 .size_bytes = 4096,
					 .widths = BUS_WIDTH_ANY,
					 .ops = &card_ops,
					 .opaque = m }),
		0);
	assert_int_equal(pci_device_set_bar(&m->card, 4,
				 &(struct pci_bar){ .kind = PCI_BAR_IO,
					 .size_bytes = 16,
					 .widths = BUS_WIDTH_ANY,
					 .ops = &card_ops,
					 .opaque = m }),
		0);
	assert_int_equal(pci_bus_attach(m->pci, &m->card, 0, NULL), 0);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	pci_bus_detach(&m->card);
	pci_bus_destroy(m->pci);
	fake_memory_destroy(m->vram);
	bus_destroy(m->mmio);
	bus_destroy(m->ports);
	free(m);
	return 0;
}

static void pci_absent_slots_and_functions_read_ones(void **state)
{
	struct machine *m = *state;
	uint32_t address = 0x80000000u | 1 << 11 | 1 << 8, value = 0;

	assert_int_equal(config_read(m, 0, 0, 4), 0x12378086);
	assert_int_equal(config_read(m, 1, 0, 4), 0x11111234);
	assert_int_equal(config_read(m, 2, 0, 4), 0xffffffff);
	bus_write(m->ports, 0xcf8, &address, 4);
	bus_read(m->ports, 0xcfc, &value, 4);
	assert_int_equal(value, 0xffffffff);
	address &= 0x7fffffff;
	address &= ~0x700u;
	bus_write(m->ports, 0xcf8, &address, 4);
	bus_read(m->ports, 0xcfc, &value, 4);
	assert_int_equal(value, 0xffffffff);
}

static void pci_config_reads_any_width(void **state)
{
	struct machine *m = *state;

	assert_int_equal(config_read(m, 1, 0, 2), 0x1234);
	assert_int_equal(config_read(m, 1, 2, 2), 0x1111);
	assert_int_equal(config_read(m, 1, 8, 4), 0x03000002);
	assert_int_equal(config_read(m, 1, 0xb, 1), 3);
	assert_int_equal(config_read(m, 1, 0x2c, 4), 0x11001af4);
	assert_int_equal(config_read(m, 1, 0x3d, 1), 1);
	assert_int_equal(config_read(m, 1, 0x3c, 1), 11); /* slot 1, pin A: line 1 */
}

static void pci_read_only_registers_ignore_writes(void **state)
{
	struct machine *m = *state;

	config_write(m, 1, 0, 0xffffffff, 4);
	config_write(m, 1, 8, 0, 4);
	config_write(m, 1, 0x34, 0xff, 1);
	assert_int_equal(config_read(m, 1, 0, 4), 0x11111234);
	assert_int_equal(config_read(m, 1, 8, 4), 0x03000002);
	assert_int_equal(config_read(m, 1, 0x34, 1), 0);
}

static void pci_attach_maps_bars(void **state)
{
	struct machine *m = *state;
	uint32_t mmio = config_read(m, 1, 0x18, 4), io = config_read(m, 1, 0x20, 4), value;

	assert_int_equal(config_read(m, 1, 0x10, 4), MMIO_BASE | 8);
	assert_int_equal(m->vram->gpa, MMIO_BASE);
	assert_int_equal(mmio, MMIO_BASE + MIB(1));
	assert_int_equal(io, 0xc001);
	assert_int_equal(config_read(m, 1, 4, 2), 7);
	assert_true(bus_read(m->mmio, mmio + 4, &value, 4));
	assert_int_equal(value, 0xabcd0004);
	assert_true(bus_read(m->ports, 0xc008, &value, 4));
	assert_int_equal(value, 0xabcd0008);
}

static void pci_sizing_tells_the_size(void **state)
{
	struct machine *m = *state;

	config_write(m, 1, 4, 0, 2);
	config_write(m, 1, 0x10, 0xffffffff, 4);
	config_write(m, 1, 0x14, 0xffffffff, 4);
	config_write(m, 1, 0x18, 0xffffffff, 4);
	config_write(m, 1, 0x20, 0xffffffff, 4);
	assert_int_equal(config_read(m, 1, 0x10, 4), 0xfff00008);
	assert_int_equal(config_read(m, 1, 0x14, 4), 0);
	assert_int_equal(config_read(m, 1, 0x18, 4), 0xfffff000);
	assert_int_equal(config_read(m, 1, 0x20, 4), 0xfffffff1);
}

static void pci_decoding_off_unmaps(void **state)
{
	struct machine *m = *state;
	uint32_t value;

	config_write(m, 1, 4, 1, 2);
	assert_int_equal(m->vram->gpa, 0);
	assert_false(bus_read(m->mmio, MMIO_BASE + MIB(1), &value, 4));
	assert_true(bus_read(m->ports, 0xc000, &value, 4));
	config_write(m, 1, 4, 7, 2);
	assert_int_equal(m->vram->gpa, MMIO_BASE);
	assert_true(bus_read(m->mmio, MMIO_BASE + MIB(1), &value, 4));
}

static void pci_bar_moves(void **state)
{
	struct machine *m = *state;
	uint32_t value;

	config_write(m, 1, 0x10, MMIO_BASE + MIB(16), 4);
	assert_int_equal(m->vram->gpa, MMIO_BASE + MIB(16));
	config_write(m, 1, 0x18, MMIO_BASE, 4);
	assert_true(bus_read(m->mmio, MMIO_BASE, &value, 4));
	assert_int_equal(value, 0xabcd0000);
}

static void pci_bar_over_something_else_is_not_mapped(void **state)
{
	struct machine *m = *state;
	static const struct bus_region_ops none = { .read = NULL };
	const struct bus_region ram = {
		.base = 0, .length = MIB(64), .widths = BUS_WIDTH_ANY, .owner = "RAM", .ops = &none
	};
	uint32_t value;

	assert_int_equal(bus_add(m->mmio, &ram, NULL), 0);
	config_write(m, 1, 0x10, MIB(2), 4); /* over RAM */
	assert_int_equal(m->vram->gpa, 0);
	config_write(m, 1, 0x10, MMIO_END - MIB(1), 4);
	assert_int_equal(m->vram->gpa, MMIO_END - MIB(1));
	config_write(m, 1, 0x18, (uint32_t)(MMIO_END - 4096), 4); /* over the other BAR */
	assert_true(bus_read(m->mmio, MMIO_END - 4096, &value, 4));
	assert_int_equal(value, 0xffffffff);
	config_write(m, 1, 0x10, (uint32_t)MMIO_END, 4); /* outside the window */
	assert_int_equal(m->vram->gpa, 0);
	config_write(m, 1, 0x20, 0xcf0, 4); /* over the configuration ports */
	assert_false(bus_read(m->ports, 0xcf0, &value, 4));
}

static void pci_hostile_bar_walk_leaves_it_whole(void **state)
{
	struct machine *m = *state;

	for (unsigned i = 0; i < 5000; i++) {
		config_write(m, 1, 0x10 + 4 * (i % 6), i * 2654435761u, 4);
		config_write(m, 1, 4, i * 40503u, 2);
	}
	pci_device_reset(&m->card);
	assert_int_equal(m->vram->gpa, MMIO_BASE);
	assert_int_equal(config_read(m, 1, 4, 2), 7);
}

static void pci_intx_follows_pin_and_disable(void **state)
{
	struct machine *m = *state;

	pci_device_set_intx(&m->card, true);
	assert_true(m->levels[11]);
	assert_int_equal(config_read(m, 1, 6, 2) & 8, 8);
	config_write(m, 1, 4, 0x407, 2);
	assert_false(m->levels[11]);
	assert_int_equal(config_read(m, 1, 6, 2) & 8, 8);
	config_write(m, 1, 4, 7, 2);
	assert_true(m->levels[11]);
	pci_device_set_intx(&m->card, false);
	assert_false(m->levels[11]);
}

static void pci_shared_line_is_an_or(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	struct machine *m = *state;
	struct pci_device other;

	pci_device_init(&other, "other", &ids, 1);
	assert_int_equal(pci_bus_attach(m->pci, &other, 5, NULL), 0);
	pci_device_set_intx(&m->card, true);
	pci_device_set_intx(&other, true);
	pci_device_set_intx(&m->card, false);
	assert_true(m->levels[11]);
	pci_bus_detach(&other);
	assert_false(m->levels[11]);
}

static void pci_capabilities_form_a_list(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	struct machine *m = *state;
	struct pci_device device;
	int first, second;

	pci_device_init(&device, "device", &ids, 0);
	first = pci_device_add_capability(&device, 0x09, 17);
	second = pci_device_add_capability(&device, 0x11, 12);
	assert_int_equal(first, 0x40);
	assert_int_equal(second, 0x54);
	assert_int_equal(pci_device_add_capability(&device, 9, 250), -ENOSPC);
	assert_int_equal(pci_bus_attach(m->pci, &device, 0, NULL), 0);
	assert_int_equal(config_read(m, 2, 0x34, 1), 0x40);
	assert_int_equal(config_read(m, 2, 6, 2), 0x10);
	assert_int_equal(config_read(m, 2, 0x40, 2), 0x5409);
	assert_int_equal(config_read(m, 2, 0x54, 2), 0x0011);
	pci_bus_detach(&device);
}

static void pci_reset_control_resets_on_a_rising_edge(void **state)
{
	struct machine *m = *state;
	uint8_t value = 2;

	bus_write(m->ports, 0xcf9, &value, 1);
	assert_int_equal(m->resets, 0);
	value = 6;
	bus_write(m->ports, 0xcf9, &value, 1);
	bus_write(m->ports, 0xcf9, &value, 1);
	assert_int_equal(m->resets, 1);
	pci_bus_reset(m->pci);
	bus_write(m->ports, 0xcf9, &value, 1);
	assert_int_equal(m->resets, 2);
}

static void pci_bad_bars_are_refused(void **state)
{
	struct pci_device device;
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	struct pci_bar bar = { .kind = PCI_BAR_MMIO, .size_bytes = 4096, .ops = &card_ops };

	(void)state;
	pci_device_init(&device, "device", &ids, 0);
	assert_int_equal(pci_device_set_bar(&device, 6, &bar), -EINVAL);
	bar.size_bytes = 3000;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bar.size_bytes = 8;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bar.kind = PCI_BAR_IO;
	bar.size_bytes = 512;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bar.size_bytes = 16;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), 0);
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL); /* it is set */
}

static void pci_bar_is_mapped_when_room_comes(void **state)
{
	struct machine *m = *state;
	uint32_t value;

	/* Two BARs swap their places while both decode: the first has no room until the second
	 * goes. */
	config_write(m, 1, 0x18, MMIO_BASE, 4);
	assert_true(bus_read(m->mmio, MMIO_BASE, &value, 4));
	assert_int_equal(value, 0xffffffff); /* video memory's still */
	config_write(m, 1, 0x10, MMIO_BASE + MIB(1), 4);
	assert_int_equal(m->vram->gpa, MMIO_BASE + MIB(1));
	assert_true(bus_read(m->mmio, MMIO_BASE + 8, &value, 4));
	assert_int_equal(value, 0xabcd0008);
}

static void pci_reset_undoes_what_two_devices_swapped(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	struct machine *m = *state;
	struct fake_memory *other_vram = fake_memory_create(MIB(1));
	struct pci_device other;

	pci_device_init(&other, "other", &ids, 0);
	assert_int_equal(pci_device_set_bar(&other, 0,
				 &(struct pci_bar){ .kind = PCI_BAR_MEMORY,
					 .size_bytes = MIB(1),
					 .memory = &other_vram->base }),
		0);
	assert_int_equal(pci_bus_attach(m->pci, &other, 2, NULL), 0);
	assert_int_equal(other_vram->gpa, MMIO_BASE + MIB(2));
	config_write(m, 1, 0x10, MMIO_BASE + MIB(8), 4);
	config_write(m, 2, 0x10, MMIO_BASE, 4);
	assert_int_equal(other_vram->gpa, MMIO_BASE);
	/* The card is reset first, while the other one is still where it shall be. */
	pci_device_reset(&m->card);
	assert_int_equal(m->vram->gpa, 0);
	pci_device_reset(&other);
	assert_int_equal(m->vram->gpa, MMIO_BASE);
	assert_int_equal(other_vram->gpa, MMIO_BASE + MIB(2));
	pci_bus_detach(&other);
	fake_memory_destroy(other_vram);
}

static void pci_bar_is_written_in_pieces(void **state)
{
	struct machine *m = *state;

	config_write(m, 1, 4, 0, 2);
	config_write(m, 1, 0x13, 0xc3, 1);
	config_write(m, 1, 0x12, 0x20, 1);
	config_write(m, 1, 0x10, 0xffff, 2); /* below the size: no bits there */
	assert_int_equal(config_read(m, 1, 0x10, 4), 0xc3200008);
	assert_int_equal(config_read(m, 1, 0x12, 2), 0xc320);
	config_write(m, 1, 4, 2, 1);
	assert_int_equal(m->vram->gpa, 0xc3200000);
	config_write(m, 1, 0x12, 0xc110, 2);
	assert_int_equal(m->vram->gpa, 0xc1100000);
}

#define BELLS 3u

/* A device with one BAR of registers and doorbells in it. */
struct bell_card {
	struct pci_device device;
	struct bus_doorbell bells[BELLS];
	unsigned writes;
};

static void bell_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	(void)offset;
	(void)width;
	(void)value;
	((struct bell_card *)opaque)->writes++;
}

static const struct bus_region_ops bell_ops = { .write = bell_write };

static void bell_card_attach(struct machine *m, struct bell_card *card)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };

	memset(card, 0, sizeof(*card));
	pci_device_init(&card->device, "bells", &ids, 1);
	for (unsigned i = 0; i < BELLS; i++)
		card->bells[i] = (struct bus_doorbell){
			.address = 0x100 + 4 * i,
			.eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		};
	assert_int_equal(pci_device_set_bar(&card->device, 0,
				 &(struct pci_bar){ .kind = PCI_BAR_MMIO,
					 .size_bytes = 4096,
					 .widths = BUS_WIDTH_ANY,
					 .ops = &bell_ops,
					 .opaque = card,
					 .doorbells = card->bells,
					 .doorbell_count = BELLS }),
		0);
	assert_int_equal(pci_bus_attach(m->pci, &card->device, 2, NULL), 0);
}

static void bell_card_detach(struct bell_card *card)
{
	pci_bus_detach(&card->device);
	for (unsigned i = 0; i < BELLS; i++)
		close(card->bells[i].eventfd);
}

/* Whether a write at offset from address rings the bell, or else (false) reaches nobody or the
 * card's callback. */
static bool rings(struct machine *m, const struct bell_card *card, uint64_t address, unsigned bell)
{
	uint64_t count = 0;
	uint16_t value = 7;

	bus_write(m->mmio, address + 0x100 + 4 * bell, &value, 2);
	return read(card->bells[bell].eventfd, &count, sizeof(count)) == sizeof(count);
}

static void pci_doorbell_that_is_off_is_a_write(void **state)
{
	struct machine *m = *state;
	struct bell_card card;
	uint64_t at;

	bell_card_attach(m, &card);
	at = card.device.mapped[0];
	assert_false(rings(m, &card, at, 1));
	assert_int_equal(card.writes, 1);
	pci_device_set_doorbell(&card.device, 0, 1, true);
	pci_device_set_doorbell(&card.device, 0, 1, true);
	assert_true(rings(m, &card, at, 1));
	assert_false(rings(m, &card, at, 0));
	assert_int_equal(card.writes, 2);
	pci_device_set_doorbell(&card.device, 0, 1, false);
	assert_false(rings(m, &card, at, 1));
	bell_card_detach(&card);
}

static void pci_doorbells_move_with_their_bar(void **state)
{
	struct machine *m = *state;
	struct bell_card card;
	uint64_t first, second = MMIO_BASE + MIB(8);

	bell_card_attach(m, &card);
	first = card.device.mapped[0];
	pci_device_set_doorbell(&card.device, 0, 0, true);
	pci_device_set_doorbell(&card.device, 0, 2, true);
	config_write(m, 2, 0x10, (uint32_t)second, 4);
	assert_false(rings(m, &card, first, 0));
	assert_int_equal(card.writes, 0);
	assert_true(rings(m, &card, second, 0));
	assert_false(rings(m, &card, second, 1));
	assert_true(rings(m, &card, second, 2));
	/* Not decoded: nothing rings. Switched on meanwhile: rings when it is decoded again. */
	config_write(m, 2, 4, 0, 2);
	assert_false(rings(m, &card, second, 0));
	pci_device_set_doorbell(&card.device, 0, 1, true);
	assert_false(rings(m, &card, second, 1));
	config_write(m, 2, 4, 2, 2);
	assert_true(rings(m, &card, second, 0));
	assert_true(rings(m, &card, second, 1));
	bell_card_detach(&card);
	assert_false(rings(m, &card, second, 0));
}

static void pci_doorbells_of_a_refused_bar_ring_nowhere(void **state)
{
	struct machine *m = *state;
	struct bell_card card;

	bell_card_attach(m, &card);
	pci_device_set_doorbell(&card.device, 0, 0, true);
	config_write(m, 2, 0x10, (uint32_t)MMIO_BASE, 4); /* over video memory */
	assert_false(rings(m, &card, MMIO_BASE, 0));
	config_write(m, 2, 0x10, 0x1000, 4); /* over RAM */
	assert_false(rings(m, &card, 0x1000, 0));
	config_write(m, 2, 0x10, (uint32_t)(MMIO_BASE + MIB(4)), 4);
	assert_true(rings(m, &card, MMIO_BASE + MIB(4), 0));
	bell_card_detach(&card);
}

static void pci_reset_switches_doorbells_off(void **state)
{
	struct machine *m = *state;
	struct bell_card card;
	uint64_t at;

	bell_card_attach(m, &card);
	at = card.device.mapped[0];
	/* Where it is, and after a move. */
	for (unsigned i = 0; i < 2; i++) {
		pci_device_set_doorbell(&card.device, 0, 0, true);
		if (i)
			config_write(m, 2, 0x10, (uint32_t)(MMIO_BASE + MIB(4)), 4);
		pci_device_reset(&card.device);
		assert_false(rings(m, &card, at, 0));
		assert_int_equal(card.writes, i + 1);
	}
	pci_device_set_doorbell(&card.device, 0, 0, true);
	assert_true(rings(m, &card, at, 0));
	bell_card_detach(&card);
}

struct binder {
	int answer;
	unsigned bound;
};

static int try_to_bind(void *opaque, const struct bus_doorbell *doorbell)
{
	struct binder *binder = opaque;

	(void)doorbell;
	binder->bound += binder->answer == 0;
	return binder->answer;
}

static void unbind(void *opaque, const struct bus_doorbell *doorbell)
{
	(void)doorbell;
	((struct binder *)opaque)->bound--;
}

static void pci_doorbell_that_cannot_be_bound_is_a_write(void **state)
{
	struct machine *m = *state;
	struct binder binder = { .answer = -ENOSPC };
	const struct bus_doorbell_ops ops = {
		.bind = try_to_bind, .unbind = unbind, .opaque = &binder
	};
	struct bell_card card;

	bus_connect_doorbells(m->mmio, &ops);
	bell_card_attach(m, &card);
	pci_device_set_doorbell(&card.device, 0, 0, true);
	assert_false(rings(m, &card, card.device.mapped[0], 0));
	config_write(m, 2, 0x10, (uint32_t)(MMIO_BASE + MIB(4)), 4);
	assert_false(rings(m, &card, MMIO_BASE + MIB(4), 0));
	assert_int_equal(card.writes, 2);
	/* Asked for again, it is tried again. */
	binder.answer = 0;
	pci_device_set_doorbell(&card.device, 0, 0, true);
	assert_int_equal(binder.bound, 1);
	bell_card_detach(&card);
	assert_int_equal(binder.bound, 0);
}

static void pci_doorbells_outside_the_bar_are_refused(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	static struct bus_doorbell bells[PCI_MAX_DOORBELLS + 1];
	struct pci_bar bar = { .kind = PCI_BAR_MMIO,
		.size_bytes = 4096,
		.ops = &card_ops,
		.doorbells = bells,
		.doorbell_count = 1 };
	struct pci_device device;

	(void)state;
	pci_device_init(&device, "device", &ids, 0);
	bells[0].address = 4096;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bells[0] = (struct bus_doorbell){ .address = 4094, .width = 4 };
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bells[0].address = UINT64_MAX;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bells[0] = (struct bus_doorbell){ .address = 4095 };
	bar.doorbell_count = PCI_MAX_DOORBELLS + 1;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), -EINVAL);
	bar.doorbell_count = PCI_MAX_DOORBELLS;
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), 0);
}

#define PLACES 247 /* 31 slots of 8 functions, less the device that every test has */

static void pci_full_bus_refuses_the_next_device(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	static struct pci_device others[PLACES + 1];
	struct machine *m = *state;
	struct error err;

	for (unsigned i = 0; i <= PLACES; i++)
		pci_device_init(&others[i], "other", &ids, 0);
	for (unsigned i = 0; i < PLACES; i++)
		assert_int_equal(pci_bus_attach(m->pci, &others[i], 0, &err), 0);
	assert_int_equal(pci_bus_attach(m->pci, &others[PLACES], 0, &err), -ENOSPC);
	assert_string_equal(err.text, "other: the PCI bus is full, it takes 248 devices");
	assert_int_equal(pci_bus_attach(m->pci, &others[PLACES], 5, &err), -ENOSPC);
	assert_string_equal(err.text, "other: PCI slot 5 is not free");
	for (unsigned i = PLACES; i--;)
		pci_bus_detach(&others[i]);
}

static uint32_t read_function(struct machine *m, unsigned slot, unsigned function, unsigned offset)
{
	uint32_t address = UINT32_C(0x80000000) | slot << 11 | function << 8 | offset, value = 0;

	bus_write(m->ports, 0xcf8, &address, 4);
	bus_read(m->ports, 0xcfc, &value, 4);
	return value;
}

static void pci_functions_share_a_slot_when_slots_are_full(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	static struct pci_device others[31];
	struct machine *m = *state;
	unsigned slot = m->card.slot;

	for (unsigned i = 0; i < 31; i++) {
		pci_device_init(&others[i], "other", &ids, 0);
		assert_int_equal(pci_bus_attach(m->pci, &others[i], 0, NULL), 0);
		assert_int_equal(others[i].function, i < 30 ? 0 : 1);
	}
	assert_int_equal(others[30].slot, slot);
	assert_int_equal(read_function(m, slot, 1, 0), 2u << 16 | 1);
	assert_int_equal(read_function(m, slot, 2, 0), 0xffffffff);
	/* Function 0 tells, also after its reset; a slot with one device does not. */
	assert_int_equal(read_function(m, slot, 0, 0x0c) >> 16 & 0xff, 0x80);
	pci_device_reset(&m->card);
	assert_int_equal(read_function(m, slot, 0, 0x0c) >> 16 & 0xff, 0x80);
	assert_int_equal(read_function(m, others[0].slot, 0, 0x0c) >> 16 & 0xff, 0);
	pci_bus_detach(&others[30]);
	assert_int_equal(read_function(m, slot, 0, 0x0c) >> 16 & 0xff, 0);
	for (unsigned i = 30; i--;)
		pci_bus_detach(&others[i]);
}

static uint32_t window_value;

static uint32_t window_read(struct pci_device *device, const uint8_t *config)
{
	(void)config;
	/* The bus's lock is not held: taking it must not hang. */
	pci_device_set_intx(device, true);
	return window_value;
}

static void window_write(struct pci_device *device, const uint8_t *config)
{
	pci_device_set_intx(device, false);
	memcpy(&window_value, config + device->window, 4);
}

static void pci_window_leads_into_the_device(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	struct machine *m = *state;
	struct pci_device device;

	pci_device_init(&device, "window", &ids, 1);
	device.window = 0x44;
	device.window_read = window_read;
	device.window_write = window_write;
	memset(device.writable + 0x44, 0xff, 4);
	assert_int_equal(pci_bus_attach(m->pci, &device, 2, NULL), 0);
	window_value = 0x12345678;
	assert_int_equal(config_read(m, 2, 0x40, 4), 0);
	assert_false(device.intx_level);
	assert_int_equal(config_read(m, 2, 0x45, 1), 0x56);
	assert_true(device.intx_level);
	config_write(m, 2, 0x46, 0xaabb, 2);
	assert_int_equal(window_value, 0xaabb5678);
	assert_false(device.intx_level);
	config_write(m, 2, 0x48, 1, 4);
	assert_int_equal(window_value, 0xaabb5678);
	pci_bus_detach(&device);
}

static void pci_messages_keep_the_pin_quiet(void **state)
{
	struct machine *m = *state;

	pci_device_set_intx(&m->card, true);
	m->card.uses_messages = true; /* as pci_msi does */
	config_write(m, 1, 4, 7, 2);
	assert_false(m->levels[11]);
	pci_device_reset(&m->card);
	pci_device_set_intx(&m->card, true);
	assert_true(m->levels[11]);
}

static void pci_address_register_is_one_dword(void **state)
{
	struct machine *m = *state;
	uint32_t value = 0xffffffff, byte = 1, address = 0x80000800;

	bus_write(m->ports, 0xcf8, &value, 4);
	bus_read(m->ports, 0xcf8, &value, 4);
	assert_int_equal(value, 0x80fffffc);
	/* How Linux probes for mechanism 1: a byte to its last port is none of the register's. */
	bus_write(m->ports, 0xcf8, &address, 4);
	bus_write(m->ports, 0xcfb, &byte, 1);
	bus_write(m->ports, 0xcf8, &byte, 2);
	bus_read(m->ports, 0xcf8, &value, 4);
	assert_int_equal(value, address);
	value = 0;
	bus_read(m->ports, 0xcf8, &value, 2);
	assert_int_equal(value, 0xffff);
	/* A dword that runs over the end of the data ports is single bytes, and some of them data.
	 */
	value = 0;
	bus_read(m->ports, 0xcfe, &value, 4);
	assert_int_equal(value, 0xffff1111);
}

static void pci_detached_device_is_attached_again(void **state)
{
	struct machine *m = *state;
	uint32_t value;

	config_write(m, 1, 0x10, MMIO_BASE + MIB(16), 4);
	config_write(m, 1, 0x20, 0xc800, 4);
	config_write(m, 1, 0x3c, 0x55, 1);
	pci_device_set_intx(&m->card, true);
	pci_bus_detach(&m->card);
	assert_int_equal(m->vram->gpa, 0);
	assert_false(m->levels[11]);
	assert_false(bus_read(m->ports, 0xc800, &value, 4));
	assert_int_equal(config_read(m, 1, 0, 4), 0xffffffff);
	pci_device_set_intx(&m->card, true); /* nobody's line any more */
	assert_false(m->levels[11]);
	assert_int_equal(pci_bus_attach(m->pci, &m->card, 4, NULL), 0);
	assert_int_equal(config_read(m, 4, 0x10, 4), MMIO_BASE | 8);
	assert_int_equal(config_read(m, 4, 0x20, 4), 0xc001);
	assert_int_equal(config_read(m, 4, 0x3c, 1), 10); /* slot 4, pin A: line 0 */
	assert_int_equal(config_read(m, 4, 6, 2) & 8, 0);
	assert_int_equal(m->vram->gpa, MMIO_BASE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(pci_absent_slots_and_functions_read_ones),
		TEST(pci_config_reads_any_width),
		TEST(pci_read_only_registers_ignore_writes),
		TEST(pci_attach_maps_bars),
		TEST(pci_sizing_tells_the_size),
		TEST(pci_decoding_off_unmaps),
		TEST(pci_bar_moves),
		TEST(pci_bar_over_something_else_is_not_mapped),
		TEST(pci_hostile_bar_walk_leaves_it_whole),
		TEST(pci_intx_follows_pin_and_disable),
		TEST(pci_shared_line_is_an_or),
		TEST(pci_capabilities_form_a_list),
		TEST(pci_reset_control_resets_on_a_rising_edge),
		TEST(pci_bad_bars_are_refused),
		TEST(pci_bar_is_mapped_when_room_comes),
		TEST(pci_reset_undoes_what_two_devices_swapped),
		TEST(pci_bar_is_written_in_pieces),
		TEST(pci_doorbell_that_is_off_is_a_write),
		TEST(pci_doorbells_move_with_their_bar),
		TEST(pci_doorbells_of_a_refused_bar_ring_nowhere),
		TEST(pci_reset_switches_doorbells_off),
		TEST(pci_doorbell_that_cannot_be_bound_is_a_write),
		TEST(pci_doorbells_outside_the_bar_are_refused),
		TEST(pci_full_bus_refuses_the_next_device),
		TEST(pci_functions_share_a_slot_when_slots_are_full),
		TEST(pci_window_leads_into_the_device),
		TEST(pci_messages_keep_the_pin_quiet),
		TEST(pci_address_register_is_one_dword),
		TEST(pci_detached_device_is_attached_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "core/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define CONFIG_PORTS         0xcf8
#define CONFIG_PORTS_COUNT   8
#define ADDRESS_ENABLE       0x80000000u
#define ADDRESS_BITS         0x80fffffcu /* the others are wired to zero */
#define RESET_CONTROL        1 /* offset of port 0xcf9: bit 1 kind, a rising bit 2 resets */
#define SLOTS                32u
#define HEADER_MULTIFUNCTION 0x80u
#define FUNCTIONS            8u /* of a slot */
#define PLACES               (SLOTS * FUNCTIONS)

struct pci_bus {
	struct pci_bus_config config;
	pthread_mutex_t lock;
	uint32_t address;                  /* lock: the register at 0xcf8 */
	uint8_t reset_control;             /* lock: the register at 0xcf9 */
	struct pci_device *places[PLACES]; /* by slot * FUNCTIONS + function; lock */
	struct pci_device bridge;
};

static uint16_t get16(const uint8_t *bytes, unsigned offset)
{
	return (uint16_t)(bytes[offset] | bytes[offset + 1] << 8);
}

static void put16(uint8_t *bytes, unsigned offset, uint16_t value)
{
	bytes[offset] = (uint8_t)value;
	bytes[offset + 1] = (uint8_t)(value >> 8);
}

static uint32_t get32(const uint8_t *bytes, unsigned offset)
{
	return get16(bytes, offset) | (uint32_t)get16(bytes, offset + 2) << 16;
}

static void put32(uint8_t *bytes, unsigned offset, uint32_t value)
{
	put16(bytes, offset, (uint16_t)value);
	put16(bytes, offset + 2, (uint16_t)(value >> 16));
}

void pci_device_init(struct pci_device *device, const char *name, const struct pci_ids *ids,
	unsigned interrupt_pin)
{
	memset(device, 0, sizeof(*device));
	device->name = name;
	device->next_capability = 0x40;
	put16(device->config, PCI_CFG_VENDOR, ids->vendor);
	put16(device->config, PCI_CFG_DEVICE, ids->device);
	put16(device->config, PCI_CFG_SUBSYSTEM_VENDOR, ids->subsystem_vendor);
	put16(device->config, PCI_CFG_SUBSYSTEM, ids->subsystem);
	put32(device->config, PCI_CFG_REVISION, ids->class_code << 8 | ids->revision);
	device->config[PCI_CFG_INTERRUPT_PIN] = (uint8_t)interrupt_pin;
	put16(device->writable, PCI_CFG_COMMAND,
		PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			PCI_COMMAND_INTX_DISABLE);
	device->writable[0x0c] = 0xff; /* cache line size */
	device->writable[0x0d] = 0xff; /* latency timer */
	device->writable[PCI_CFG_INTERRUPT_LINE] = 0xff;
}

int pci_device_set_bar(struct pci_device *device, unsigned index, const struct pci_bar *bar)
{
	uint64_t smallest = bar->kind == PCI_BAR_IO ? 4 : 16;
	uint64_t largest = bar->kind == PCI_BAR_IO ? 256 : GIB(1);
	uint32_t flags;

	if (index >= PCI_BAR_COUNT || device->bars[index].kind != PCI_BAR_NONE ||
		bar->kind == PCI_BAR_NONE || bar->size_bytes < smallest ||
		bar->size_bytes > largest || (bar->size_bytes & (bar->size_bytes - 1)) ||
		(bar->kind == PCI_BAR_MEMORY && bar->memory->size_bytes != bar->size_bytes) ||
		bar->doorbell_count > (bar->kind == PCI_BAR_MEMORY ? 0 : PCI_MAX_DOORBELLS))
		return -EINVAL;
	for (unsigned i = 0; i < bar->doorbell_count; i++) {
		/* 0: a doorbell of any width is found by its address alone */
		uint64_t width = max_u64(bar->doorbells[i].width, 1);

		if (!range_fits(bar->doorbells[i].address, width, bar->size_bytes))
			return -EINVAL;
	}
	device->bars[index] = *bar;
	flags = bar->kind == PCI_BAR_IO ? 1 : bar->prefetchable ? 8 : 0;
	put32(device->config, PCI_CFG_BAR0 + 4 * index, flags);
	put32(device->writable, PCI_CFG_BAR0 + 4 * index, (uint32_t) ~(bar->size_bytes - 1));
	return 0;
}

int pci_device_add_capability(struct pci_device *device, uint8_t id, unsigned length)
{
	unsigned offset = device->next_capability;

	if (length < 2 || offset + length > PCI_CONFIG_BYTES)
		return -ENOSPC;
	device->config[offset] = id;
	device->config[offset + 1] = 0;
	if (device->last_capability)
		device->config[device->last_capability + 1] = (uint8_t)offset;
	else
		device->config[PCI_CFG_CAPABILITIES] = (uint8_t)offset;
	device->last_capability = (uint8_t)offset;
	/* 0xfc is the last dword; past it the next one simply does not fit any more. */
	device->next_capability = (uint8_t)min_u64(align_up(offset + length, 4), 0xff);
	put16(device->config, PCI_CFG_STATUS, PCI_STATUS_CAPABILITIES);
	return (int)offset;
}

static uint64_t bar_address(const struct pci_device *device, unsigned index)
{
	return get32(device->config, PCI_CFG_BAR0 + 4 * index) &
	       get32(device->writable, PCI_CFG_BAR0 + 4 * index);
}

static struct bus *bar_bus(const struct pci_device *device, unsigned index)
{
	const struct pci_bus_config *config = &device->bus->config;

	return device->bars[index].kind == PCI_BAR_IO ? config->ports : config->mmio;
}

/* Binds and unbinds the BAR's doorbells so that those in wanted are on the bus, at address. */
static void update_doorbells(
	struct pci_device *device, unsigned index, uint64_t address, uint64_t wanted)
{
	const struct pci_bar *bar = &device->bars[index];
	uint64_t *bound = &device->doorbells_bound[index];

	for (unsigned i = 0; i < bar->doorbell_count; i++) {
		uint64_t bit = UINT64_C(1) << i;
		struct bus_doorbell doorbell = bar->doorbells[i];
		struct error err;

		doorbell.address += address;
		if (*bound & ~wanted & bit) {
			(void)bus_remove_doorbell(bar_bus(device, index), &doorbell);
			*bound &= ~bit;
		} else if (~*bound & wanted & bit) {
			if (bus_add_doorbell(bar_bus(device, index), &doorbell, &err))
				log_guest("pci", "%s: writes cost an exit: %s", device->name,
					err.text);
			else
				*bound |= bit;
		}
	}
}

static void unmap_bar(struct pci_device *device, unsigned index)
{
	if (!device->mapped[index])
		return;
	update_doorbells(device, index, device->mapped[index], 0);
	if (device->bars[index].kind == PCI_BAR_MEMORY)
		device->bars[index].memory->ops->unmap(device->bars[index].memory);
	(void)bus_remove(bar_bus(device, index), device->mapped[index]);
	device->mapped[index] = 0;
}

/* Maps a BAR at address if that is free. Memory BARs also take a region without callbacks, so that
 * the bus knows of every address that is taken. */
static int map_bar(struct pci_device *device, unsigned index, uint64_t address, struct error *err)
{
	const struct pci_bar *bar = &device->bars[index];
	const struct pci_bus_config *config = &device->bus->config;
	static const struct bus_region_ops none = { .read = NULL, .write = NULL };
	const struct bus_region region = {
		.base = address,
		.length = bar->size_bytes,
		.widths = bar->kind == PCI_BAR_MEMORY ? BUS_WIDTH_ANY : bar->widths,
		.owner = device->name,
		.ops = bar->kind == PCI_BAR_MEMORY ? &none : bar->ops,
		.opaque = bar->opaque,
		.lock = bar->kind == PCI_BAR_MEMORY ? NULL : bar->lock,
	};
	bool io = bar->kind == PCI_BAR_IO;
	uint64_t base = io ? config->ports_base : config->mmio_base;
	uint64_t end = io ? config->ports_end : config->mmio_end;
	int ret;

	if (address < base || address > end - bar->size_bytes)
		return error_set(err, ENXIO, "%s: 0x%llx is outside the PCI window", device->name,
			(unsigned long long)address);
	ret = bus_add(bar_bus(device, index), &region, err);
	if (ret)
		return ret;
	if (bar->kind == PCI_BAR_MEMORY) {
		ret = bar->memory->ops->map(bar->memory, address);
		if (ret) {
			(void)bus_remove(config->mmio, address);
			return error_set(err, -ret, "%s: its memory cannot be mapped at 0x%llx: %s",
				device->name, (unsigned long long)address, strerror(-ret));
		}
	}
	device->mapped[index] = address;
	update_doorbells(device, index, address, device->doorbells_on[index]);
	return 0;
}

/* Where command and BAR register want the BAR to be; 0: nowhere. */
static uint64_t wanted_address(const struct pci_device *device, unsigned index)
{
	uint16_t decode =
		device->bars[index].kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	return get16(device->config, PCI_CFG_COMMAND) & decode ? bar_address(device, index) : 0;
}

static void map_bars(struct pci_device *device)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		struct error err;
		uint64_t wanted;

		if (device->bars[i].kind == PCI_BAR_NONE || device->mapped[i])
			continue;
		wanted = wanted_address(device, i);
		if (wanted && map_bar(device, i, wanted, &err))
			log_guest("pci", "BAR %u is not mapped: %s", i, err.text);
	}
}

/* Brings the mappings in line with command and BAR registers; lock held. What moves away first
 * makes room, also for another device's BAR that had none so far. */
static void update_mappings(struct pci_device *device)
{
	bool freed = false;

	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		if (device->mapped[i] && device->mapped[i] != wanted_address(device, i)) {
			unmap_bar(device, i);
			freed = true;
		}
	}
	map_bars(device);
	for (unsigned i = 0; freed && i < PLACES; i++) {
		if (device->bus->places[i])
			map_bars(device->bus->places[i]);
	}
}

static void update_intx(struct pci_device *device);

static void write_byte(struct pci_device *device, unsigned offset, uint8_t value)
{
	uint8_t writable = device->writable[offset];

	device->config[offset] =
		(uint8_t)((device->config[offset] & ~writable) | (value & writable));
}

static void config_write(struct pci_device *device, unsigned offset, unsigned width, uint32_t value)
{
	bool used_messages = device->uses_messages;

	for (unsigned i = 0; i < width; i++)
		write_byte(device, offset + i, (uint8_t)(value >> (8 * i)));
	if (offset < PCI_CFG_BAR0 + 4 * PCI_BAR_COUNT && offset + width > PCI_CFG_COMMAND) {
		update_mappings(device);
		update_intx(device);
	}
	if (device->config_changed)
		device->config_changed(device, offset, width);
	if (device->uses_messages != used_messages)
		update_intx(device);
}

/* The device that the address register selects, and the offset of its dword; lock held. */
static struct pci_device *selected(struct pci_bus *bus, unsigned *offset)
{
	uint32_t address = bus->address;

	*offset = address & 0xfc;
	/* Bus 0 only. */
	if (!(address & ADDRESS_ENABLE) || (address & 0x00ff0000))
		return NULL;
	return bus->places[(address >> 8) & (PLACES - 1)];
}

/* Lets the device do what an access to its window asks for. The bus's lock is held, but not
 * meanwhile: devices are detached only when no vCPU runs any more. */
static void access_window(struct pci_device *device, bool write)
{
	struct pci_bus *bus = device->bus;
	uint8_t config[PCI_CONFIG_BYTES];
	uint32_t value;

	memcpy(config, device->config, sizeof(config));
	pthread_mutex_unlock(&bus->lock);
	if (write)
		device->window_write(device, config);
	else
		value = device->window_read(device, config);
	pthread_mutex_lock(&bus->lock);
	if (!write)
		put32(device->config, device->window, value);
}

static uint64_t read_locked(struct pci_bus *bus, uint64_t offset, unsigned width)
{
	struct pci_device *device;
	unsigned dword;
	uint32_t value = 0xffffffff;

	if (offset == RESET_CONTROL && width == 1)
		return bus->reset_control;
	if (offset < 4) {
		/* The address register is a dword; narrower accesses go to what lies behind it. */
		return offset == 0 && width == 4 ? bus->address : UINT64_MAX;
	}
	if (offset - 4 + width > 4)
		return UINT64_MAX;
	device = selected(bus, &dword);
	if (!device)
		return value;
	if (device->config_reading)
		device->config_reading(device, dword);
	if (device->window && dword == device->window)
		access_window(device, false);
	return get32(device->config, dword) >> (8 * (offset - 4));
}

static void write_locked(struct pci_bus *bus, uint64_t offset, unsigned width, uint64_t value)
{
	struct pci_device *device;
	unsigned dword;

	if (offset == RESET_CONTROL && width == 1) {
		bool rises = (value & 4) && !(bus->reset_control & 4);

		bus->reset_control = (uint8_t)value & 6;
		if (rises && bus->config.request_reset)
			bus->config.request_reset(bus->config.opaque);
		return;
	}
	if (offset < 4) {
		if (offset == 0 && width == 4)
			bus->address = (uint32_t)value & ADDRESS_BITS;
		return;
	}
	if (offset - 4 + width > 4)
		return;
	device = selected(bus, &dword);
	if (!device)
		return;
	config_write(device, dword + (unsigned)offset - 4, width, (uint32_t)value);
	if (device->window && dword == device->window)
		access_window(device, true);
}

/* The lock is taken here and not by the bus, since access_window lets go of it. */
static uint64_t ports_read(void *opaque, uint64_t offset, unsigned width)
{
	struct pci_bus *bus = opaque;
	uint64_t value;

	pthread_mutex_lock(&bus->lock);
	value = read_locked(bus, offset, width);
	pthread_mutex_unlock(&bus->lock);
	return value;
}

static void ports_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct pci_bus *bus = opaque;

	pthread_mutex_lock(&bus->lock);
	write_locked(bus, offset, width, value);
	pthread_mutex_unlock(&bus->lock);
}

static const struct bus_region_ops ports_ops = { .read = ports_read, .write = ports_write };

static unsigned intx_line(const struct pci_device *device)
{
	return (device->slot + device->config[PCI_CFG_INTERRUPT_PIN] - 1u) % 4;
}

/* A line is the OR of all pins on it; lock held. */
static void update_intx(struct pci_device *device)
{
	struct pci_bus *bus = device->bus;
	unsigned line;
	bool level = false;

	if (!bus || !device->config[PCI_CFG_INTERRUPT_PIN])
		return;
	line = intx_line(device);
	for (unsigned i = 0; i < PLACES; i++) {
		const struct pci_device *other = bus->places[i];

		if (other && other->config[PCI_CFG_INTERRUPT_PIN] && intx_line(other) == line &&
			other->intx_level && !other->uses_messages &&
			!(get16(other->config, PCI_CFG_COMMAND) & PCI_COMMAND_INTX_DISABLE))
			level = true;
	}
	irq_line_set(&bus->config.intx[line], level);
}

void pci_device_set_intx(struct pci_device *device, bool level)
{
	struct pci_bus *bus = device->bus;

	if (!bus)
		return;
	pthread_mutex_lock(&bus->lock);
	if (device->intx_level != level) {
		uint16_t status = get16(device->config, PCI_CFG_STATUS);

		device->intx_level = level;
		put16(device->config, PCI_CFG_STATUS,
			level ? status | PCI_STATUS_INTERRUPT
			      : (uint16_t)(status & ~PCI_STATUS_INTERRUPT));
		update_intx(device);
	}
	pthread_mutex_unlock(&bus->lock);
}

void pci_device_set_doorbell(
	struct pci_device *device, unsigned bar_index, unsigned doorbell, bool on)
{
	struct pci_bus *bus = device->bus;
	uint64_t bit = UINT64_C(1) << doorbell;

	if (!bus)
		return;
	pthread_mutex_lock(&bus->lock);
	if (on)
		device->doorbells_on[bar_index] |= bit;
	else
		device->doorbells_on[bar_index] &= ~bit;
	if (device->mapped[bar_index])
		update_doorbells(device, bar_index, device->mapped[bar_index],
			device->doorbells_on[bar_index]);
	pthread_mutex_unlock(&bus->lock);
}

void pci_device_reset(struct pci_device *device)
{
	struct pci_bus *bus = device->bus;

	if (!bus)
		return;
	pthread_mutex_lock(&bus->lock);
	memcpy(device->config, device->reset_config, sizeof(device->config));
	device->intx_level = false;
	device->uses_messages = false;
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		device->doorbells_on[i] = 0;
		if (device->mapped[i])
			update_doorbells(device, i, device->mapped[i], 0);
	}
	update_mappings(device);
	update_intx(device);
	pthread_mutex_unlock(&bus->lock);
}

/* The end of a BAR of device that [address, address + size) runs into, or 0. */
static uint64_t bar_in_the_way(
	const struct pci_device *device, bool io, uint64_t address, uint64_t size)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		uint64_t start = device->mapped[i], length = device->bars[i].size_bytes;

		if (start && (device->bars[i].kind == PCI_BAR_IO) == io &&
			address < start + length && start < address + size)
			return start + length;
	}
	return 0;
}

/* Lowest free address for the BAR. BARs in the way are stepped over whole, since one may be as
 * large as thousands of others; what else lies in the window, the bus finds. */
static int assign_bar(struct pci_device *device, unsigned index, struct error *err)
{
	const struct pci_bus_config *config = &device->bus->config;
	const struct pci_bar *bar = &device->bars[index];
	bool io = bar->kind == PCI_BAR_IO;
	uint64_t end = io ? config->ports_end : config->mmio_end;
	uint64_t step = io ? bar->size_bytes : max_u64(bar->size_bytes, PAGE_BYTES);
	uint64_t address = align_up(io ? config->ports_base : config->mmio_base, step);
	unsigned offset = PCI_CFG_BAR0 + 4 * index;

	for (unsigned tries = 0; tries < 4096 && address <= end - bar->size_bytes; tries++) {
		uint64_t taken = bar_in_the_way(device, io, address, bar->size_bytes);
		int ret;

		for (unsigned i = 0; !taken && i < PLACES; i++) {
			if (device->bus->places[i])
				taken = bar_in_the_way(
					device->bus->places[i], io, address, bar->size_bytes);
		}
		if (taken) {
			address = align_up(taken, step);
			continue;
		}
		ret = map_bar(device, index, address, err);
		if (ret == -EEXIST) {
			address += step;
			continue;
		}
		if (!ret)
			put32(device->config, offset,
				get32(device->config, offset) | (uint32_t)address);
		return ret;
	}
	return error_set(
		err, ENOSPC, "%s: no room for BAR %u in the PCI window", device->name, index);
}

static void unassign_bars(struct pci_device *device)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		unsigned offset = PCI_CFG_BAR0 + 4 * i;

		unmap_bar(device, i);
		put32(device->config, offset,
			get32(device->config, offset) & ~get32(device->writable, offset));
	}
}

/* A place for a device that does not care: slots of their own first, then the other functions of
 * slots that are taken. 0: none is left. */
static unsigned free_place(const struct pci_bus *bus)
{
	for (unsigned function = 0; function < FUNCTIONS; function++) {
		for (unsigned slot = 1; slot < SLOTS; slot++) {
			if (!bus->places[slot * FUNCTIONS + function])
				return slot * FUNCTIONS + function;
		}
	}
	return 0;
}

/* Function 0 tells whether there are others (6.2.1); lock held. */
static void update_multifunction(struct pci_bus *bus, unsigned slot)
{
	struct pci_device *first = bus->places[slot * FUNCTIONS];
	bool others = false;

	for (unsigned i = 1; i < FUNCTIONS; i++)
		others |= bus->places[slot * FUNCTIONS + i] != NULL;
	if (!first)
		return;
	first->config[PCI_CFG_HEADER_TYPE] = others ? HEADER_MULTIFUNCTION : 0;
	first->reset_config[PCI_CFG_HEADER_TYPE] = first->config[PCI_CFG_HEADER_TYPE];
}

int pci_bus_attach(struct pci_bus *bus, struct pci_device *device, unsigned slot, struct error *err)
{
	uint16_t command = PCI_COMMAND_MASTER;
	unsigned place;
	int ret = 0;

	pthread_mutex_lock(&bus->lock);
	place = slot ? slot * FUNCTIONS : free_place(bus);
	if (!place) {
		ret = error_set(err, ENOSPC, "%s: the PCI bus is full, it takes %u devices",
			device->name, PLACES - FUNCTIONS);
		goto unlock;
	}
	if (place >= PLACES || bus->places[place]) {
		ret = error_set(err, ENOSPC, "%s: PCI slot %u is not free", device->name, slot);
		goto unlock;
	}
	device->bus = bus;
	device->slot = (uint8_t)(place / FUNCTIONS);
	device->function = (uint8_t)(place % FUNCTIONS);
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		if (device->bars[i].kind == PCI_BAR_NONE)
			continue;
		ret = assign_bar(device, i, err);
		if (ret)
			goto unmap;
		command |= device->bars[i].kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	/* A VGA decodes the legacy ports as well, which no BAR tells of. */
	if (get32(device->config, PCI_CFG_REVISION) >> 16 == 0x0300)
		command |= PCI_COMMAND_IO;
	put16(device->config, PCI_CFG_COMMAND, command);
	if (device->config[PCI_CFG_INTERRUPT_PIN])
		device->config[PCI_CFG_INTERRUPT_LINE] =
			(uint8_t)bus->config.intx[intx_line(device)].number;
	memcpy(device->reset_config, device->config, sizeof(device->config));
	bus->places[place] = device;
	update_multifunction(bus, device->slot);
	goto unlock;

unmap:
	unassign_bars(device);
	device->bus = NULL;
unlock:
	pthread_mutex_unlock(&bus->lock);
	return ret;
}

void pci_bus_detach(struct pci_device *device)
{
	struct pci_bus *bus = device->bus;

	if (!bus)
		return;
	pthread_mutex_lock(&bus->lock);
	/* As it came: it may be attached again. */
	memcpy(device->config, device->reset_config, sizeof(device->config));
	unassign_bars(device);
	memset(device->doorbells_on, 0, sizeof(device->doorbells_on));
	device->uses_messages = false;
	device->intx_level = false;
	update_intx(device);
	bus->places[device->slot * FUNCTIONS + device->function] = NULL;
	update_multifunction(bus, device->slot);
	for (unsigned i = 0; i < PLACES; i++) {
		if (bus->places[i])
			map_bars(bus->places[i]);
	}
	pthread_mutex_unlock(&bus->lock);
	device->bus = NULL;
}

int pci_bus_create(const struct pci_bus_config *config, struct pci_bus **out, struct error *err)
{
	static const struct pci_ids bridge = {
		.vendor = 0x8086, .device = 0x1237, .class_code = 0x060000, .revision = 2
	};
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	struct bus_region region = {
		.base = CONFIG_PORTS,
		.length = CONFIG_PORTS_COUNT,
		.widths = BUS_WIDTH_1 | BUS_WIDTH_2 | BUS_WIDTH_4,
		.owner = "pci",
		.ops = &ports_ops,
		.opaque = bus,
	};
	int ret;

	if (!bus)
		return error_set(err, ENOMEM, "pci: out of memory");
	bus->config = *config;
	pthread_mutex_init(&bus->lock, NULL);
	ret = bus_add(config->ports, &region, err);
	if (ret)
		goto free_bus;
	pci_device_init(&bus->bridge, "pci-bridge", &bridge, 0);
	put16(bus->bridge.config, PCI_CFG_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	memcpy(bus->bridge.reset_config, bus->bridge.config, sizeof(bus->bridge.config));
	bus->bridge.bus = bus;
	bus->places[0] = &bus->bridge;
	*out = bus;
	return 0;

free_bus:
	pthread_mutex_destroy(&bus->lock);
	free(bus);
	return ret;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	(void)bus_remove(bus->config.ports, CONFIG_PORTS);
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

void pci_bus_reset(struct pci_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	bus->address = 0;
	bus->reset_control = 0;
	pthread_mutex_unlock(&bus->lock);
	pci_device_reset(&bus->bridge);
}

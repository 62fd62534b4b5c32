#include "core/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define MAX_REGIONS   1024
#define MAX_DOORBELLS 4096

struct bus {
	const char *name;
	uint64_t last; /* highest address */
	/* Lookups copy the region out under a read lock of some 20 ns, beside an exit of a
	 * microsecond or more; the table is bounded, so a guest that moves BARs for ever costs
	 * nothing. */
	pthread_rwlock_t lock;
	unsigned count;                         /* lock */
	struct bus_region regions[MAX_REGIONS]; /* lock; sorted by base */
	struct bus_doorbell_ops doorbell_ops;   /* immutable once connected */
	/* Doorbells that bus_write itself has to look for: 0 where KVM rings them. */
	atomic_uint own_doorbells;
	unsigned doorbell_count;                      /* lock */
	struct bus_doorbell doorbells[MAX_DOORBELLS]; /* lock */
};

struct bus *bus_create(const char *name, uint64_t limit)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	bus->name = name;
	bus->last = limit - 1; /* 0 - 1: all 64 bits */
	pthread_rwlock_init(&bus->lock, NULL);
	return bus;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	pthread_rwlock_destroy(&bus->lock);
	free(bus);
}

/* Index of the first region whose base is above address; lock held. */
static unsigned upper_bound(const struct bus *bus, uint64_t address)
{
	unsigned low = 0, high = bus->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (bus->regions[middle].base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t region_last(const struct bus_region *region)
{
	return region->base + (region->length - 1);
}

int bus_add(struct bus *bus, const struct bus_region *region, struct error *err)
{
	const struct bus_region *other = NULL;
	unsigned at;
	int ret = 0;

	if (!region->length || region->base + (region->length - 1) < region->base ||
		region_last(region) > bus->last)
		return error_set(err, EINVAL, "%s: %s at 0x%llx: %llu bytes do not fit there",
			bus->name, region->owner, (unsigned long long)region->base,
			(unsigned long long)region->length);

	pthread_rwlock_wrlock(&bus->lock);
	at = upper_bound(bus, region->base);
	if (at > 0 && region_last(&bus->regions[at - 1]) >= region->base)
		other = &bus->regions[at - 1];
	else if (at < bus->count && bus->regions[at].base <= region_last(region))
		other = &bus->regions[at];
	if (other) {
		ret = error_set(err, EEXIST, "%s: %s at 0x%llx: overlaps %s at 0x%llx", bus->name,
			region->owner, (unsigned long long)region->base, other->owner,
			(unsigned long long)other->base);
	} else if (bus->count == MAX_REGIONS) {
		ret = error_set(err, ENOSPC, "%s: %s at 0x%llx: more than %d regions", bus->name,
			region->owner, (unsigned long long)region->base, MAX_REGIONS);
	} else {
		memmove(&bus->regions[at + 1], &bus->regions[at],
			(bus->count - at) * sizeof(bus->regions[0]));
		bus->regions[at] = *region;
		bus->count++;
	}
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

int bus_remove(struct bus *bus, uint64_t base)
{
	unsigned at;
	int ret = -ENOENT;

	pthread_rwlock_wrlock(&bus->lock);
	at = upper_bound(bus, base);
	if (at > 0 && bus->regions[at - 1].base == base) {
		memmove(&bus->regions[at - 1], &bus->regions[at],
			(bus->count - at) * sizeof(bus->regions[0]));
		bus->count--;
		ret = 0;
	}
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

void bus_connect_doorbells(struct bus *bus, const struct bus_doorbell_ops *ops)
{
	bus->doorbell_ops = *ops;
}

static bool same_doorbell(const struct bus_doorbell *a, const struct bus_doorbell *b)
{
	return a->address == b->address && a->width == b->width && a->match == b->match &&
	       (!a->match || a->value == b->value) && a->eventfd == b->eventfd;
}

/* Index of the doorbell, or doorbell_count; lock held. */
static unsigned find_doorbell(const struct bus *bus, const struct bus_doorbell *doorbell)
{
	unsigned i = 0;

	while (i < bus->doorbell_count && !same_doorbell(&bus->doorbells[i], doorbell))
		i++;
	return i;
}

int bus_add_doorbell(struct bus *bus, const struct bus_doorbell *doorbell, struct error *err)
{
	const struct bus_doorbell_ops *ops = &bus->doorbell_ops;
	unsigned long long address = doorbell->address;
	int ret = 0;

	if (doorbell->width > 8 || (doorbell->width & (doorbell->width - 1)) ||
		(doorbell->match && !doorbell->width) || doorbell->address > bus->last)
		return error_set(err, EINVAL, "%s: a doorbell of %u bytes at 0x%llx", bus->name,
			doorbell->width, address);
	pthread_rwlock_wrlock(&bus->lock);
	if (find_doorbell(bus, doorbell) < bus->doorbell_count)
		ret = -EEXIST;
	else if (bus->doorbell_count == MAX_DOORBELLS)
		ret = -ENOSPC;
	else if (ops->bind)
		ret = ops->bind(ops->opaque, doorbell);
	if (!ret) {
		bus->doorbells[bus->doorbell_count++] = *doorbell;
		if (!ops->bind)
			atomic_fetch_add(&bus->own_doorbells, 1);
	}
	pthread_rwlock_unlock(&bus->lock);
	return ret ? error_set(err, -ret, "%s: no doorbell at 0x%llx: %s", bus->name, address,
			     strerror(-ret))
		   : 0;
}

int bus_remove_doorbell(struct bus *bus, const struct bus_doorbell *doorbell)
{
	const struct bus_doorbell_ops *ops = &bus->doorbell_ops;
	int ret = -ENOENT;
	unsigned i;

	pthread_rwlock_wrlock(&bus->lock);
	i = find_doorbell(bus, doorbell);
	if (i < bus->doorbell_count) {
		if (ops->unbind)
			ops->unbind(ops->opaque, doorbell);
		else
			atomic_fetch_sub(&bus->own_doorbells, 1);
		bus->doorbells[i] = bus->doorbells[--bus->doorbell_count];
		ret = 0;
	}
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

/* Without KVM: whether the write rang a doorbell. */
static bool ring_doorbell(struct bus *bus, uint64_t address, const void *data, unsigned width)
{
	const uint64_t one = 1;
	uint64_t value = 0;
	bool rung = false;

	memcpy(&value, data, width < sizeof(value) ? width : sizeof(value));
	pthread_rwlock_rdlock(&bus->lock);
	for (unsigned i = 0; i < bus->doorbell_count && !rung; i++) {
		const struct bus_doorbell *doorbell = &bus->doorbells[i];

		if (doorbell->address != address || (doorbell->width && doorbell->width != width) ||
			(doorbell->match && doorbell->value != value))
			continue;
		/* A full counter is as good as one more. */
		rung = write(doorbell->eventfd, &one, sizeof(one)) == sizeof(one) ||
		       errno == EAGAIN;
	}
	pthread_rwlock_unlock(&bus->lock);
	return rung;
}

static bool lookup(struct bus *bus, uint64_t address, struct bus_region *region)
{
	unsigned at;
	bool found = false;

	pthread_rwlock_rdlock(&bus->lock);
	at = upper_bound(bus, address);
	if (at > 0 && address <= region_last(&bus->regions[at - 1])) {
		*region = bus->regions[at - 1];
		found = true;
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

static uint64_t all_ones(unsigned width)
{
	return width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

/* One access that lies inside one region and has a width that the region takes. */
static uint64_t call_read(const struct bus_region *region, uint64_t offset, unsigned width)
{
	uint64_t value = UINT64_MAX;

	if (!region->ops->read)
		return all_ones(width);
	if (region->lock)
		pthread_mutex_lock(region->lock);
	value = region->ops->read(region->opaque, offset, width);
	if (region->lock)
		pthread_mutex_unlock(region->lock);
	return value & all_ones(width);
}

static void call_write(
	const struct bus_region *region, uint64_t offset, unsigned width, uint64_t value)
{
	if (!region->ops->write)
		return;
	if (region->lock)
		pthread_mutex_lock(region->lock);
	region->ops->write(region->opaque, offset, width, value & all_ones(width));
	if (region->lock)
		pthread_mutex_unlock(region->lock);
}

/* Whether the access can be handed to the region in one piece. */
static bool takes_whole(const struct bus_region *region, uint64_t address, unsigned width)
{
	return (width & (width - 1)) == 0 && (region->widths & width) &&
	       range_fits(address - region->base, width, region->length);
}

/* Whether what cannot be handed over whole is to be split into bytes: ports that know nothing but
 * bytes, odd lengths, and accesses that run over a region's end. */
static bool is_split(const struct bus_region *region, uint64_t address, unsigned width)
{
	return width > 1 && (region->widths == BUS_WIDTH_1 || (width & (width - 1)) != 0 ||
				    !range_fits(address - region->base, width, region->length));
}

bool bus_read(struct bus *bus, uint64_t address, void *data, unsigned width)
{
	struct bus_region region;

	memset(data, 0xff, width);
	if (!lookup(bus, address, &region)) {
		bool claimed = false;

		/* The access may begin before a region. */
		for (unsigned i = 1; i < width; i++) {
			if (address + i > address && lookup(bus, address + i, &region))
				claimed |= bus_read(bus, address + i, (uint8_t *)data + i, 1);
		}
		return claimed;
	}
	if (takes_whole(&region, address, width)) {
		uint64_t value = call_read(&region, address - region.base, width);

		memcpy(data, &value, width); /* x86 hosts are little-endian */
		return true;
	}
	if (is_split(&region, address, width)) {
		for (unsigned i = 0; i < width; i++) {
			if (address + i >= address)
				bus_read(bus, address + i, (uint8_t *)data + i, 1);
		}
	}
	return true;
}

bool bus_write(struct bus *bus, uint64_t address, const void *data, unsigned width)
{
	struct bus_region region;

	if (atomic_load_explicit(&bus->own_doorbells, memory_order_relaxed) &&
		ring_doorbell(bus, address, data, width))
		return true;
	if (!lookup(bus, address, &region)) {
		bool claimed = false;

		for (unsigned i = 1; i < width; i++) {
			if (address + i > address && lookup(bus, address + i, &region))
				claimed |=
					bus_write(bus, address + i, (const uint8_t *)data + i, 1);
		}
		return claimed;
	}
	if (takes_whole(&region, address, width)) {
		uint64_t value = 0;

		memcpy(&value, data, width);
		call_write(&region, address - region.base, width, value);
		return true;
	}
	if (is_split(&region, address, width)) {
		for (unsigned i = 0; i < width; i++) {
			if (address + i >= address)
				bus_write(bus, address + i, (const uint8_t *)data + i, 1);
		}
	}
	return true;
}

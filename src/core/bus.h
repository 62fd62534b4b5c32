/* An address space of device registers: the I/O ports, or memory-mapped I/O.
 *
 * Regions never overlap. A callback gets an offset into its region, the width of the access in
 * bytes and the value; a device does not know where it lives. Accesses that no region claims, or of
 * a width that the region does not take, read all ones and are ignored when written.
 *
 * Threads: any vCPU thread may access, any thread may add and remove. A region's callbacks run with
 * its lock held (the device's mutex) and never with a lock of the bus, so a callback may add and
 * remove regions. A callback that was looked up before a removal may run once after it: the owner
 * of a region outlives the vCPU threads. */
#ifndef VMGUI_CORE_BUS_H
#define VMGUI_CORE_BUS_H

#include <pthread.h>

#include "core/error.h"
#include "core/util.h"

enum bus_width {
	BUS_WIDTH_1 = 1,
	BUS_WIDTH_2 = 2,
	BUS_WIDTH_4 = 4,
	BUS_WIDTH_8 = 8,
	BUS_WIDTH_ANY = 15,
};

struct bus_region_ops {
	/* width is 1, 2, 4 or 8 and one of the region's; offset + width stays inside the region.
	 * NULL: reads all ones; writes are ignored. */
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned width);
	void (*write)(void *opaque, uint64_t offset, unsigned width, uint64_t value);
};

struct bus_region {
	uint64_t base;
	uint64_t length;   /* > 0 */
	unsigned widths;   /* mask of enum bus_width. A wider access to a BUS_WIDTH_1-only region is
			    * split into single bytes, as the ISA bus does; any other is refused. */
	const char *owner; /* static string for messages, e.g. "i8042" */
	const struct bus_region_ops *ops;
	void *opaque;
	pthread_mutex_t *lock; /* taken around each callback; NULL: none */
};

struct bus;

/* limit: number of addresses, e.g. 0x10000 for ports; 0: the full 64 bits. NULL on lack of memory.
 */
struct bus *bus_create(const char *name, uint64_t limit);
void bus_destroy(struct bus *bus);

/* Copies *region. -EINVAL: zero length or wrap-around; -EEXIST: overlap, and err names both owners;
 * -ENOSPC: more than 1024 regions. err may be NULL. */
VMGUI_MUST_USE int bus_add(struct bus *bus, const struct bus_region *region, struct error *err);
/* Removes the region that starts at base; -ENOENT if there is none. */
int bus_remove(struct bus *bus, uint64_t base);

/* A doorbell: a write that only signals an eventfd. Where the bus is connected to KVM the vCPU does
 * not even leave the kernel (ioeventfd); elsewhere, in unit tests, bus_write signals it. It may lie
 * inside a region, whose callback then does not see these writes. */
struct bus_doorbell {
	uint64_t address;
	unsigned width; /* 1, 2, 4 or 8 bytes; 0: any */
	bool match;     /* only a write of value rings */
	uint64_t value;
	int eventfd; /* stays the caller's, open until the doorbell is removed */
};

struct bus_doorbell_ops {
	int (*bind)(void *opaque, const struct bus_doorbell *doorbell);
	void (*unbind)(void *opaque, const struct bus_doorbell *doorbell);
	void *opaque;
};

/* Connects the bus; once, before the first doorbell. */
void bus_connect_doorbells(struct bus *bus, const struct bus_doorbell_ops *ops);
/* -EINVAL: width; -EEXIST: the same one is there; -ENOSPC: more than 4096. err may be NULL. */
VMGUI_MUST_USE int bus_add_doorbell(
	struct bus *bus, const struct bus_doorbell *doorbell, struct error *err);
/* All fields as they were added; -ENOENT if there is none. */
int bus_remove_doorbell(struct bus *bus, const struct bus_doorbell *doorbell);

/* One access by the guest: width bytes, little-endian, 1 to 8 (any number; odd ones are split).
 * Returns whether a region claimed it. */
bool bus_read(struct bus *bus, uint64_t address, void *data, unsigned width);
bool bus_write(struct bus *bus, uint64_t address, const void *data, unsigned width);

#endif

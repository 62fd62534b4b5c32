/* Host memory of a device that the guest reaches without an exit: video memory.
 *
 * The board makes one over a KVM memory slot (core/kvm_memory.c); a unit test makes a fake. The
 * operations may be called by any thread; the implementation locks.
 *
 * Armed memory tells of the guest's next write by itself, so that nobody has to look again and
 * again whether there was one. While it is armed the host may not write to it either: that is why
 * hva is const, and clear is an operation. */
#ifndef VMGUI_CORE_DEVICE_MEMORY_H
#define VMGUI_CORE_DEVICE_MEMORY_H

#include "core/error.h"
#include "core/util.h"

struct device_memory;

struct device_memory_ops {
	/* Put it at gpa in the guest's physical memory (moving it), or take it out. */
	int (*map)(struct device_memory *memory, uint64_t gpa);
	void (*unmap)(struct device_memory *memory);
	/* Or-s into bitmap one bit for each 4 KiB page that the guest wrote since the last call
	 * (bit 0 of word 0: the first page), and forgets them. 1 if any bit was set, 0 if not,
	 * negative errno. Cheap when nothing was written.
	 *
	 * To notice a write costs the guest a fault in each page. `watched`, if not NULL, has the
	 * pages that the caller reads anyway: they need not be told, and not be noticed. The first
	 * call without a page in there tells it if it was written meanwhile.
	 *
	 * words: length of both bitmaps, at least size_bytes / 4096 / 64. */
	int (*collect_dirty)(struct device_memory *memory, uint64_t *bitmap,
		const uint64_t *watched, size_t words);
	/* Adds 1 to `bell`, an eventfd, once: at the next write after this call to a page that has
	 * any of [start, start + bytes), inside the memory, or when the memory is cleared or moved.
	 * Then it is no longer armed. What was written before may still have to be collected: arm
	 * first, then look. Armed already: the new bell and bytes take the old ones' place.
	 * Negative errno: this host cannot. */
	int (*arm)(struct device_memory *memory, int bell, uint64_t start, uint64_t bytes);
	/* The bell rings no more when this returns. */
	void (*disarm)(struct device_memory *memory);
	/* Zeroes the first `bytes`; all of the memory counts as dirty then. */
	void (*clear)(struct device_memory *memory, uint64_t bytes);
	/* A number that grows whenever the memory may have been written, watched or not: as long as
	 * it is the same as before the last collect_dirty, there is nothing to collect or to read
	 * again. Much cheaper than either. 0: nobody knows. May be NULL: the same. */
	uint64_t (*activity)(struct device_memory *memory);
};

struct device_memory {
	const struct device_memory_ops *ops;
	const uint8_t *hva;  /* immutable; size_bytes long */
	uint64_t size_bytes; /* a multiple of 256 KiB, so that bitmaps are whole words */
};

#endif

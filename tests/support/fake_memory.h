/* Device memory of a test: plain memory that notes which pages the test, playing the guest, wrote.
 */
#ifndef VMGUI_TESTS_FAKE_MEMORY_H
#define VMGUI_TESTS_FAKE_MEMORY_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device_memory.h"

struct fake_memory {
	struct device_memory base;
	uint64_t gpa; /* 0: not mapped */
	uint8_t *bytes;
	int collect_error; /* returned by collect_dirty instead, if not 0 */
	pthread_mutex_t lock;
	uint64_t *dirty; /* under lock */
	size_t words;
	int bell;                        /* under lock; -1: not armed */
	uint64_t armed_first, armed_end; /* under lock: pages */
	int arm_error;                   /* returned by arm instead, if not 0 */
	unsigned arms, looks;            /* under lock: how often it was armed, and collected */
	unsigned watched;                /* under lock: pages, when it was collected last */
	bool tells_activity;             /* set before there are threads */
	uint64_t changes;                /* under lock */
};

static inline unsigned fake_memory_arms(struct fake_memory *memory)
{
	unsigned arms;

	pthread_mutex_lock(&memory->lock);
	arms = memory->arms;
	pthread_mutex_unlock(&memory->lock);
	return arms;
}

static inline unsigned fake_memory_looks(struct fake_memory *memory)
{
	unsigned looks;

	pthread_mutex_lock(&memory->lock);
	looks = memory->looks;
	pthread_mutex_unlock(&memory->lock);
	return looks;
}

static inline bool fake_memory_armed(struct fake_memory *memory)
{
	bool armed;

	pthread_mutex_lock(&memory->lock);
	armed = memory->bell >= 0;
	pthread_mutex_unlock(&memory->lock);
	return armed;
}

/* Lock held. */
static inline void fake_memory_ring(struct fake_memory *memory)
{
	const uint64_t one = 1;

	if (memory->bell >= 0 && write(memory->bell, &one, sizeof(one)) < 0)
		abort();
	memory->bell = -1;
}

static inline int fake_memory_arm(
	struct device_memory *base, int bell, uint64_t start, uint64_t bytes)
{
	struct fake_memory *memory = container_of(base, struct fake_memory, base);

	if (memory->arm_error)
		return memory->arm_error;
	if (!range_fits(start, bytes, base->size_bytes))
		abort();
	pthread_mutex_lock(&memory->lock);
	memory->bell = bell;
	memory->armed_first = start / PAGE_BYTES;
	memory->armed_end = bytes ? (start + bytes - 1) / PAGE_BYTES + 1 : memory->armed_first;
	memory->arms++;
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

static inline void fake_memory_disarm(struct device_memory *base)
{
	struct fake_memory *memory = container_of(base, struct fake_memory, base);

	pthread_mutex_lock(&memory->lock);
	memory->bell = -1;
	pthread_mutex_unlock(&memory->lock);
}

static inline void fake_memory_clear(struct device_memory *base, uint64_t bytes)
{
	struct fake_memory *memory = container_of(base, struct fake_memory, base);

	if (bytes > base->size_bytes)
		abort();
	memset(memory->bytes, 0, bytes);
	pthread_mutex_lock(&memory->lock);
	memset(memory->dirty, 0xff, memory->words * sizeof(*memory->dirty));
	memory->changes++;
	fake_memory_ring(memory);
	pthread_mutex_unlock(&memory->lock);
}

static inline uint64_t fake_memory_activity(struct device_memory *base)
{
	struct fake_memory *memory = container_of(base, struct fake_memory, base);
	uint64_t changes;

	pthread_mutex_lock(&memory->lock);
	changes = memory->changes;
	pthread_mutex_unlock(&memory->lock);
	return memory->tells_activity ? 1 + changes : 0;
}

static inline int fake_memory_map(struct device_memory *base, uint64_t gpa)
{
	container_of(base, struct fake_memory, base)->gpa = gpa;
	return 0;
}

static inline void fake_memory_unmap(struct device_memory *base)
{
	container_of(base, struct fake_memory, base)->gpa = 0;
}

static inline int fake_memory_collect(
	struct device_memory *base, uint64_t *bitmap, const uint64_t *watched, size_t words)
{
	struct fake_memory *memory = container_of(base, struct fake_memory, base);
	uint64_t any = 0;

	if (memory->collect_error)
		return memory->collect_error;
	if (words < memory->words)
		return -EINVAL;
	pthread_mutex_lock(&memory->lock);
	memory->looks++;
	memory->watched = 0;
	for (size_t i = 0; i < memory->words; i++) {
		uint64_t kept = watched ? watched[i] : 0;

		memory->watched += (unsigned)__builtin_popcountll(kept);
		any |= memory->dirty[i] & ~kept;
		bitmap[i] |= memory->dirty[i] & ~kept;
		memory->dirty[i] &= kept;
	}
	pthread_mutex_unlock(&memory->lock);
	return any != 0;
}

/* The bytes stand right before unreadable room under AddressSanitizer: reading past them is seen.
 */
static inline struct fake_memory *fake_memory_create(uint64_t size_bytes)
{
	static const struct device_memory_ops ops = { fake_memory_map, fake_memory_unmap,
		fake_memory_collect, fake_memory_arm, fake_memory_disarm, fake_memory_clear,
		fake_memory_activity };
	struct fake_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		abort();
	memory->base.ops = &ops;
	memory->base.size_bytes = size_bytes;
	memory->bytes = calloc(1, size_bytes);
	memory->base.hva = memory->bytes;
	memory->bell = -1;
	memory->words = size_bytes / PAGE_BYTES / 64;
	memory->dirty = calloc(memory->words, sizeof(*memory->dirty));
	if (!memory->bytes || !memory->dirty)
		abort();
	pthread_mutex_init(&memory->lock, NULL);
	return memory;
}

static inline void fake_memory_destroy(struct fake_memory *memory)
{
	pthread_mutex_destroy(&memory->lock);
	free(memory->dirty);
	free(memory->bytes);
	free(memory);
}

/* Lock held: bytes that are written already get into the log, and ring nothing. */
static inline void fake_memory_log(struct fake_memory *memory, uint64_t first, uint64_t last)
{
	for (uint64_t page = first; page <= last; page++)
		memory->dirty[page / 64] |= UINT64_C(1) << page % 64;
	memory->changes++;
}

/* As KVM does: the bytes first, the log after them. */
static inline void fake_memory_touch(struct fake_memory *memory, uint64_t offset, uint64_t length)
{
	uint64_t first = offset / PAGE_BYTES, last;

	if (!length)
		return;
	last = (offset + length - 1) / PAGE_BYTES;
	pthread_mutex_lock(&memory->lock);
	fake_memory_log(memory, first, last);
	if (first < memory->armed_end && last >= memory->armed_first)
		fake_memory_ring(memory);
	pthread_mutex_unlock(&memory->lock);
}

static inline void fake_memory_write(
	struct fake_memory *memory, uint64_t offset, const void *data, uint64_t length)
{
	if (!range_fits(offset, length, memory->base.size_bytes))
		abort();
	memcpy(memory->bytes + offset, data, length);
	fake_memory_touch(memory, offset, length);
}

static inline void fake_memory_fill(
	struct fake_memory *memory, uint64_t offset, uint8_t value, uint64_t length)
{
	if (!range_fits(offset, length, memory->base.size_bytes))
		abort();
	memset(memory->bytes + offset, value, length);
	fake_memory_touch(memory, offset, length);
}

#endif

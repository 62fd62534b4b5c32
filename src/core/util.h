/* Small helpers that every part of vmgui uses. No state, no dependency. */
#ifndef VMGUI_CORE_UTIL_H
#define VMGUI_CORE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMGUI_MUST_USE __attribute__((warn_unused_result))
#define VMGUI_PRINTF(format_index, first_argument)                                                 \
	__attribute__((format(printf, format_index, first_argument)))

#define array_size(array)                   (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE_BYTES UINT64_C(4096)

static inline uint64_t align_down(uint64_t value, uint64_t power_of_two)
{
	return value & ~(power_of_two - 1);
}

/* The caller makes sure that value + power_of_two does not wrap. */
static inline uint64_t align_up(uint64_t value, uint64_t power_of_two)
{
	return align_down(value + power_of_two - 1, power_of_two);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* True if [offset, offset + length) lies inside [0, size); cannot wrap. */
static inline bool range_fits(uint64_t offset, uint64_t length, uint64_t size)
{
	return length <= size && offset <= size - length;
}

#endif

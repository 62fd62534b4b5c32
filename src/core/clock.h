/* The clock for intervals and deadlines. Any thread. */
#ifndef VMGUI_CORE_CLOCK_H
#define VMGUI_CORE_CLOCK_H

#include <time.h>

#include "core/util.h"

/* CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif

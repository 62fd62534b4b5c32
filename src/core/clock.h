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

/* A deadline or a duration as the kernel and the C library want it. */
static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u),
	};
}

#endif

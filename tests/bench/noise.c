/* How late this machine is by itself: threads that hand one event on, after rests like those of the
 * test card's `flash`, with a short sleep in the middle as the refresh has. What it takes is what a
 * display path of as many threads would cost that does nothing. Prints the milliseconds of each
 * round: noise ROUNDS HOPS SLEEP_US */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_HOPS 16

static int fds[MAX_HOPS + 1];
static unsigned hops, sleep_us;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void rest(unsigned microseconds)
{
	const struct timespec pause = { .tv_sec = microseconds / 1000000,
		.tv_nsec = (long)(microseconds % 1000000) * 1000 };

	nanosleep(&pause, NULL);
}

static void *pass_on(void *opaque)
{
	const unsigned index = (unsigned)(uintptr_t)opaque;
	uint64_t count;

	while (read(fds[index], &count, sizeof(count)) == sizeof(count)) {
		if (index == 0 && sleep_us)
			rest(sleep_us);
		(void)!write(fds[index + 1], &count, sizeof(count));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
	uint32_t seed = 1;

	hops = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
	sleep_us = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	if (hops < 1 || hops > MAX_HOPS)
		return 2;
	for (unsigned i = 0; i <= hops; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	for (unsigned i = 0; i < hops; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, pass_on, (void *)(uintptr_t)i))
			return 1;
	}
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t count = 1, start;

		seed = seed * 1664525u + 1013904223u;
		rest(50000 + (seed >> 8) % 250000);
		start = now_ns();
		if (write(fds[0], &count, sizeof(count)) != sizeof(count) ||
			read(fds[hops], &count, sizeof(count)) != sizeof(count))
			return 1;
		printf("%.3f\n", (double)(now_ns() - start) / 1e6);
	}
	return 0;
}

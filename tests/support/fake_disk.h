/* A disk in memory for tests of devices: requests finish when the test says so, in the order it
 * says, with the result it says; calls and notifications run when the test says so, too. It aborts
 * where a device breaks the contract of core/block.h: a request outside the disk or not of whole
 * blocks, buffers that do not add up or are not guest memory, a request submitted twice.
 *
 *	struct fake_disk *disk = fake_disk_create(MIB(1));
 *	... the device's constructor gets &disk->base and destroys it ...
 *	fake_disk_run(disk);               deals with calls and notifications, until there are none
 *	disk->pending[0]->operation ...    what the device has submitted, oldest first
 *	fake_disk_complete(disk, 0, -EIO); then fake_disk_run: the batch's end comes with it
 *
 * With disk->automatic everything pending finishes in fake_disk_run; with disk->immediate from
 * inside submit. disk->fault, if set, chooses the results then.
 *
 * With disk->threaded (before start) a thread does fake_disk_run when there is something to do, and
 * the test must touch nothing but fake_disk_hold and what is atomic.
 *
 * Threads: post from any thread; all else from one. */
#ifndef VMGUI_TESTS_FAKE_DISK_H
#define VMGUI_TESTS_FAKE_DISK_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/block.h"
#include "core/guest_mem.h"

#define FAKE_DISK_WATCHES 64u
#define FAKE_DISK_PENDING 1024u

struct fake_disk {
	struct block_disk
		base; /* a test may change the immutable fields before the device is made */
	const struct guest_mem *mem; /* not NULL: buffers must lie in it */
	uint8_t *bytes;
	size_t allocated_bytes;
	uint64_t largest_bytes; /* the size before it was resized, if that was larger */

	/* For each sector the number of the last write there that was done; those up to `durable`
	 * are on stable storage. */
	uint64_t *written, writes_done, durable;

	struct block_request *pending[FAKE_DISK_PENDING];
	uint64_t covers[FAKE_DISK_PENDING]; /* of a pending flush: writes_done when submitted */
	unsigned pending_count;
	bool immediate, automatic;
	int (*fault)(void *opaque, const struct block_request *request);
	void *opaque;
	atomic_uint submitted[BLOCK_WRITE_ZEROES + 1];
	struct block_request last; /* a copy of what was submitted last */

	struct {
		int fd;
		void (*rang)(void *opaque);
		void *opaque;
	} watches[FAKE_DISK_WATCHES];
	unsigned watch_count, watch_limit;
	void (*batch_end)(void *opaque);
	void *batch_opaque;
	void (*resized)(void *opaque);
	void *resized_opaque;

	pthread_mutex_t lock;
	struct block_call *calls, **calls_end; /* lock */
	bool threaded, started;
	bool *destroyed; /* set when it is; may be NULL */
	pthread_t thread;
	int wake_fd;
	atomic_bool quit, hold; /* hold: nothing is done automatically */
};

static inline struct fake_disk *fake_disk_of(struct block_disk *base)
{
	return container_of(base, struct fake_disk, base);
}

/* ---- requests ---- */

static inline void fake_disk_check(struct fake_disk *disk, const struct block_request *request)
{
	uint64_t sum = 0;

	/* A disk may shrink while a request waits. */
	if (!range_fits(request->offset_bytes, request->length_bytes,
		    max_u64(disk->base.size_bytes, disk->largest_bytes)) ||
		request->offset_bytes % disk->base.block_bytes ||
		request->length_bytes % disk->base.block_bytes)
		abort();
	for (unsigned i = 0; i < disk->pending_count; i++) {
		if (disk->pending[i] == request)
			abort();
	}
	if (disk->base.scratch_bytes)
		memset(request->scratch, 0x5a, disk->base.scratch_bytes);
	if (disk->base.read_only && request->operation != BLOCK_READ &&
		request->operation != BLOCK_FLUSH)
		abort();
	if (request->operation != BLOCK_READ && request->operation != BLOCK_WRITE)
		return;
	for (unsigned i = 0; i < request->iov_count; i++) {
		bool inside = !disk->mem;

		sum += request->iov[i].iov_len;
		for (unsigned r = 0; disk->mem && r < disk->mem->region_count; r++) {
			const struct guest_mem_region *region = &disk->mem->regions[r];

			inside |= range_fits(
				(uintptr_t)request->iov[i].iov_base - (uintptr_t)region->start_hva,
				request->iov[i].iov_len, region->length_bytes);
		}
		if (!inside)
			abort();
	}
	if (sum != request->length_bytes)
		abort();
}

static inline void fake_disk_carry_out(
	struct fake_disk *disk, const struct block_request *request, uint64_t covers)
{
	uint8_t *at = disk->bytes + request->offset_bytes;

	for (size_t i = 0; i < disk->base.scratch_bytes; i++) {
		if (((const uint8_t *)request->scratch)[i] != 0x5a)
			abort(); /* not this request's alone */
	}
	if (request->operation == BLOCK_FLUSH) {
		disk->durable = max_u64(disk->durable, covers);
		return;
	}
	if (request->operation == BLOCK_READ || request->operation == BLOCK_WRITE) {
		for (unsigned i = 0; i < request->iov_count; i++) {
			const struct iovec *iov = &request->iov[i];

			if (request->operation == BLOCK_READ)
				memcpy(iov->iov_base, at, iov->iov_len);
			else
				memcpy(at, iov->iov_base, iov->iov_len);
			at += iov->iov_len;
		}
	} else if (request->operation == BLOCK_WRITE_ZEROES) {
		memset(at, 0, request->length_bytes);
	}
	if (request->operation == BLOCK_WRITE || request->operation == BLOCK_WRITE_ZEROES) {
		disk->writes_done++;
		for (uint64_t i = 0; i < request->length_bytes / BLOCK_SECTOR_BYTES; i++)
			disk->written[request->offset_bytes / BLOCK_SECTOR_BYTES + i] =
				disk->writes_done;
		if (!disk->base.writeback)
			disk->durable = disk->writes_done;
	}
}

static inline bool fake_disk_is_durable(const struct fake_disk *disk, uint64_t sector)
{
	return disk->written[sector] <= disk->durable;
}

/* Finishes what has been pending as number `index`; result 0 carries it out. */
static inline void fake_disk_complete(struct fake_disk *disk, unsigned index, int result)
{
	struct block_request *request;
	uint64_t covers;

	if (index >= disk->pending_count)
		abort();
	request = disk->pending[index];
	covers = disk->covers[index];
	disk->pending_count--;
	memmove(&disk->pending[index], &disk->pending[index + 1],
		(disk->pending_count - index) * sizeof(disk->pending[0]));
	memmove(&disk->covers[index], &disk->covers[index + 1],
		(disk->pending_count - index) * sizeof(disk->covers[0]));
	if (!result)
		fake_disk_carry_out(disk, request, covers);
	request->result = result;
	request->done(request);
}

static inline void fake_disk_complete_next(struct fake_disk *disk, unsigned index)
{
	fake_disk_complete(
		disk, index, disk->fault ? disk->fault(disk->opaque, disk->pending[index]) : 0);
}

static inline void fake_disk_submit(struct block_disk *base, struct block_request *request)
{
	struct fake_disk *disk = fake_disk_of(base);

	fake_disk_check(disk, request);
	if (disk->pending_count == FAKE_DISK_PENDING)
		abort();
	atomic_fetch_add(&disk->submitted[request->operation], 1);
	disk->last = *request;
	disk->covers[disk->pending_count] = disk->writes_done;
	disk->pending[disk->pending_count++] = request;
	if (disk->immediate)
		fake_disk_complete_next(disk, disk->pending_count - 1);
}

/* ---- the thread's work ---- */

static inline struct block_call *fake_disk_next_call(struct fake_disk *disk)
{
	struct block_call *call;

	pthread_mutex_lock(&disk->lock);
	call = disk->calls;
	if (call) {
		disk->calls = call->next;
		if (!disk->calls)
			disk->calls_end = &disk->calls;
	}
	pthread_mutex_unlock(&disk->lock);
	return call;
}

/* One round: calls, notifications, what finishes by itself, the batch's end. False: there was
 * nothing to do. */
static inline bool fake_disk_step(struct fake_disk *disk)
{
	struct block_call *call, *last;
	bool worked = false;
	uint64_t count;

	pthread_mutex_lock(&disk->lock);
	last = disk->calls ? container_of(disk->calls_end, struct block_call, next) : NULL;
	pthread_mutex_unlock(&disk->lock);
	while (last && (call = fake_disk_next_call(disk))) {
		bool end = call == last;

		worked = true;
		call->function(call);
		if (end)
			break; /* what these calls post is for the next round */
	}
	for (unsigned i = 0; i < disk->watch_count; i++) {
		if (read(disk->watches[i].fd, &count, sizeof(count)) == sizeof(count)) {
			worked = true;
			disk->watches[i].rang(disk->watches[i].opaque);
		}
	}
	if (disk->automatic && !atomic_load(&disk->hold)) {
		while (disk->pending_count) {
			worked = true;
			fake_disk_complete_next(disk, 0);
		}
	}
	if (disk->batch_end)
		disk->batch_end(disk->batch_opaque);
	/* The batch's end may have brought more. */
	if (disk->automatic && !atomic_load(&disk->hold) && disk->pending_count)
		worked = true;
	return worked;
}

/* Rounds until there is nothing to do (a driver that never stops: at most so many). */
static inline void fake_disk_run(struct fake_disk *disk)
{
	for (unsigned i = 0; i < 1000 && fake_disk_step(disk); i++)
		;
}

static inline void fake_disk_wake(struct fake_disk *disk)
{
	const uint64_t one = 1;

	if (write(disk->wake_fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static inline void *fake_disk_thread(void *opaque)
{
	struct fake_disk *disk = opaque;
	struct pollfd fds[FAKE_DISK_WATCHES + 1];
	uint64_t count;

	for (unsigned i = 0; i < disk->watch_count; i++)
		fds[i] = (struct pollfd){ .fd = disk->watches[i].fd, .events = POLLIN };
	fds[disk->watch_count] = (struct pollfd){ .fd = disk->wake_fd, .events = POLLIN };
	while (!atomic_load(&disk->quit)) {
		fake_disk_run(disk);
		poll(fds, disk->watch_count + 1, -1);
		if (read(disk->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			abort();
	}
	return NULL;
}

/* Any thread: while held nothing finishes. */
static inline void fake_disk_hold(struct fake_disk *disk, bool hold)
{
	atomic_store(&disk->hold, hold);
	fake_disk_wake(disk);
}

/* In the thread that is the disk's: the image has another size. */
static inline void fake_disk_resize(struct fake_disk *disk, uint64_t size_bytes)
{
	if (size_bytes > disk->allocated_bytes)
		abort();
	disk->largest_bytes = max_u64(disk->largest_bytes, disk->base.size_bytes);
	disk->base.size_bytes = size_bytes;
	disk->resized(disk->resized_opaque);
}

/* ---- struct block_disk_ops ---- */

static inline int fake_disk_watch(
	struct block_disk *base, int eventfd, void (*rang)(void *opaque), void *opaque)
{
	struct fake_disk *disk = fake_disk_of(base);

	if (disk->watch_count == disk->watch_limit)
		return -ENOSPC;
	disk->watches[disk->watch_count].fd = eventfd;
	disk->watches[disk->watch_count].rang = rang;
	disk->watches[disk->watch_count++].opaque = opaque;
	return 0;
}

static inline void fake_disk_set_batch_end(
	struct block_disk *base, void (*batch_end)(void *opaque), void *opaque)
{
	fake_disk_of(base)->batch_end = batch_end;
	fake_disk_of(base)->batch_opaque = opaque;
}

static inline void fake_disk_set_resized(
	struct block_disk *base, void (*resized)(void *opaque), void *opaque)
{
	fake_disk_of(base)->resized = resized;
	fake_disk_of(base)->resized_opaque = opaque;
}

static inline int fake_disk_start(struct block_disk *base, const char *name, struct error *err)
{
	struct fake_disk *disk = fake_disk_of(base);

	(void)name, (void)err;
	atomic_store(&disk->quit, false);
	if (disk->threaded && pthread_create(&disk->thread, NULL, fake_disk_thread, disk))
		abort();
	disk->started = true;
	return 0;
}

static inline void fake_disk_stop(struct block_disk *base)
{
	struct fake_disk *disk = fake_disk_of(base);

	if (!disk->started)
		return;
	disk->started = false;
	if (!disk->threaded)
		return;
	atomic_store(&disk->quit, true);
	fake_disk_wake(disk);
	pthread_join(disk->thread, NULL);
}

static inline void fake_disk_post(struct block_disk *base, struct block_call *call)
{
	struct fake_disk *disk = fake_disk_of(base);

	pthread_mutex_lock(&disk->lock);
	call->next = NULL;
	*disk->calls_end = call;
	disk->calls_end = &call->next;
	pthread_mutex_unlock(&disk->lock);
	fake_disk_wake(disk);
}

static inline void fake_disk_destroy(struct block_disk *base)
{
	struct fake_disk *disk = fake_disk_of(base);

	if (disk->destroyed)
		*disk->destroyed = true;
	close(disk->wake_fd);
	pthread_mutex_destroy(&disk->lock);
	free(disk->written);
	free(disk->bytes);
	free(disk);
}

static inline struct fake_disk *fake_disk_create(uint64_t size_bytes)
{
	static const struct block_disk_ops ops = {
		.watch = fake_disk_watch,
		.set_batch_end = fake_disk_set_batch_end,
		.set_resized = fake_disk_set_resized,
		.start = fake_disk_start,
		.stop = fake_disk_stop,
		.post = fake_disk_post,
		.submit = fake_disk_submit,
		.destroy = fake_disk_destroy,
	};
	struct fake_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		abort();
	disk->base.ops = &ops;
	disk->base.name = "fake.img";
	disk->base.size_bytes = size_bytes;
	disk->base.block_bytes = 512;
	disk->base.physical_block_bytes = 4096;
	disk->base.discard_granularity_bytes = 4096;
	disk->base.writeback = true;
	disk->base.scratch_bytes = 72;
	disk->allocated_bytes = size_bytes * 2; /* room to grow */
	disk->bytes = calloc(1, disk->allocated_bytes);
	disk->written = calloc(disk->allocated_bytes / BLOCK_SECTOR_BYTES, sizeof(uint64_t));
	disk->watch_limit = FAKE_DISK_WATCHES;
	disk->calls_end = &disk->calls;
	disk->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!disk->bytes || !disk->written || disk->wake_fd < 0)
		abort();
	pthread_mutex_init(&disk->lock, NULL);
	return disk;
}

#endif

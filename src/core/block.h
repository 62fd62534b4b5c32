/* A disk as a device sees it: requests in, completions out, all in the disk's one thread.
 *
 * The disk owns its thread. It waits there for the guest's notifications (eventfds given to watch)
 * and for the host's I/O at once, so that a request costs one wake-up and its submission one system
 * call. What is called "in the disk's thread" below needs no lock. Implementations: src/block (raw,
 * block devices, qcow2); unit tests have fakes (tests/support/fake_disk.h).
 *
 * Promise: a write that was done and then covered by a flush that was done with result 0 is on
 * stable storage, whatever happens to this process or the host. A request is done exactly once, in
 * any order, and never hangs for a reason of ours; short reads and writes have been completed. */
#ifndef VMGUI_CORE_BLOCK_H
#define VMGUI_CORE_BLOCK_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "core/error.h"
#include "core/util.h"

#define BLOCK_SECTOR_BYTES 512u

enum block_operation {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,        /* covers all writes that were done before it was submitted */
	BLOCK_DISCARD,      /* contents do not matter any more; may do nothing */
	BLOCK_WRITE_ZEROES, /* reads as zeroes afterwards */
};

/* The submitter's until submit and again from done on, when all but result and what scratch holds
 * is as it was: a failed one may be submitted once more. A submitter that needs every write durable
 * when it is answered submits a flush behind it. */
struct block_request {
	enum block_operation operation;
	bool may_unmap;                      /* BLOCK_WRITE_ZEROES: space may be given back */
	uint64_t offset_bytes, length_bytes; /* multiples of the disk's block size, inside the disk
					      * (or -EIO: it may have shrunk); length may be 0 */
	const struct iovec *iov;             /* READ, WRITE: length_bytes in sum */
	unsigned iov_count;
	int result; /* when done: 0 or negative errno, e.g. -EIO, -ENOSPC */
	/* In the disk's thread, from submit or later. May submit further requests. */
	void (*done)(struct block_request *request);
	void *scratch; /* disk->scratch_bytes of the submitter's memory, aligned as malloc's */
};

/* A call into the disk's thread; the disk's from post until function is called, when it may be
 * posted again. */
struct block_call {
	void (*function)(struct block_call *call);
	struct block_call *next; /* the disk's */
};

struct block_disk;

struct block_disk_ops {
	/* Before start: rang is called in the disk's thread after the eventfd was written to, and
	 * sometimes without cause; the counter may or may not have been taken. Writes before start
	 * count. -ENOSPC: more than 64. */
	int (*watch)(
		struct block_disk *disk, int eventfd, void (*rang)(void *opaque), void *opaque);
	/* Before start: called in the disk's thread when it has dealt with everything that had come
	 * and is about to wait: the place to publish what was done, once for all. May submit and
	 * post; what that brings about is dealt with before the disk waits, or wakes it. */
	void (*set_batch_end)(
		struct block_disk *disk, void (*batch_end)(void *opaque), void *opaque);
	/* Before start: the size has changed (an image file grew); in the disk's thread. */
	void (*set_resized)(struct block_disk *disk, void (*resized)(void *opaque), void *opaque);
	/* Starts the thread under that name (15 characters). */
	int (*start)(struct block_disk *disk, const char *thread_name, struct error *err);
	/* Waits for what is in flight, writes out what a flush would, and ends the thread. No-op
	 * when not started. May be started again. */
	void (*stop)(struct block_disk *disk);
	/* Any thread, any lock: call->function(call) soon runs in the disk's thread. */
	void (*post)(struct block_disk *disk, struct block_call *call);
	/* In the disk's thread. Requests on overlapping ranges that are in flight together may take
	 * effect in any order. */
	void (*submit)(struct block_disk *disk, struct block_request *request);
	/* Stopped; closes files and locks. */
	void (*destroy)(struct block_disk *disk);
};

struct block_disk {
	const struct block_disk_ops *ops;
	const char *name;              /* for messages: the image as the user gave it; the disk's */
	_Atomic uint64_t size_bytes;   /* a multiple of block_bytes */
	uint32_t block_bytes;          /* logical block size: 512 or 4096; the rest immutable */
	uint32_t physical_block_bytes; /* a power of two multiple of block_bytes */
	uint32_t discard_granularity_bytes; /* 0: cannot discard */
	bool read_only;
	bool writeback; /* writes need a flush to be durable; false: each is durable when done */
	size_t scratch_bytes; /* per request */
};

#endif

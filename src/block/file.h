/* A file or block device with an image in it: every read, write and sync that an image makes goes
 * through here, so that a test can make each of them fail, record them, or cut the power between
 * two (tests/support/fake_file.h).
 *
 * Promises of every implementation: reads past the end give zeroes; short counts are continued and
 * EINTR repeated inside; alignment that direct I/O asks for is taken care of inside; once a sync
 * has failed every later one fails (what the kernel dropped then is lost for good).
 *
 * A read or write with length 0 is done with result 0.
 *
 * Threads: `submit` in the disk's thread; the others in whichever thread has the image to itself
 * (the opener's before the disk starts and after it has stopped, the disk's between). */
#ifndef VMGUI_BLOCK_FILE_H
#define VMGUI_BLOCK_FILE_H

#include <sys/uio.h>

#include "core/error.h"
#include "core/util.h"

enum file_operation {
	FILE_READ,
	FILE_WRITE, /* past the end: the file grows */
	FILE_SYNC,  /* fdatasync: all writes done before, and the size */
	FILE_PUNCH, /* the range may read as anything or zeroes; gives space back. -EOPNOTSUPP */
	FILE_ZERO,  /* the range reads as zeroes; allocated space may stay. -EOPNOTSUPP */
	FILE_ZERO_UNMAP, /* the same, and space is given back. -EOPNOTSUPP */
};

/* One system call of an operation, as an engine makes it. result is what the call gave, or negative
 * errno: short counts, EINTR and the like are the file's business (posix_file.c). */
struct file_call {
	struct file_call *next; /* the engine's */
	enum file_call_kind {
		FILE_CALL_READ,
		FILE_CALL_WRITE,
		FILE_CALL_SYNC,
		FILE_CALL_ALLOCATE, /* fallocate */
		FILE_CALL_DISCARD,  /* BLKDISCARD */
		FILE_CALL_TRUNCATE, /* to length_bytes */
		FILE_CALL_NOTHING,  /* finishes as it is, but not from inside of submit */
	} kind;
	int fd;
	bool blocking; /* not to be tried without waiting first */
	bool direct;   /* fd is O_DIRECT */
	int mode;      /* ALLOCATE */
	uint64_t offset_bytes, length_bytes;
	const struct iovec *iov;
	unsigned iov_count;
	struct iovec part; /* what iov points to after a short count */
	int64_t result;
	void (*complete)(struct file_call *call); /* in the disk's thread */
};

/* An operation in flight; the submitter's again from done on. */
struct file_io {
	enum file_operation operation;
	uint64_t offset_bytes, length_bytes;
	const struct iovec *iov; /* READ, WRITE: length_bytes in sum; stays valid until done */
	unsigned iov_count;
	int result; /* 0 or negative errno */
	/* In the disk's thread, never from inside submit. */
	void (*done)(struct file_io *io);
	/* The implementation's. */
	struct block_file *file;
	struct file_io *next;
	uint64_t finished_bytes;
	unsigned retries;
	struct file_call call;
};

struct block_file;

struct block_file_ops {
	void (*submit)(struct block_file *file, struct file_io *io);
	/* Synchronous: 0 or negative errno, all or nothing reported. */
	int (*read)(struct block_file *file, uint64_t offset_bytes, void *buffer, size_t length);
	int (*write)(
		struct block_file *file, uint64_t offset_bytes, const void *buffer, size_t length);
	int (*sync)(struct block_file *file);
	int (*truncate)(struct block_file *file, uint64_t size_bytes);
	/* The size now. 0 or negative errno. */
	int (*size)(struct block_file *file, uint64_t *size_bytes);
	void (*close)(struct block_file *file);
};

struct block_file {
	const struct block_file_ops *ops;
	const char *path; /* for messages */
	bool read_only;
	bool is_device;
	bool direct;
	uint32_t block_bytes; /* logical: 512 or 4096; what direct I/O must be aligned to */
	uint32_t physical_block_bytes; /* or st_blksize, where writes are best aligned */
	bool can_punch, can_zero;
};

#endif

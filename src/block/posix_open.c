/* Opening a file or block device of the host: what it is, whether it is free, what it can do.
 *
 * Locks. QEMU and its tools lock single bytes of an image, always shared (F_RDLCK), on open file
 * descriptions: byte 100 + N says "I do N", byte 200 + N says "nobody else may do N", where N is 0
 * for reading what must be consistent, 1 for writing, 3 for resizing
 * (docs/system/qemu-block-drivers and the comments of their file-posix driver). Who opens first
 * sets its own bytes, then asks whether anybody's stand against them; two that race may both give
 * up, never both go on.
 *
 * Threads: the opener's. */
#include "block/posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

#define LOCK_DOES   100
#define LOCK_DENIES 200

enum {
	DO_CONSISTENT_READ = 0,
	DO_WRITE = 1,
	DO_RESIZE = 3,
};

/* 0, or negative errno: EAGAIN if somebody holds it. */
static int lock_byte(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Whether somebody else holds the byte: 1, 0 or negative errno. */
static int is_locked(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

static int lock(int fd, bool read_only)
{
	static const int reader[] = { DO_CONSISTENT_READ },
			 writer[] = { DO_CONSISTENT_READ, DO_WRITE, DO_RESIZE },
			 denied[] = { DO_WRITE, DO_RESIZE };
	const int *does = read_only ? reader : writer;
	size_t count = read_only ? array_size(reader) : array_size(writer);
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++)
		ret = lock_byte(fd, LOCK_DOES + does[i]);
	for (size_t i = 0; !ret && i < array_size(denied); i++)
		ret = lock_byte(fd, LOCK_DENIES + denied[i]);
	for (size_t i = 0; !ret && i < count; i++)
		ret = is_locked(fd, LOCK_DENIES + does[i]);
	for (size_t i = 0; !ret && i < array_size(denied); i++)
		ret = is_locked(fd, LOCK_DOES + denied[i]);
	if (ret == 1 || ret == -EAGAIN || ret == -EACCES)
		return -EBUSY;
	return ret;
}

static void unlock(int fd)
{
	struct flock lock = { .l_type = F_UNLCK,
		.l_whence = SEEK_SET,
		.l_start = LOCK_DOES,
		.l_len = 2 * (LOCK_DENIES - LOCK_DOES) };

	(void)fcntl(fd, F_OFD_SETLK, &lock);
}

static int lock_image(const struct posix_file *file, struct error *err)
{
	const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
	int ret = lock(file->fd, file->base.read_only);

	/* A process that was killed holds its locks until the kernel has taken its ring apart and
	 * the last of its writes has landed; some 300 ms have been seen. */
	for (int tries = 0; ret == -EBUSY && tries < 50; tries++) {
		unlock(file->fd); /* two who wait must not wait for each other */
		nanosleep(&moment, NULL);
		ret = lock(file->fd, file->base.read_only);
	}
	if (ret == -EBUSY)
		return error_set(err, EBUSY,
			"%s: another process is using it, such as another vmgui, QEMU or qemu-img "
			"(end that first, or copy the image)",
			file->path);
	/* A network file system without locks is still of use. */
	if (ret)
		log_warn("block", "%s: cannot be locked: %s (take care that nobody else uses it)",
			file->path, strerror(-ret));
	return 0;
}

static int open_failure(const struct posix_file_options *options, bool writable_wanted, int errnum,
	struct error *err)
{
	const char *hint;

	switch (errnum) {
	case ENOENT:
		hint = " (check the name; 'qemu-img create' makes an image)";
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		hint = writable_wanted ? " (it must be writable; ,ro or ,snapshot needs no more "
					 "than to read it)"
				       : " (it must be readable)";
		break;
	case EISDIR:
		return error_set(err, errnum,
			"%s: is a folder, not a disk image (name the file in it)", options->path);
	case ENXIO:
		return error_set(err, errnum,
			"%s: is not a disk image (give a file or a block device)", options->path);
	case ENOMEDIUM:
		hint = " (put one in)";
		break;
	case EBUSY:
		hint = " (is it mounted, or part of a volume group or RAID?)";
		break;
	case EINVAL:
		hint = options->direct ? " (this file system may not know cache=direct)" : "";
		break;
	default:
		hint = "";
	}
	return error_set(err, errnum, "%s: %s%s", options->path, strerror(errnum), hint);
}

/* Opens without waiting for anybody, as a pipe would. */
static int open_image(const struct posix_file_options *options, struct error *err)
{
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat status;
	int fd;

	flags |= options->read_only ? O_RDONLY : O_RDWR;
	flags |= options->direct ? O_DIRECT : 0;
	/* A block device that is mounted is no guest's to write to: O_EXCL asks for that. */
	if (!options->read_only && !stat(options->path, &status) && S_ISBLK(status.st_mode))
		flags |= O_EXCL;
	fd = open(options->path, flags);
	if (fd < 0)
		return open_failure(options, !options->read_only, errno, err);
	if (fcntl(fd, F_SETFL, flags & O_DIRECT) < 0) { /* or io_uring would give EAGAIN */
		int errnum = errno;

		close(fd);
		return error_set(err, errnum, "%s: %s", options->path, strerror(errnum));
	}
	return fd;
}

static int open_temporary(const struct posix_file_options *options, struct error *err)
{
	char name[4096];
	int fd = open(options->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) {
		if ((size_t)snprintf(name, sizeof(name), "%s/vmgui-XXXXXX", options->path) >=
			sizeof(name))
			return error_set(err, ENAMETOOLONG, "%s: name too long", options->path);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0) {
			unlink(name);
			return fd;
		}
	}
	return error_set(err, errno,
		"%s: no temporary file can be made there: %s (TMPDIR names another folder)",
		options->path, strerror(errno));
}

static uint32_t power_of_two_in(uint64_t value, uint32_t low, uint32_t high)
{
	uint32_t power = low;

	while (power < high && power < value)
		power *= 2;
	return power;
}

/* The queue attribute of a block device (or of the disk that it is a partition of) as a number, 0
 * if there is none. */
static uint64_t device_attribute(dev_t device, const char *name)
{
	static const char *const places[] = { "", "/.." };

	for (size_t i = 0; i < array_size(places); i++) {
		char path[128];
		unsigned long long value = 0;
		FILE *stream;
		int found;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u%s/queue/%s", major(device),
			minor(device), places[i], name);
		stream = fopen(path, "re");
		if (!stream)
			continue;
		found = fscanf(stream, "%llu", &value);
		fclose(stream);
		if (found == 1)
			return value;
	}
	return 0;
}

static int look_at_device(struct posix_file *file, dev_t device, struct error *err)
{
	int logical = 0;
	unsigned physical = 0;

	if (ioctl(file->fd, BLKSSZGET, &logical) < 0)
		return error_set(err, errno, "%s: %s", file->path, strerror(errno));
	if (logical != 512 && logical != 4096)
		return error_set(err, ENOTSUP,
			"%s: its blocks have %d bytes, which no guest understands (512 and 4096 "
			"are "
			"understood)",
			file->path, logical);
	if (ioctl(file->fd, BLKPBSZGET, &physical) < 0)
		physical = 0;
	file->base.is_device = true;
	file->base.block_bytes = (uint32_t)logical;
	file->base.physical_block_bytes =
		power_of_two_in(physical, file->base.block_bytes, 64 * 1024);
	file->base.can_punch =
		!file->base.read_only && device_attribute(device, "discard_max_bytes") > 0;
	file->base.can_zero = file->can_zero_unmap = !file->base.read_only;
	return 0;
}

static void look_at_regular(struct posix_file *file, const struct stat *status)
{
	file->base.block_bytes = BLOCK_SECTOR_BYTES;
	file->base.physical_block_bytes =
		power_of_two_in((uint64_t)status->st_blksize, BLOCK_SECTOR_BYTES, 64 * 1024);
	/* Asking would change the file, if only its times: the first one that fails tells. */
	file->base.can_punch = file->base.can_zero = file->can_zero_unmap = !file->base.read_only;
}

static int look_at(struct posix_file *file, struct error *err)
{
	struct stat status;

	if (fstat(file->fd, &status) < 0)
		return error_set(err, errno, "%s: %s", file->path, strerror(errno));
	if (S_ISBLK(status.st_mode))
		return look_at_device(file, status.st_rdev, err);
	if (S_ISREG(status.st_mode)) {
		look_at_regular(file, &status);
		return 0;
	}
	return error_set(err, EINVAL, "%s: is %s, not a disk image (give a file or a block device)",
		file->path,
		S_ISDIR(status.st_mode)    ? "a folder"
		: S_ISFIFO(status.st_mode) ? "a pipe"
		: S_ISCHR(status.st_mode)  ? "a character device"
					   : "something else");
}

/* The smallest aligned read that works tells, where the kernel does not. */
static uint32_t probe_alignment(const struct posix_file *file)
{
	uint32_t align = 4096;
	void *buffer;

	if (posix_memalign(&buffer, 4096, 4096))
		return align;
	if (pread(file->fd, buffer, BLOCK_SECTOR_BYTES, 0) == BLOCK_SECTOR_BYTES)
		align = BLOCK_SECTOR_BYTES;
	free(buffer);
	return align;
}

static int set_up_direct(struct posix_file *file, struct error *err)
{
	uint32_t align = 0, memory = 0;
	char path[64];

#ifdef STATX_DIOALIGN /* Linux 6.1 */
	struct statx status;

	if (!statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) &&
		status.stx_mask & STATX_DIOALIGN) {
		align = status.stx_dio_offset_align;
		memory = status.stx_dio_mem_align;
		if (!align)
			return error_set(err, EINVAL,
				"%s: this file cannot do cache=direct (leave that out)",
				file->path);
	}
#endif
	if (!align)
		align = memory =
			file->base.is_device ? file->base.block_bytes : probe_alignment(file);
	file->align_bytes = align;
	file->memory_align_bytes = memory;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	file->buffered_fd = open(path, (file->base.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file->buffered_fd < 0)
		return error_set(err, errno, "%s: opening it through /proc: %s", file->path,
			strerror(errno));
	return 0;
}

int posix_file_open(
	const struct posix_file_options *options, struct block_file **base, struct error *err)
{
	struct posix_file *file = calloc(1, sizeof(*file));
	int ret;

	*base = NULL;
	if (!file)
		goto no_memory;
	file->path = strdup(options->path);
	if (!file->path)
		goto no_memory;
	file->base.ops = &posix_file_ops;
	file->base.path = file->path;
	file->base.read_only = options->read_only;
	file->base.direct = options->direct;
	file->temporary = options->temporary;
	file->changes = 1; /* what another process wrote before may not be on the disk yet */
	ret = options->temporary ? open_temporary(options, err) : open_image(options, err);
	if (ret < 0)
		goto free_file;
	file->fd = file->buffered_fd = ret;
	ret = look_at(file, err);
	if (!ret && !options->temporary)
		ret = lock_image(file, err);
	if (!ret && options->direct)
		ret = set_up_direct(file, err);
	if (ret) {
		posix_file_ops.close(&file->base);
		return ret;
	}
	*base = &file->base;
	return 0;

no_memory:
	ret = error_set(err, ENOMEM, "%s: out of memory", options->path);
free_file:
	if (file)
		free(file->path);
	free(file);
	return ret;
}

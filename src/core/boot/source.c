/* Readable bytes: see source.h. Threads: one at a time. */
#include "core/boot/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int boot_source_open(
	struct boot_source *source, const char *path, const char *what, struct error *err)
{
	struct stat st;
	int fd, r;

	*source = BOOT_SOURCE_NONE;
	/* O_NONBLOCK: a FIFO must not hang us before the check below refuses it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		int saved = errno;

		return error_set(err, saved, "%s %s: %s (check the path and its permissions)", what,
			path, strerror(saved));
	}
	if (fstat(fd, &st) < 0) {
		r = error_set(err, errno, "%s %s: %s", what, path, strerror(errno));
		goto fail_close;
	}
	if (!S_ISREG(st.st_mode)) {
		r = error_set(err, EINVAL, "%s %s: it is %s (name a file)", what, path,
			S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
		goto fail_close;
	}
	if (st.st_size == 0) {
		r = error_set(err, EINVAL, "%s %s: the file is empty (name another)", what, path);
		goto fail_close;
	}
	source->fd = fd;
	source->size_bytes = (uint64_t)st.st_size;
	return 0;

fail_close:
	close(fd);
	return r;
}

void boot_source_from_memory(struct boot_source *source, const uint8_t *data, size_t size_bytes)
{
	*source = BOOT_SOURCE_NONE;
	source->data = data;
	source->size_bytes = size_bytes;
}

int boot_source_read(
	const struct boot_source *source, uint64_t offset, void *buffer, uint64_t length_bytes)
{
	uint8_t *to = buffer;

	if (!range_fits(offset, length_bytes, source->size_bytes))
		return -ERANGE;
	if (length_bytes == 0)
		return 0;
	if (source->fd < 0) {
		memcpy(to, source->data + offset, length_bytes);
		return 0;
	}
	offset += source->start;
	while (length_bytes) {
		ssize_t n = pread(source->fd, to, min_u64(length_bytes, MIB(256)), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		to += n;
		offset += (uint64_t)n;
		length_bytes -= (uint64_t)n;
	}
	return 0;
}

uint8_t *boot_source_map(size_t size_bytes)
{
	void *map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

void boot_source_from_map(
	struct boot_source *source, uint8_t *map, size_t map_bytes, size_t used_bytes)
{
	size_t keep = (size_t)align_up(used_bytes ? used_bytes : 1, PAGE_BYTES);

	*source = BOOT_SOURCE_NONE;
	source->data = map;
	source->mapped = true;
	source->size_bytes = used_bytes;
	if (align_up(map_bytes, PAGE_BYTES) > keep)
		munmap(map + keep, (size_t)align_up(map_bytes, PAGE_BYTES) - keep);
}

void boot_source_close(struct boot_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	if (source->mapped)
		munmap((void *)(uintptr_t)source->data,
			(size_t)align_up(source->size_bytes ? source->size_bytes : 1, PAGE_BYTES));
	*source = BOOT_SOURCE_NONE;
}

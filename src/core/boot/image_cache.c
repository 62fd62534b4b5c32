/* The cache of decompressed images: see image_cache.h. Threads: any. */
#include "core/boot/image_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

#define HEAD_BYTES    4096u
#define MAX_ENTRIES   8u /* an unpacked kernel takes 30 to 60 MB */
#define NAME_SUFFIX   ".img"
#define TEMP_PREFIX   ".new-"
#define STALE_SECONDS 3600
#define PIECE_BYTES   KIB(256)

/* Grows with the format: another version's entry is not found. */
static const char head_magic[16] = "vmgui image 1\n";

struct entry_head {
	char magic[16];
	uint8_t digest[BLAKE2B_DIGEST_BYTES];
	uint64_t length_bytes;
	uint64_t checksum;
};

struct entry_name {
	char text[2 * BLAKE2B_DIGEST_BYTES + sizeof(NAME_SUFFIX)];
};

/* Against accidents only, and fast: four lanes of multiply and rotate. Takes the bytes in order, in
 * pieces that are multiples of 32 but for the last. */
struct checksum {
	uint64_t lanes[4];
};

static void checksum_add(struct checksum *sum, const uint8_t *data, size_t length)
{
	uint64_t words[4];

	while (length) {
		size_t n = length < sizeof(words) ? length : sizeof(words);

		if (n < sizeof(words))
			memset(words, 0, sizeof(words));
		memcpy(words, data, n);
		for (unsigned i = 0; i < 4; i++) {
			uint64_t x = (sum->lanes[i] ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);

			sum->lanes[i] = x >> 29 | x << 35;
		}
		data += n;
		length -= n;
	}
}

static uint64_t checksum_end(const struct checksum *sum, uint64_t length)
{
	uint64_t x = length;

	for (unsigned i = 0; i < 4; i++) {
		x = (x ^ sum->lanes[i]) * UINT64_C(0xd6e8feb86659fd93);
		x ^= x >> 32;
	}
	return x;
}

static void name_entry(const uint8_t *digest, struct entry_name *name)
{
	for (unsigned i = 0; i < BLAKE2B_DIGEST_BYTES; i++)
		snprintf(name->text + (size_t)2 * i, 3, "%02x", digest[i]);
	memcpy(name->text + (size_t)2 * BLAKE2B_DIGEST_BYTES, NAME_SUFFIX, sizeof(NAME_SUFFIX));
}

/* Ours alone: nobody else could have put something there. */
static bool is_private(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* The user's folder for caches, or -errno. Who owns it could put anything in our folder's place:
 * root under sudo, with another's HOME, keeps nothing there. */
static int open_base(bool create)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char path[PATH_MAX];
	struct stat st;
	int fd, length;

	if (base && *base == '/')
		length = snprintf(path, sizeof(path), "%s", base);
	else if (home && *home == '/')
		length = snprintf(path, sizeof(path), "%s/.cache", home);
	else
		return -ENOENT;
	if (length < 0 || (size_t)length >= sizeof(path))
		return -ENAMETOOLONG;
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid())
		return fd;
	close(fd);
	return -EPERM;
}

/* The cache's folder, or -errno. */
static int open_folder(bool create)
{
	int base = open_base(create), fd = -1, r = 0;
	struct stat st;

	if (base < 0)
		return base;
	if (create && mkdirat(base, "vmgui", 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (!r)
		fd = openat(base, "vmgui", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (!r && fd < 0)
		r = -errno;
	close(base);
	if (r)
		return r;
	if (fstat(fd, &st) == 0 && is_private(&st))
		return fd;
	close(fd);
	return -EPERM;
}

static bool content_matches(int fd, const struct entry_head *head)
{
	uint8_t *piece = malloc(PIECE_BYTES);
	struct boot_source content = {
		.fd = fd, .start = HEAD_BYTES, .size_bytes = head->length_bytes
	};
	struct checksum sum = { { 0 } };
	bool ok = piece != NULL;

	for (uint64_t at = 0; ok && at < head->length_bytes; at += PIECE_BYTES) {
		uint64_t n = min_u64(PIECE_BYTES, head->length_bytes - at);

		ok = boot_source_read(&content, at, piece, n) == 0;
		if (ok)
			checksum_add(&sum, piece, n);
	}
	free(piece);
	return ok && checksum_end(&sum, head->length_bytes) == head->checksum;
}

int image_cache_find(const uint8_t digest[BLAKE2B_DIGEST_BYTES], struct boot_source *source)
{
	int folder = open_folder(false), fd;
	struct entry_name name;
	struct entry_head head;
	struct stat st;

	*source = BOOT_SOURCE_NONE;
	if (folder < 0)
		return -ENOENT;
	name_entry(digest, &name);
	fd = openat(folder, name.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	close(folder);
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_private(&st)) {
		log_debug("boot", "cache: %s is not ours alone, not used", name.text);
		goto fail_close;
	}
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
		memcmp(head.magic, head_magic, sizeof(head_magic)) != 0 ||
		memcmp(head.digest, digest, BLAKE2B_DIGEST_BYTES) != 0 ||
		head.length_bytes > INT64_MAX - HEAD_BYTES ||
		(uint64_t)st.st_size != HEAD_BYTES + head.length_bytes ||
		!content_matches(fd, &head)) {
		log_debug("boot", "cache: %s is damaged, not used", name.text);
		goto fail_close;
	}
	/* The time of last use; a read-only cache does without. */
	(void)futimens(fd, NULL);
	source->fd = fd;
	source->start = HEAD_BYTES;
	source->size_bytes = head.length_bytes;
	return 0;

fail_close:
	close(fd);
	return -ENOENT;
}

/* Leaves room for one more entry, and takes away what a crash left behind. */
static void make_room(int folder)
{
	for (;;) {
		int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		struct timespec now, oldest = { 0, 0 };
		char victim[NAME_MAX + 1] = "";
		unsigned entries = 0;
		struct dirent *item;

		if (!dir) {
			if (fd >= 0)
				close(fd);
			return;
		}
		clock_gettime(CLOCK_REALTIME, &now);
		while ((item = readdir(dir))) {
			size_t length = strlen(item->d_name);
			struct stat st;

			if (fstatat(folder, item->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			if (strncmp(item->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0) {
				if (st.st_mtim.tv_sec < now.tv_sec - STALE_SECONDS)
					unlinkat(folder, item->d_name, 0);
				continue;
			}
			if (length < strlen(NAME_SUFFIX) ||
				strcmp(item->d_name + length - strlen(NAME_SUFFIX), NAME_SUFFIX) !=
					0)
				continue;
			entries++;
			if (!*victim || st.st_mtim.tv_sec < oldest.tv_sec ||
				(st.st_mtim.tv_sec == oldest.tv_sec &&
					st.st_mtim.tv_nsec < oldest.tv_nsec)) {
				oldest = st.st_mtim;
				snprintf(victim, sizeof(victim), "%s", item->d_name);
			}
		}
		closedir(dir);
		if (entries < MAX_ENTRIES || unlinkat(folder, victim, 0) < 0)
			return;
	}
}

static int write_all(int fd, const void *data, size_t length)
{
	const uint8_t *at = data;

	while (length) {
		ssize_t n = write(fd, at, length < MIB(256) ? length : MIB(256));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static int write_entry(int fd, const uint8_t *digest, const uint8_t *data, size_t length_bytes)
{
	struct checksum sum = { { 0 } };
	union {
		struct entry_head head;
		uint8_t bytes[HEAD_BYTES];
	} first;
	int r;

	memset(&first, 0, sizeof(first));
	checksum_add(&sum, data, length_bytes);
	memcpy(first.head.magic, head_magic, sizeof(head_magic));
	memcpy(first.head.digest, digest, BLAKE2B_DIGEST_BYTES);
	first.head.length_bytes = length_bytes;
	first.head.checksum = checksum_end(&sum, length_bytes);
	r = write_all(fd, &first, sizeof(first));
	return r ? r : write_all(fd, data, length_bytes);
}

int image_cache_store(const uint8_t digest[BLAKE2B_DIGEST_BYTES], const uint8_t *data,
	size_t length_bytes, struct boot_source *source)
{
	int folder = open_folder(true), fd, r;
	struct entry_name name;
	char temp[64];

	*source = BOOT_SOURCE_NONE;
	if (folder < 0) {
		log_debug("boot", "cache: no folder to keep it in: %s", strerror(-folder));
		return folder;
	}
	make_room(folder);
	name_entry(digest, &name);
	snprintf(temp, sizeof(temp), TEMP_PREFIX "%ld", (long)gettid());
	(void)unlinkat(folder, temp, 0); /* of a dead thread that had our number */
	fd = openat(folder, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		r = -errno;
		goto fail_folder;
	}
	r = write_entry(fd, digest, data, length_bytes);
	if (!r && renameat(folder, temp, folder, name.text) < 0)
		r = -errno;
	if (r)
		goto fail_unlink;
	close(folder);
	source->fd = fd;
	source->start = HEAD_BYTES;
	source->size_bytes = length_bytes;
	return 0;

fail_unlink:
	unlinkat(folder, temp, 0);
	close(fd);
fail_folder:
	close(folder);
	log_debug("boot", "cache: could not keep %s: %s", name.text, strerror(-r));
	return r;
}

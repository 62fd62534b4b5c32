/* The cache of unpacked images, and the digest that names its entries. */
#include "cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/boot/image_cache.h"

#define CONTENT_BYTES 600001u

struct fixture {
	char folder[32]; /* XDG_CACHE_HOME */
	uint8_t content[CONTENT_BYTES];
	uint8_t digest[BLAKE2B_DIGEST_BYTES];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->folder, "/tmp/vmgui-test-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	setenv("XDG_CACHE_HOME", f->folder, 1);
	for (size_t i = 0; i < CONTENT_BYTES; i++)
		f->content[i] = (uint8_t)(i * 7 + i / 300);
	memset(f->digest, 0xa5, sizeof(f->digest));
	*state = f;
	return 0;
}

static void in_cache(const struct fixture *f, const char *name, char path[512])
{
	snprintf(path, 512, "%s/vmgui/%s", f->folder, name);
}

/* How many entries there are; the last one's path. remove: take them away. */
static unsigned entries(const struct fixture *f, char path[512], bool remove)
{
	struct dirent *item;
	unsigned count = 0;
	char folder[64];
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/vmgui", f->folder);
	dir = opendir(folder);
	while (dir && (item = readdir(dir))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		in_cache(f, item->d_name, path);
		count++;
		if (remove)
			unlink(path);
	}
	if (dir)
		closedir(dir);
	return count;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[512];

	chmod(f->folder, 0700);
	entries(f, path, true);
	snprintf(path, sizeof(path), "%s/vmgui", f->folder);
	rmdir(path);
	rmdir(f->folder);
	free(f);
	return 0;
}

static void store(struct fixture *f)
{
	struct boot_source source;

	assert_int_equal(image_cache_store(f->digest, f->content, CONTENT_BYTES, &source), 0);
	boot_source_close(&source);
}

static int find(struct fixture *f)
{
	struct boot_source source;
	int r = image_cache_find(f->digest, &source);

	boot_source_close(&source);
	return r;
}

static void cache_stored_content_is_found_again(void **state)
{
	struct fixture *f = *state;
	struct boot_source source;
	uint8_t *copy = malloc(CONTENT_BYTES);
	char path[512];

	assert_int_equal(find(f), -ENOENT);
	store(f);
	assert_int_equal(image_cache_find(f->digest, &source), 0);
	assert_int_equal(source.size_bytes, CONTENT_BYTES);
	assert_int_equal(boot_source_read(&source, 0, copy, CONTENT_BYTES), 0);
	assert_memory_equal(copy, f->content, CONTENT_BYTES);
	assert_int_equal(boot_source_read(&source, 1, copy, CONTENT_BYTES), -ERANGE);
	boot_source_close(&source);
	assert_int_equal(entries(f, path, false), 1);
	f->digest[31] ^= 1;
	assert_int_equal(find(f), -ENOENT);
	free(copy);
}

static void cache_damaged_entry_is_not_used_and_replaced(void **state)
{
	/* In the head, its length, the first and the last byte of the content. */
	static const off_t places[] = { 0, 16, 48, 56, 4096, 4096 + CONTENT_BYTES - 1 };
	struct fixture *f = *state;
	char path[512];

	for (size_t i = 0; i < array_size(places); i++) {
		uint8_t byte;
		int fd;

		store(f);
		assert_int_equal(find(f), 0);
		assert_int_equal(entries(f, path, false), 1);
		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, places[i]), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, places[i]), 1);
		close(fd);
		assert_int_equal(find(f), -ENOENT);
	}
	store(f);
	assert_int_equal(truncate(path, 4096 + CONTENT_BYTES / 2), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_equal(truncate(path, 10), 0);
	assert_int_equal(find(f), -ENOENT);
	store(f);
	assert_int_equal(find(f), 0);
}

static void cache_foreign_entry_is_not_used(void **state)
{
	struct fixture *f = *state;
	char path[512], other[600];

	store(f);
	assert_int_equal(entries(f, path, false), 1);
	assert_int_equal(chmod(path, 0620), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_equal(chmod(path, 0602), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(find(f), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
		assert_int_equal(find(f), -ENOENT);
		assert_int_equal(chown(path, 0, (gid_t)-1), 0);
	}
	snprintf(other, sizeof(other), "%s.other", path);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(find(f), -ENOENT);
}

static void cache_folder_open_to_others_is_not_used(void **state)
{
	struct fixture *f = *state;
	struct boot_source source;
	char path[512];

	store(f);
	snprintf(path, sizeof(path), "%s/vmgui", f->folder);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_not_equal(image_cache_store(f->digest, f->content, CONTENT_BYTES, &source), 0);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(find(f), 0);
}

static void cache_folder_that_another_could_replace_is_not_used(void **state)
{
	struct fixture *f = *state;
	struct boot_source source;
	char path[512], other[512];

	store(f);
	snprintf(path, sizeof(path), "%s/vmgui", f->folder);
	snprintf(other, sizeof(other), "%s/other", f->folder);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink("other", path), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_not_equal(image_cache_store(f->digest, f->content, CONTENT_BYTES, &source), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(find(f), 0);
	if (geteuid() != 0)
		return;
	/* sudo with the user's HOME: nothing of root's appears there */
	assert_int_equal(chown(f->folder, 12345, (gid_t)-1), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_int_not_equal(image_cache_store(f->digest, f->content, CONTENT_BYTES, &source), 0);
	assert_int_equal(chown(f->folder, 0, (gid_t)-1), 0);
	assert_int_equal(find(f), 0);
}

static void cache_without_a_folder_says_so(void **state)
{
	struct fixture *f = *state;
	struct boot_source source;

	setenv("XDG_CACHE_HOME", "/dev/null/nowhere", 1);
	assert_int_equal(find(f), -ENOENT);
	assert_int_not_equal(image_cache_store(f->digest, f->content, CONTENT_BYTES, &source), 0);
	setenv("XDG_CACHE_HOME", "relative", 1);
	unsetenv("HOME");
	assert_int_not_equal(image_cache_store(f->digest, f->content, CONTENT_BYTES, &source), 0);
}

static void cache_oldest_entries_make_room(void **state)
{
	struct fixture *f = *state;
	char path[512];

	for (unsigned i = 0; i < 12; i++) {
		struct boot_source source;

		f->digest[0] = (uint8_t)i;
		assert_int_equal(image_cache_store(f->digest, f->content, 100, &source), 0);
		boot_source_close(&source);
		usleep(5000); /* file times are that coarse */
	}
	assert_int_equal(entries(f, path, false), 8);
	assert_int_equal(find(f), 0);
	f->digest[0] = 0;
	assert_int_equal(find(f), -ENOENT);
}

static void blake2b_known_digests_match(void **state)
{
	static const struct {
		size_t length;
		const char *hex;
	} vectors[] = {
		{ 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8" },
		{ 3, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319" },
		{ 128, "c3582f71ebb2be66fa5dd750f80baae97554f3b015663c8be377cfcb2488c1d1" },
		{ 129, "f7f3c46ba2564ff4c4c162da1f5b605f9f1c4aa6a20652a9f9a337c1a2f5b9c9" },
		{ 1000, "c636324d47d89f2b2434dc2c994100663fbbaea880ff020fc5de89dd0f77a1ec" },
	};
	uint8_t data[1000], digest[BLAKE2B_DIGEST_BYTES];
	char hex[2 * BLAKE2B_DIGEST_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < array_size(vectors); i++) {
		for (size_t j = 0; j < sizeof(data); j++)
			data[j] = vectors[i].length == 3 ? (uint8_t)('a' + j) : (uint8_t)j;
		blake2b(data, vectors[i].length, digest);
		for (size_t j = 0; j < sizeof(digest); j++)
			snprintf(hex + 2 * j, 3, "%02x", digest[j]);
		assert_string_equal(hex, vectors[i].hex);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			cache_stored_content_is_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			cache_damaged_entry_is_not_used_and_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cache_foreign_entry_is_not_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			cache_folder_that_another_could_replace_is_not_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			cache_folder_open_to_others_is_not_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cache_without_a_folder_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cache_oldest_entries_make_room, set_up, tear_down),
		cmocka_unit_test(blake2b_known_digests_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

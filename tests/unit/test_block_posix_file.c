/* Files of the host: short counts, alignment, failures, and the locks that QEMU's tools respect
 * (with the real tools where they are installed). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/engine.h"
#include "cmocka_all.h"
#include "host_files.h"

static char folder[] = "/var/tmp/vmgui-posix-XXXXXX"; /* not a tmpfs: O_DIRECT */
static char image_path[PATH_MAX];
static bool has_direct;

static void make_image(uint64_t bytes)
{
	int fd;

	snprintf(image_path, sizeof(image_path), "%s/disk.raw", folder);
	fd = open(image_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	for (uint64_t at = 0; at < bytes; at += 8)
		assert_int_equal(pwrite(fd, &at, bytes - at < 8 ? bytes - at : 8, (off_t)at),
			bytes - at < 8 ? bytes - at : 8);
	close(fd);
}

static struct block_file *open_file(bool read_only, bool direct)
{
	struct posix_file_options options = {
		.path = image_path, .read_only = read_only, .direct = direct
	};
	struct block_file *file;
	struct error err = { "" };

	if (posix_file_open(&options, &file, &err))
		fail_msg("%s", err.text);
	return file;
}

/* ---- Faults: what each call is made to do, from fault_list. ---- */

static const int64_t *fault_list;
static unsigned fault_calls;

static int64_t fault(const struct file_call *call)
{
	(void)call;
	fault_calls++;
	return *fault_list ? *fault_list++ : 0;
}

static void set_faults(const int64_t *list)
{
	fault_list = list;
	fault_calls = 0;
	engine_fault = list ? fault : NULL;
}

static void posix_file_written_reads_back(void **state)
{
	uint8_t out[5000], in[5000];
	uint64_t size;

	(void)state;
	for (int direct = 0; direct <= has_direct; direct++) {
		struct block_file *file;

		make_image(MIB(1));
		file = open_file(false, direct);
		assert_int_equal(file->block_bytes, 512);
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)(i * 7 + 1);
		/* Odd offset and length: nothing that O_DIRECT would take. */
		assert_int_equal(file->ops->write(file, 12345, out, sizeof(out)), 0);
		assert_int_equal(file->ops->read(file, 12345, in, sizeof(in)), 0);
		assert_memory_equal(in, out, sizeof(in));
		assert_int_equal(file->ops->read(file, 12344, in, 1), 0);
		assert_int_equal(in[0], 12344 & 0xff);
		assert_int_equal(file->ops->sync(file), 0);
		assert_int_equal(file->ops->truncate(file, 1000), 0);
		assert_int_equal(file->ops->size(file, &size), 0);
		assert_int_equal(size, 1000);
		/* Past the end: zeroes, all of them. */
		memset(in, 0xff, sizeof(in));
		assert_int_equal(file->ops->read(file, 990, in, sizeof(in)), 0);
		assert_int_equal(in[2], 992 & 0xff);
		assert_int_equal(in[10], 0);
		assert_int_equal(in[4999], 0);
		memset(in, 0xff, sizeof(in));
		assert_int_equal(file->ops->read(file, GIB(5), in, sizeof(in)), 0);
		assert_int_equal(in[0] | in[4999], 0);
		file->ops->close(file);
	}
}

static void posix_file_direct_aligned_and_not_agree(void **state)
{
	struct block_file *file;
	uint8_t *aligned = NULL;

	(void)state;
	if (!has_direct)
		skip();
	make_image(MIB(1));
	file = open_file(false, true);
	assert_int_equal(posix_memalign((void **)&aligned, 4096, 8192 + 1), 0);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t offset = (i % 16) * UINT64_C(4096);
		unsigned shift = i & 1; /* of memory, every second time */

		memset(aligned, (int)i, 8193);
		assert_int_equal(file->ops->write(file, offset, aligned + shift, 4096), 0);
		assert_int_equal(file->ops->write(file, offset + 512, aligned, 512), 0);
		assert_int_equal(file->ops->write(file, offset + 1, "x", 1), 0);
		memset(aligned, 0xee, 8193);
		assert_int_equal(file->ops->read(file, offset, aligned + !shift, 4096), 0);
		assert_int_equal(aligned[!shift], i);
		assert_int_equal(aligned[!shift + 1], 'x');
		assert_int_equal(aligned[!shift + 4095], (uint8_t)i);
	}
	free(aligned);
	file->ops->close(file);
}

static void posix_file_short_counts_are_continued(void **state)
{
	const int64_t ones[] = { 1, 2, 3, -EINTR, 1, -EAGAIN, 7, 511, -EINTR, -EINTR, 0 };
	uint8_t out[3000], in[3000];
	struct block_file *file;

	(void)state;
	make_image(MIB(1));
	file = open_file(false, false);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 13);
	set_faults(ones);
	assert_int_equal(file->ops->write(file, 77, out, sizeof(out)), 0);
	assert_int_equal(fault_calls, 11);
	set_faults(ones);
	assert_int_equal(file->ops->read(file, 77, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	set_faults((const int64_t[]){ -EINTR, 0 });
	assert_int_equal(file->ops->sync(file), 0);
	assert_int_equal(fault_calls, 2);
	set_faults((const int64_t[]){ -EINTR, 0 });
	assert_int_equal(file->ops->truncate(file, 100), 0);
	set_faults(NULL);
	file->ops->close(file);
}

static int64_t always_eintr(const struct file_call *call)
{
	(void)call;
	return -EINTR;
}

static void posix_file_endless_eintr_ends(void **state)
{
	struct block_file *file;
	uint8_t byte;

	(void)state;
	make_image(MIB(1));
	file = open_file(false, false);
	engine_fault = always_eintr;
	assert_int_equal(file->ops->read(file, 0, &byte, 1), -EIO);
	assert_int_equal(file->ops->write(file, 0, &byte, 1), -EIO);
	assert_int_equal(file->ops->sync(file), -EIO);
	assert_int_equal(file->ops->truncate(file, 1), -EINTR);
	engine_fault = NULL;
	file->ops->close(file);
}

static void posix_file_failures_are_reported(void **state)
{
	static const struct {
		int fault, result;
	} cases[] = { { EIO, EIO }, { ENOSPC, ENOSPC }, { EDQUOT, ENOSPC }, { EFBIG, EFBIG } };
	uint8_t bytes[512];

	(void)state;
	make_image(MIB(1));
	for (size_t i = 0; i < array_size(cases); i++) {
		struct block_file *file = open_file(false, false);
		const int64_t once[] = { 100, -cases[i].fault, 0 };

		set_faults(once);
		assert_int_equal(file->ops->write(file, 0, bytes, 512), -cases[i].result);
		set_faults(once + 1);
		assert_int_equal(file->ops->truncate(file, 512), -cases[i].result);
		set_faults(NULL);
		assert_int_equal(file->ops->write(file, 0, bytes, 512), 0);
		assert_int_equal(file->ops->sync(file), 0);
		file->ops->close(file);
	}
}

static void posix_file_failed_sync_stays_failed(void **state)
{
	static const int errnums[] = { EIO, ENOSPC, EDQUOT, EINVAL };

	(void)state;
	make_image(MIB(1));
	for (size_t i = 0; i < array_size(errnums); i++) {
		struct block_file *file = open_file(false, false);
		const int64_t once[] = { -errnums[i], 0 };

		assert_int_equal(file->ops->write(file, 0, "x", 1), 0);
		set_faults(once);
		assert_int_equal(file->ops->sync(file), -EIO);
		set_faults(NULL);
		assert_int_equal(file->ops->write(file, 0, "y", 1), 0);
		assert_int_equal(file->ops->sync(file), -EIO);
		assert_int_equal(file->ops->sync(file), -EIO);
		file->ops->close(file);
	}
}

/* What was synced already is not synced again, and what was not is. */
static void posix_file_clean_needs_no_sync(void **state)
{
	static const int64_t none[] = { 0 };
	struct block_file *file;

	(void)state;
	make_image(MIB(1));
	file = open_file(false, false);
	set_faults(none);
	assert_int_equal(file->ops->sync(file), 0);
	assert_int_equal(fault_calls, 1); /* whoever wrote the file may not have synced it */
	assert_int_equal(file->ops->sync(file), 0);
	assert_int_equal(fault_calls, 1);
	assert_int_equal(file->ops->write(file, 0, "x", 1), 0);
	assert_int_equal(file->ops->sync(file), 0);
	assert_int_equal(fault_calls, 3);
	assert_int_equal(file->ops->truncate(file, MIB(2)), 0);
	assert_int_equal(file->ops->sync(file), 0);
	assert_int_equal(fault_calls, 5);
	/* A write that failed may have written. */
	set_faults((const int64_t[]){ -EIO, 0 });
	assert_int_equal(file->ops->write(file, 0, "x", 1), -EIO);
	assert_int_equal(file->ops->sync(file), 0);
	assert_int_equal(fault_calls, 2);
	set_faults(NULL);
	file->ops->close(file);
}

static void posix_file_read_only_is_not_written(void **state)
{
	struct block_file *file;

	(void)state;
	make_image(MIB(1));
	file = open_file(true, false);
	assert_true(file->read_only);
	assert_int_equal(file->ops->write(file, 0, "x", 1), -EBADF);
	assert_true(file->ops->truncate(file, 0) < 0);
	assert_false(file->can_punch);
	assert_false(file->can_zero);
	file->ops->close(file);
}

/* Some file systems know only then how many blocks a file has. */
static void write_back(const char *path)
{
	int fd = open(path, O_RDONLY);

	assert_int_equal(fsync(fd), 0);
	close(fd);
}

static void posix_file_open_leaves_file_untouched(void **state)
{
	struct stat before, after;

	(void)state;
	make_image(MIB(1) + 100);
	write_back(image_path);
	assert_int_equal(stat(image_path, &before), 0);
	usleep(20 * 1000); /* more than the clock of the time stamps */
	for (int i = 0; i < (has_direct ? 4 : 2); i++) {
		struct block_file *file = open_file(i & 1, i & 2);

		file->ops->close(file);
	}
	assert_int_equal(stat(image_path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(before.st_blocks, after.st_blocks);
	assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
}

static void posix_file_temporary_leaves_no_name(void **state)
{
	static const int64_t unsynced[] = { -EIO, 0 };
	struct posix_file_options options = { .path = folder, .temporary = true };
	struct block_file *file;
	char listing[PATH_MAX];
	uint8_t byte = 1;

	(void)state;
	assert_int_equal(unlink(image_path), 0);
	assert_int_equal(posix_file_open(&options, &file, NULL), 0);
	assert_int_equal(file->ops->write(file, GIB(1), "x", 1), 0);
	assert_int_equal(file->ops->read(file, GIB(1), &byte, 1), 0);
	assert_int_equal(byte, 'x');
	/* Nor does it keep the host's disk busy for what nobody will read. */
	set_faults(unsynced);
	assert_int_equal(file->ops->sync(file), 0);
	set_faults(NULL);
	snprintf(listing, sizeof(listing), "test -z \"$(ls -A %s)\"", folder);
	assert_int_equal(system(listing), 0);
	file->ops->close(file);
	make_image(512);
}

/* ---- Locks. ---- */

static int try_open(bool read_only)
{
	struct posix_file_options options = { .path = image_path, .read_only = read_only };
	struct block_file *file;
	struct error err = { "" };
	int ret = posix_file_open(&options, &file, &err);

	if (!ret)
		file->ops->close(file);
	else
		assert_true(!strncmp(err.text, image_path, strlen(image_path)));
	return ret;
}

static void posix_file_locked_against_ourselves(void **state)
{
	struct block_file *file;

	(void)state;
	make_image(MIB(1));
	file = open_file(false, false);
	assert_int_equal(try_open(false), -EBUSY);
	assert_int_equal(try_open(true), -EBUSY);
	file->ops->close(file);
	file = open_file(true, false);
	assert_int_equal(try_open(false), -EBUSY);
	assert_int_equal(try_open(true), 0);
	file->ops->close(file);
	assert_int_equal(try_open(false), 0);
}

static bool have_qemu(const char *tool)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", tool);
	if (system(command) == 0)
		return true;
	fprintf(stderr, "skipped: %s is not installed, so its locks were not tried\n", tool);
	return false;
}

/* Exit status of a shell command about the image, and whether its output has that text in it. */
static int shell(const char *command, const char *text, bool *found)
{
	char line[2 * PATH_MAX], output[1000];
	FILE *stream;

	snprintf(line, sizeof(line), "F=%s O=%s/out; exec 2>&1; %s", image_path, folder, command);
	stream = popen(line, "r");
	assert_non_null(stream);
	output[fread(output, 1, sizeof(output) - 1, stream)] = '\0';
	*found = text && strstr(output, text);
	return pclose(stream);
}

static void posix_file_held_is_refused_by_qemu(void **state)
{
	static const char *const refused[] = { "qemu-img convert -f raw -O raw $F $O",
		"qemu-img resize -f raw $F 2M", "qemu-io -f raw -c 'write 0 512' $F",
		"qemu-img bench -f raw -c 1 -w $F" };
	static const char *const allowed[] = { "qemu-img convert -U -f raw -O raw $F $O",
		"qemu-img info -U $F" };
	struct block_file *file;
	bool found;

	(void)state;
	if (!have_qemu("qemu-img") || !have_qemu("qemu-io"))
		skip();
	make_image(MIB(1));
	file = open_file(false, false);
	for (size_t i = 0; i < array_size(refused); i++) {
		assert_int_not_equal(shell(refused[i], "lock", &found), 0);
		assert_true(found);
	}
	for (size_t i = 0; i < array_size(allowed); i++)
		assert_int_equal(shell(allowed[i], NULL, &found), 0);
	file->ops->close(file);
	/* Readers get on with each other, and not with a writer. */
	file = open_file(true, false);
	assert_int_equal(shell(refused[0], NULL, &found), 0);
	assert_int_not_equal(shell(refused[2], "lock", &found), 0);
	assert_true(found);
	file->ops->close(file);
}

static void posix_file_held_qcow2_is_refused_by_qemu(void **state)
{
	static const char *const refused[] = { "qemu-img info -f qcow2 $F",
		"qemu-img check -f qcow2 $F", "qemu-img convert -f qcow2 -O raw $F $O",
		"qemu-img snapshot -c one $F" };
	struct block_file *file;
	bool found;

	(void)state;
	if (!have_qemu("qemu-img"))
		skip();
	assert_int_equal(shell("qemu-img create -q -f qcow2 $F 1M", NULL, &found), 0);
	file = open_file(false, false);
	for (size_t i = 0; i < array_size(refused); i++) {
		assert_int_not_equal(shell(refused[i], "lock", &found), 0);
		assert_true(found);
	}
	file->ops->close(file);
}

static void posix_file_held_by_qemu_is_refused(void **state)
{
	/* The first has a share in writing as a guest's disk has it, the second reads. */
	static const char *const holders[] = {
		"exec qemu-io -f qcow2 -c 'write 0 512' -c 'sleep 20000' ",
		"exec qemu-io -r -f qcow2 -c 'read 0 512' -c 'sleep 20000' "
	};
	bool found;

	(void)state;
	if (!have_qemu("qemu-img") || !have_qemu("qemu-io"))
		skip();
	assert_int_equal(shell("qemu-img create -q -f qcow2 $F 1M", NULL, &found), 0);
	for (int reader = 0; reader < 2; reader++) {
		char command[PATH_MAX + 100];
		int status, tries = 0;
		pid_t child = fork();

		if (!child) {
			close(1);
			snprintf(command, sizeof(command), "%s%s", holders[reader], image_path);
			execl("/bin/sh", "sh", "-c", command, NULL);
			_exit(127);
		}
		while (try_open(false) != -EBUSY && tries++ < 1000)
			usleep(10 * 1000);
		assert_int_equal(try_open(false), -EBUSY);
		assert_int_equal(try_open(true), reader ? 0 : -EBUSY);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		assert_int_equal(try_open(false), 0);
	}
}

/* ---- Block devices, by way of a loop device: needs root. ---- */

/* False (and says so) when there is none to be had. */
static bool loop_attach(const char *options, char device[64])
{
	char command[2 * PATH_MAX];
	FILE *stream;
	size_t length;

	snprintf(command, sizeof(command), "losetup -f --show %s %s 2>/dev/null", options,
		image_path);
	stream = popen(command, "r");
	assert_non_null(stream);
	length = fread(device, 1, 63, stream);
	device[length ? length - 1 : 0] = '\0';
	if (pclose(stream) == 0 && *device)
		return true;
	fprintf(stderr, "skipped: no loop device is to be had, so none was opened\n");
	return false;
}

static void loop_detach(const char *device)
{
	char command[128];

	snprintf(command, sizeof(command), "losetup -d %s", device);
	assert_int_equal(system(command), 0);
}

static void wait_for_done(struct file_io *io)
{
	io->length_bytes = 0; /* done */
}

/* One operation that has no synchronous call, on an engine of its own. */
static int perform_on_engine(
	struct block_file *file, enum file_operation operation, uint64_t offset, uint64_t length)
{
	struct file_io io = { .operation = operation,
		.offset_bytes = offset,
		.length_bytes = length,
		.done = wait_for_done };
	struct engine *engine;

	assert_int_equal(engine_create(ENGINE_ANY, &engine, NULL), 0);
	posix_file_set_engine(file, engine);
	assert_int_equal(engine_prepare(engine, NULL), 0);
	file->ops->submit(file, &io);
	engine_stop(engine); /* runs until that is done */
	engine_run(engine);
	engine_destroy(engine);
	assert_int_equal(io.length_bytes, 0);
	return io.result;
}

static void posix_file_device_is_read_written_and_discarded(void **state)
{
	char device[64];
	uint64_t size;
	uint8_t byte;

	(void)state;
	for (int blocks = 0; blocks < 2; blocks++) {
		make_image(MIB(2));
		if (!loop_attach(blocks ? "-b 4096" : "", device))
			skip();
		for (int direct = 0; direct < 2; direct++) {
			struct posix_file_options options = { .path = device, .direct = direct };
			struct block_file *file, *second;
			struct error err = { "" };

			if (posix_file_open(&options, &file, &err))
				fail_msg("%s", err.text);
			assert_true(file->is_device);
			assert_int_equal(file->block_bytes, blocks ? 4096 : 512);
			assert_int_equal(file->ops->size(file, &size), 0);
			assert_int_equal(size, MIB(2));
			assert_int_equal(posix_file_open(&options, &second, &err), -EBUSY);
			assert_int_equal(file->ops->write(file, 777, "abc", 3), 0);
			assert_int_equal(file->ops->read(file, 778, &byte, 1), 0);
			assert_int_equal(byte, 'b');
			assert_true(file->can_punch);
			assert_int_equal(perform_on_engine(file, FILE_PUNCH, 0, MIB(1)), 0);
			assert_int_equal(perform_on_engine(file, FILE_ZERO, MIB(1), 65536), 0);
			assert_int_equal(
				perform_on_engine(file, FILE_ZERO_UNMAP, MIB(1) + 65536, 65536), 0);
			assert_int_equal(file->ops->read(file, MIB(1) + 65544, &byte, 1), 0);
			assert_int_equal(byte, 0);
			assert_int_equal(file->ops->read(file, MIB(1) + 8, &byte, 1), 0);
			assert_int_equal(byte, 0);
			assert_int_equal(file->ops->sync(file), 0);
			assert_int_equal(file->ops->truncate(file, 0), -EOPNOTSUPP);
			file->ops->close(file);
		}
		loop_detach(device);
	}
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	has_direct = host_has_direct_io(folder);
	return 0;
}

static int remove_folder(void **state)
{
	char command[PATH_MAX];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posix_file_written_reads_back),
		cmocka_unit_test(posix_file_direct_aligned_and_not_agree),
		cmocka_unit_test(posix_file_short_counts_are_continued),
		cmocka_unit_test(posix_file_endless_eintr_ends),
		cmocka_unit_test(posix_file_failures_are_reported),
		cmocka_unit_test(posix_file_failed_sync_stays_failed),
		cmocka_unit_test(posix_file_clean_needs_no_sync),
		cmocka_unit_test(posix_file_read_only_is_not_written),
		cmocka_unit_test(posix_file_open_leaves_file_untouched),
		cmocka_unit_test(posix_file_temporary_leaves_no_name),
		cmocka_unit_test(posix_file_locked_against_ourselves),
		cmocka_unit_test(posix_file_held_is_refused_by_qemu),
		cmocka_unit_test(posix_file_held_qcow2_is_refused_by_qemu),
		cmocka_unit_test(posix_file_held_by_qemu_is_refused),
		cmocka_unit_test(posix_file_device_is_read_written_and_discarded),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

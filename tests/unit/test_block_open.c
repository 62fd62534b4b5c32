/* block_open: what a user may name and what he is told; formats, backing files, snapshots. Images
 * come from qemu-img; where that is not installed those tests are skipped. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "block/disk.h"
#include "cmocka_all.h"

static char folder[] = "/var/tmp/vmgui-open-XXXXXX";

/* ---- The folder and what is in it; relative names in commands and options are inside. ---- */

static int run_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run_shell(const char *format, ...)
{
	char command[2 * PATH_MAX];
	int length = snprintf(command, sizeof(command), "cd %s && ", folder);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command + length, sizeof(command) - (size_t)length, format, arguments);
	va_end(arguments);
	return system(command);
}

static bool have_qemu(void)
{
	if (!system("command -v qemu-img >/dev/null && command -v qemu-io >/dev/null"))
		return true;
	fprintf(stderr, "skipped: qemu-img and qemu-io are not installed\n");
	return false;
}

static const char *in_folder(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], PATH_MAX, "%s/%s", folder, name);
	return path[turn];
}

static int try_open(const struct block_options *options, struct error *err)
{
	struct block_disk *disk = (struct block_disk *)1;
	int ret;

	err->text[0] = '\0';
	ret = block_open(options, &disk, err);
	if (!ret)
		disk->ops->destroy(disk);
	else
		assert_null(disk);
	return ret;
}

/* ---- Files that are no images. ---- */

static void open_wrong_file_says_what_is_wrong(void **state)
{
	static const struct {
		const char *make; /* makes "f" */
		enum block_format format;
		bool read_only;
		const char *says;
	} cases[] = {
		{ "true", BLOCK_FORMAT_RAW, false, "No such file" },
		{ "mkdir f", BLOCK_FORMAT_RAW, false, "folder" },
		{ "mkdir f", BLOCK_FORMAT_RAW, true, "folder" },
		{ "mkfifo f", BLOCK_FORMAT_RAW, false, "pipe" },
		{ "mkfifo f", BLOCK_FORMAT_RAW, true, "pipe" },
		{ "mkfifo f", BLOCK_FORMAT_QCOW2, false, "pipe" },
		{ "ln -s /dev/null f", BLOCK_FORMAT_RAW, false, "character device" },
		{ "ln -s f f", BLOCK_FORMAT_RAW, false, "symbolic links" },
		{ "ln -s nowhere f", BLOCK_FORMAT_RAW, false, "No such file" },
		{ "touch f", BLOCK_FORMAT_RAW, false, "empty" },
		{ "touch f", BLOCK_FORMAT_RAW, true, "empty" },
		{ "touch f", BLOCK_FORMAT_QCOW2, false, "" },
		{ "truncate -s 1M f", BLOCK_FORMAT_QCOW2, false, "" },
		{ "printf 'QFI\\373' > f", BLOCK_FORMAT_QCOW2, false, "" },
		{ "head -c 100000 /dev/urandom > f", BLOCK_FORMAT_QCOW2, false, "" },
		{ "printf 'QFI\\373\\0\\0\\0\\11' > f; truncate -s 1M f", BLOCK_FORMAT_QCOW2, false,
			"" },
		{ "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"f\")'",
			BLOCK_FORMAT_RAW, false, "not a disk image" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct block_options options = { .path = in_folder("f"),
			.format = cases[i].format,
			.read_only = cases[i].read_only };
		struct error err;
		int ret;

		assert_int_equal(run_shell("rm -rf f; %s", cases[i].make), 0);
		assert_int_equal(run_shell("test ! -f f || sum f > before"), 0);
		ret = try_open(&options, &err);
		if (!ret || ret == -EBUSY || ret == -EIO || ret == -ENOMEM)
			fail_msg("%s: %d %s", cases[i].make, ret, err.text);
		/* One line that starts with the name, says what, and ends with what to do. */
		if (strncmp(err.text, options.path, strlen(options.path)) ||
			!strstr(err.text, cases[i].says) || strchr(err.text, '\n'))
			fail_msg("%s: %s", cases[i].make, err.text);
		if (*cases[i].says && strcmp(cases[i].says, "symbolic links"))
			assert_non_null(strchr(err.text, '('));
		assert_int_equal(
			run_shell("test ! -f f || sum f 2>/dev/null | cmp -s - before"), 0);
	}
	assert_int_equal(run_shell("rm -rf f before"), 0);
}

static void open_no_name_refused(void **state)
{
	struct block_options options = { .path = "" };
	struct error err;

	(void)state;
	assert_int_equal(try_open(&options, &err), -EINVAL);
}

static void open_not_permitted_hints_at_ro(void **state)
{
	struct block_options options = { .path = in_folder("locked") };
	struct error err;

	(void)state;
	assert_int_equal(run_shell("truncate -s 1M locked && chmod 400 locked"), 0);
	if (geteuid() == 0) {
		/* Root may do all but this. */
		if (run_shell("chattr +i locked 2>/dev/null"))
			skip();
	}
	assert_true(try_open(&options, &err) < 0);
	assert_non_null(strstr(err.text, ",ro"));
	options.read_only = true;
	assert_int_equal(try_open(&options, &err), 0);
	(void)run_shell("chattr -i locked 2>/dev/null; rm -f locked");
}

/* ---- Formats. ---- */

static uint64_t size_of(const char *name, enum block_format format)
{
	struct block_options options = {
		.path = in_folder(name), .format = format, .read_only = true
	};
	struct block_disk *disk;
	struct error err;
	uint64_t size;

	if (block_open(&options, &disk, &err))
		fail_msg("%s", err.text);
	size = disk->size_bytes;
	disk->ops->destroy(disk);
	return size;
}

static void open_format_is_never_guessed(void **state)
{
	(void)state;
	if (!have_qemu())
		skip();
	assert_int_equal(run_shell("qemu-img create -q -f qcow2 a.qcow2 1G && cp a.qcow2 a.img && "
				   "cp a.qcow2 b.QCOW2 && cp a.qcow2 qcow2"),
		0);
	assert_int_equal(size_of("a.qcow2", BLOCK_FORMAT_BY_NAME), GIB(1));
	assert_int_equal(size_of("b.QCOW2", BLOCK_FORMAT_BY_NAME), GIB(1));
	assert_int_equal(size_of("a.img", BLOCK_FORMAT_QCOW2), GIB(1));
	assert_true(size_of("a.img", BLOCK_FORMAT_BY_NAME) < MIB(1));
	assert_true(size_of("qcow2", BLOCK_FORMAT_BY_NAME) < MIB(1));
	assert_true(size_of("a.qcow2", BLOCK_FORMAT_RAW) < MIB(1));
}

/* ---- Reading and writing through a whole disk. ---- */

struct guest {
	struct block_disk *disk;
	struct block_call call;
	struct block_request request;
	struct iovec iov;
	sem_t done;
};

static void request_done(struct block_request *request)
{
	sem_post(&container_of(request, struct guest, request)->done);
}

static void submit(struct block_call *call)
{
	struct guest *guest = container_of(call, struct guest, call);

	guest->disk->ops->submit(guest->disk, &guest->request);
}

static int perform(struct block_disk *disk, enum block_operation operation, uint64_t offset,
	void *buffer, uint64_t length)
{
	struct guest guest = { .disk = disk, .iov = { buffer, length } };

	guest.call.function = submit;
	guest.request = (struct block_request){ .operation = operation,
		.offset_bytes = offset,
		.length_bytes = length,
		.iov = &guest.iov,
		.iov_count = 1,
		.done = request_done,
		.scratch = malloc(disk->scratch_bytes) };
	sem_init(&guest.done, 0, 0);
	disk->ops->post(disk, &guest.call);
	while (sem_wait(&guest.done)) {
	}
	free(guest.request.scratch);
	return guest.request.result;
}

static struct block_disk *start(const struct block_options *options)
{
	struct block_disk *disk;
	struct error err = { "" };

	if (block_open(options, &disk, &err) || disk->ops->start(disk, "disk-test", &err))
		fail_msg("%s", err.text);
	return disk;
}

static void finish(struct block_disk *disk)
{
	disk->ops->stop(disk);
	disk->ops->destroy(disk);
}

static uint8_t first_byte(struct block_disk *disk, uint64_t offset)
{
	uint8_t sector[512];

	assert_int_equal(perform(disk, BLOCK_READ, offset, sector, sizeof(sector)), 0);
	return sector[0];
}

static void open_snapshot_leaves_image_alone(void **state)
{
	static const char *const names[] = { "s.raw", "s.qcow2" };

	(void)state;
	if (!have_qemu())
		skip();
	for (size_t i = 0; i < array_size(names); i++) {
		struct block_options options = { .path = in_folder(names[i]), .snapshot = true };
		struct block_disk *disk;
		uint8_t bytes[4096];

		assert_int_equal(run_shell("qemu-img create -q -f %s %s 8M && "
					   "qemu-io -f %s -c 'write -P 7 0 8M' %s >/dev/null && "
					   "sum %s > before",
					 names[i] + 2, names[i], names[i] + 2, names[i], names[i]),
			0);
		for (int cache = 0; cache < 2; cache++) {
			options.cache = (enum block_cache)cache;
			disk = start(&options);
			assert_false(disk->read_only);
			assert_int_equal(disk->size_bytes, MIB(8));
			memset(bytes, 9, sizeof(bytes));
			assert_int_equal(
				perform(disk, BLOCK_WRITE, MIB(1), bytes, sizeof(bytes)), 0);
			assert_int_equal(perform(disk, BLOCK_FLUSH, 0, NULL, 0), 0);
			assert_int_equal(first_byte(disk, MIB(1)), 9);
			assert_int_equal(first_byte(disk, MIB(1) + 4096), 7);
			finish(disk);
		}
		assert_int_equal(run_shell("sum %s | cmp -s - before", names[i]), 0);
	}
}

static void open_snapshot_without_room_says_where(void **state)
{
	struct block_options options = { .path = in_folder("t.raw"), .snapshot = true };
	struct error err;

	(void)state;
	assert_int_equal(run_shell("truncate -s 1M t.raw"), 0);
	setenv("TMPDIR", "/nowhere", 1);
	assert_true(try_open(&options, &err) < 0);
	assert_non_null(strstr(err.text, "/nowhere"));
	assert_non_null(strstr(err.text, "TMPDIR"));
	unsetenv("TMPDIR");
	assert_int_equal(try_open(&options, &err), 0);
}

/* ---- Backing files. ---- */

static void open_backing_is_followed_only_when_allowed(void **state)
{
	struct block_options options = { .path = in_folder("sub/top.qcow2") };
	struct block_disk *disk;
	struct error err;

	(void)state;
	if (!have_qemu())
		skip();
	assert_int_equal(
		run_shell("mkdir sub && truncate -s 4M base.raw other.raw && "
			  "qemu-io -f raw -c 'write -P 3 0 4M' base.raw >/dev/null && "
			  "qemu-io -f raw -c 'write -P 4 0 4M' other.raw >/dev/null && "
			  "qemu-img create -q -f qcow2 -b ../base.raw -F raw sub/top.qcow2"),
		0);
	assert_int_equal(try_open(&options, &err), -EPERM);
	assert_non_null(strstr(err.text, "../base.raw"));
	assert_non_null(strstr(err.text, "backing=allow"));

	options.allow_backing = true;
	disk = start(&options);
	assert_int_equal(first_byte(disk, MIB(2)), 3);
	finish(disk);

	options.allow_backing = false;
	options.backing_path = in_folder("other.raw");
	disk = start(&options);
	assert_int_equal(first_byte(disk, MIB(2)), 4);
	finish(disk);

	options.backing_path = in_folder("gone.raw");
	assert_int_equal(try_open(&options, &err), -ENOENT);
	assert_non_null(strstr(err.text, "gone.raw"));
	/* Somebody writes to the file below. */
	options.backing_path = in_folder("other.raw");
	disk = start(&(struct block_options){ .path = in_folder("other.raw") });
	assert_int_equal(try_open(&options, &err), -EBUSY);
	finish(disk);
	/* An image that has none, and a format that can have none. */
	options.path = in_folder("base.raw");
	assert_int_equal(try_open(&options, &err), -EINVAL);
	assert_int_equal(run_shell("qemu-img create -q -f qcow2 alone.qcow2 4M"), 0);
	options.path = in_folder("alone.qcow2");
	assert_int_equal(try_open(&options, &err), -EINVAL);
	assert_int_equal(run_shell("rm -r sub"), 0);
}

static void open_backing_loops_and_long_chains_are_refused(void **state)
{
	struct block_options options = { .path = in_folder("c0.qcow2"), .allow_backing = true };
	struct error err;

	(void)state;
	if (!have_qemu())
		skip();
	assert_int_equal(run_shell("qemu-img create -q -f qcow2 c0.qcow2 1M && "
				   "for i in $(seq 1 20); do qemu-img create -q -f qcow2 -F qcow2 "
				   "-b c$((i-1)).qcow2 c$i.qcow2; done"),
		0);
	options.path = in_folder("c15.qcow2");
	if (try_open(&options, &err))
		fail_msg("%s", err.text);
	options.path = in_folder("c20.qcow2");
	assert_int_equal(try_open(&options, &err), -ELOOP);
	assert_int_equal(run_shell("qemu-img rebase -u -f qcow2 -F qcow2 -b c3.qcow2 c0.qcow2"), 0);
	options.path = in_folder("c3.qcow2");
	assert_int_equal(try_open(&options, &err), -ELOOP);
	options.path = in_folder("c0.qcow2");
	options.read_only = true;
	assert_int_equal(run_shell("qemu-img rebase -u -f qcow2 -F qcow2 -b c0.qcow2 c0.qcow2"), 0);
	assert_int_equal(try_open(&options, &err), -ELOOP);
	assert_int_equal(run_shell("rm -f c*.qcow2"), 0);
}

static void open_backing_that_is_no_file_is_refused(void **state)
{
	static const char *const names[] = { "nbd://localhost:1/x",
		"json:{\\\"driver\\\":\\\"null-co\\\"}", "http://x/y", "fat:/etc" };
	struct block_options options = { .path = in_folder("n.qcow2"), .allow_backing = true };

	(void)state;
	if (!have_qemu())
		skip();
	for (size_t i = 0; i < array_size(names); i++) {
		struct error err;

		assert_int_equal(run_shell("qemu-img create -q -f qcow2 n.qcow2 1M && qemu-img "
					   "rebase -u -f qcow2 -F raw -b \"%s\" n.qcow2",
					 names[i]),
			0);
		assert_int_equal(try_open(&options, &err), -ENOTSUP);
		assert_non_null(strstr(err.text, "backing"));
	}
}

/* Neither the warning about what looks like a qcow2 nor anything else changes the file. */
static void open_raw_that_looks_like_qcow2_stays_raw(void **state)
{
	struct block_options options = { .path = in_folder("look.raw") };
	struct block_disk *disk;

	(void)state;
	assert_int_equal(run_shell("printf 'QFI\\373' > look.raw; truncate -s 1M look.raw"), 0);
	disk = start(&options);
	assert_int_equal(disk->size_bytes, MIB(1));
	assert_int_equal(first_byte(disk, 0), 'Q');
	finish(disk);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
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
		cmocka_unit_test(open_wrong_file_says_what_is_wrong),
		cmocka_unit_test(open_no_name_refused),
		cmocka_unit_test(open_not_permitted_hints_at_ro),
		cmocka_unit_test(open_format_is_never_guessed),
		cmocka_unit_test(open_snapshot_leaves_image_alone),
		cmocka_unit_test(open_snapshot_without_room_says_where),
		cmocka_unit_test(open_backing_is_followed_only_when_allowed),
		cmocka_unit_test(open_backing_loops_and_long_chains_are_refused),
		cmocka_unit_test(open_backing_that_is_no_file_is_refused),
		cmocka_unit_test(open_raw_that_looks_like_qcow2_stays_raw),
	};

	unsetenv("TMPDIR");
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* Many requests at once through struct block_disk, its thread and the real engines, on real files:
 * raw and qcow2 of several kinds, on both engines, compared with a model. Requests in flight never
 * overlap in a sector, but they do in clusters and pages. The disk is stopped in the middle of its
 * work, judged by qemu-img and opened anew. VMGUI_TEST_ROUNDS (default 1) makes it longer,
 * VMGUI_TEST_SEED another. */
#include "cmocka_all.h"

#include "block/disk.h"
#include "block/engine.h"
#include "qcow2_world.h"

#define DEPTH       48u
#define MAX_SECTORS 96u
#define REOPENS     2u

struct stress_kind {
	struct world_kind image;
	bool raw, direct;
};

#define QCOW2(name, options, size, filled, packed, snapshot, backing)                              \
	{                                                                                          \
		{ name, options, size, filled, packed, snapshot, backing, 0, 0 }, false, false     \
	}
#define DIRECT(name, options, size, filled, packed, snapshot, backing)                             \
	{                                                                                          \
		{ name, options, size, filled, packed, snapshot, backing, 0, 0 }, false, true      \
	}

static const struct stress_kind kinds[] = {
	QCOW2("v3", "cluster_size=64k", MIB(6), false, false, false, 0),
	QCOW2("512-byte clusters", "cluster_size=512", MIB(1), false, false, false, 0),
	QCOW2("2 MiB clusters, snapshot", "cluster_size=2M", MIB(6), true, false, true, 0),
	QCOW2("v2, backing", "compat=0.10,cluster_size=16k", MIB(3), false, false, false,
		MIB(2) + 512 * 37),
	QCOW2("zstd, snapshot", "compression_type=zstd,cluster_size=16k", MIB(3), true, true, true,
		0),
	DIRECT("direct, snapshot", "cluster_size=8k", MIB(3), true, false, true, 0),
	DIRECT("direct, backing", "cluster_size=1k", MIB(1), false, false, false, KIB(600) + 512),
	{ { "raw", "", MIB(3) + 512 * 5, true, false, false, 0, 0, 0 }, true, false },
	{ { "raw, direct", "", MIB(3) + 512 * 5, true, false, false, 0, 0, 0 }, true, true },
};

struct stress;

struct slot {
	struct stress *stress;
	struct block_request request;
	struct iovec iov[16];
	uint8_t *buffer;
	uint64_t contents;
	bool busy;
};

struct stress {
	const struct stress_kind *kind;
	char path[512];
	struct block_disk *disk;
	uint64_t sectors, seed, writes;
	struct world model; /* just its initial contents */
	uint64_t *now;      /* by sector: contents */
	bool *busy;         /* by sector */
	struct block_call begin;
	atomic_bool drain;
	atomic_uint done;
	/* The disk's thread's while it runs. */
	struct slot slots[DEPTH];
	bool filling;
};

static uint64_t random_below(struct stress *s, uint64_t below)
{
	return fake_file_random(&s->seed) % below;
}

static bool claim(struct stress *s, uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++) {
		if (s->busy[i])
			return false;
	}
	memset(s->busy + first, true, count);
	return true;
}

static void cut_up(struct stress *s, struct slot *slot)
{
	uint64_t left = slot->request.length_bytes;
	uint8_t *at = slot->buffer;
	unsigned count = 0, pieces = 1 + (unsigned)random_below(s, array_size(slot->iov));

	while (left) {
		uint64_t part = count + 1 < pieces ? 1 + random_below(s, left) : left;

		if (random_below(s, 4)) /* as most guests do */
			part = min_u64(align_up(part, 4096), left);
		if (count + 1 == array_size(slot->iov))
			part = left;
		slot->iov[count++] = (struct iovec){ at, part };
		at += part;
		left -= part;
	}
	slot->request.iov = slot->iov;
	slot->request.iov_count = count;
}

static enum block_operation choose(struct stress *s)
{
	uint64_t kind = random_below(s, 100);

	return kind < 50   ? BLOCK_WRITE
	       : kind < 80 ? BLOCK_READ
	       : kind < 87 ? BLOCK_WRITE_ZEROES
	       : kind < 94 ? BLOCK_DISCARD
			   : BLOCK_FLUSH;
}

static void begin(struct stress *s, struct slot *slot)
{
	struct block_request *request = &slot->request;
	enum block_operation operation = choose(s);
	uint64_t count = 1 + random_below(s, random_below(s, 3) ? 16 : MAX_SECTORS), first;

	/* Often in one place, so that they meet in clusters. */
	first = random_below(s, s->sectors - count + 1) >> (random_below(s, 2) ? 0 : 3);
	if (random_below(s, 2)) {
		first = align_down(first, 8);
		count = min_u64(align_up(count, 8), s->sectors - first);
	}
	if (operation == BLOCK_FLUSH)
		first = count = 0;
	else if (!claim(s, first, count))
		return;
	request->operation = operation;
	request->may_unmap = random_below(s, 2);
	request->offset_bytes = first * WORLD_SECTOR;
	request->length_bytes = count * WORLD_SECTOR;
	request->result = 1;
	slot->contents = operation == BLOCK_WRITE          ? s->writes++
			 : operation == BLOCK_WRITE_ZEROES ? WORLD_ZERO
							   : WORLD_ANY;
	if (operation == BLOCK_READ)
		memset(slot->buffer, 0x5a, request->length_bytes);
	for (uint64_t i = 0; operation == BLOCK_WRITE && i < count; i++)
		world_fill(slot->buffer + i * WORLD_SECTOR, first + i, slot->contents);
	cut_up(s, slot);
	slot->busy = true;
	s->disk->ops->submit(s->disk, request);
}

static void fill(struct stress *s)
{
	if (s->filling) /* by a request that was done inside of its submit */
		return;
	s->filling = true;
	for (unsigned i = 0; i < DEPTH && !atomic_load(&s->drain); i++) {
		if (!s->slots[i].busy)
			begin(s, &s->slots[i]);
	}
	s->filling = false;
}

static void request_done(struct block_request *request)
{
	struct slot *slot = container_of(request, struct slot, request);
	struct stress *s = slot->stress;
	uint64_t first = request->offset_bytes / WORLD_SECTOR;
	uint64_t count = request->length_bytes / WORLD_SECTOR;

	world_require(slot->busy && !request->result);
	slot->busy = false;
	for (uint64_t i = 0; i < count; i++) {
		if (request->operation == BLOCK_READ)
			world_require(world_matches(&s->model, slot->buffer + i * WORLD_SECTOR,
				first + i, s->now[first + i]));
		else
			s->now[first + i] = slot->contents;
		s->busy[first + i] = false;
	}
	atomic_fetch_add(&s->done, 1);
	fill(s);
}

static void begin_in_thread(struct block_call *call)
{
	fill(container_of(call, struct stress, begin));
}

static bool open_disk(struct stress *s)
{
	const struct block_options options = { .path = s->path,
		.format = s->kind->raw ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2,
		.cache = s->kind->direct ? BLOCK_CACHE_DIRECT : BLOCK_CACHE_WRITEBACK,
		.allow_backing = true };
	struct error err = { "" };
	int ret = block_open(&options, &s->disk, &err);

	if (ret == -EINVAL && s->kind->direct) {
		printf("%s: %s\n", s->kind->image.name, err.text);
		return false;
	}
	if (ret)
		fail_msg("%s: %s", s->kind->image.name, err.text);
	return true;
}

/* One run of the disk, stopped while requests are in flight. */
static void run_disk(struct stress *s, unsigned requests)
{
	struct error err = { "" };
	unsigned until = atomic_load(&s->done) + requests;

	for (unsigned i = 0; i < DEPTH; i++) {
		s->slots[i].request.done = request_done;
		s->slots[i].request.scratch = malloc(s->disk->scratch_bytes);
	}
	atomic_store(&s->drain, false);
	s->begin.function = begin_in_thread;
	assert_int_equal(s->disk->ops->start(s->disk, "stress", &err), 0);
	s->disk->ops->post(s->disk, &s->begin);
	while (atomic_load(&s->done) < until)
		usleep(1000);
	atomic_store(&s->drain, true);
	s->disk->ops->stop(s->disk);
	for (unsigned i = 0; i < DEPTH; i++) {
		world_require(!s->slots[i].busy);
		free(s->slots[i].request.scratch);
	}
}

static void judge(struct stress *s)
{
	struct fake_file *raw;

	if (!s->kind->raw && world_run("qemu-img check a.qcow2")) {
		world_show_log();
		fail_msg("%s", s->kind->image.name);
	}
	world_require(!world_run(
		s->kind->raw ? "cp a.raw after.raw" : "qemu-img convert -O raw a.qcow2 after.raw"));
	raw = world_load("after.raw");
	world_require(raw && raw->size_bytes == s->sectors * WORLD_SECTOR);
	for (uint64_t i = 0; i < s->sectors; i++)
		world_require(
			world_matches(&s->model, raw->bytes + i * WORLD_SECTOR, i, s->now[i]));
	fake_file_free(raw);
}

static void set_up(struct stress *s, const struct stress_kind *kind, uint64_t seed)
{
	struct fake_file *initial;

	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->seed = seed;
	s->writes = WORLD_FIRST_WRITE;
	snprintf(s->path, sizeof(s->path), "%s/a.%s", world_folder(), kind->raw ? "raw" : "qcow2");
	if (kind->raw) {
		world_write_contents("a.raw", kind->image.size_bytes, 8);
		world_require(!world_run("cp a.raw initial.raw"));
	} else {
		world_make_image(&kind->image);
	}
	initial = world_load("initial.raw");
	world_require(initial);
	s->sectors = initial->size_bytes / WORLD_SECTOR;
	s->model.initial = malloc(initial->size_bytes);
	s->now = calloc(s->sectors, sizeof(*s->now));
	s->busy = calloc(s->sectors, sizeof(*s->busy));
	world_require(s->model.initial && s->now && s->busy);
	memcpy(s->model.initial, initial->bytes, initial->size_bytes);
	fake_file_free(initial);
	for (unsigned i = 0; i < DEPTH; i++) {
		s->slots[i].stress = s;
		s->slots[i].buffer =
			aligned_alloc(4096, align_up(MAX_SECTORS * WORLD_SECTOR, 4096));
		world_require(s->slots[i].buffer);
	}
}

static void tear_down(struct stress *s)
{
	for (unsigned i = 0; i < DEPTH; i++)
		free(s->slots[i].buffer);
	free(s->model.initial);
	free(s->now);
	free(s->busy);
}

static unsigned number_from(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)atoi(text) : otherwise;
}

static void run_kind(const struct stress_kind *kind, uint64_t seed)
{
	static struct stress s;

	set_up(&s, kind, seed);
	for (unsigned i = 0; i < REOPENS && open_disk(&s); i++) {
		run_disk(&s, 400 + (unsigned)random_below(&s, 400));
		run_disk(&s, 100); /* started once more */
		s.disk->ops->destroy(s.disk);
		judge(&s);
	}
	tear_down(&s);
}

static void run_all(const char *engine)
{
	unsigned rounds = number_from("VMGUI_TEST_ROUNDS", 1);
	unsigned seed = number_from("VMGUI_TEST_SEED", 1);

	setenv("VMGUI_BLOCK_ENGINE", engine, 1);
	for (unsigned round = 0; round < rounds; round++) {
		for (size_t i = 0; i < array_size(kinds); i++) {
			if (rounds > 1 || getenv("VMGUI_TEST_VERBOSE"))
				fprintf(stderr, "%s, %s, %u\n", engine, kinds[i].image.name, round);
			run_kind(&kinds[i], (seed + round) * 1000 + i);
		}
	}
	unsetenv("VMGUI_BLOCK_ENGINE");
}

static bool have_uring(void)
{
	struct engine *engine;
	struct error err;

	if (!engine_create(ENGINE_URING, &engine, &err)) {
		engine_destroy(engine);
		return true;
	}
	print_message("%s\n", err.text);
	return false;
}

static void stress_on_io_uring_is_what_the_model_says(void **state)
{
	(void)state;
	if (!have_uring())
		skip();
	run_all("uring");
}

static void stress_on_threads_is_what_the_model_says(void **state)
{
	(void)state;
	run_all("threads");
}

/* Calls are interrupted, give short counts, or would block. */
static int64_t disturb(const struct file_call *call)
{
	static atomic_uint number;
	uint64_t state = atomic_fetch_add(&number, 1), value = fake_file_random(&state);

	switch (value % 16) {
	case 0:
		return -EINTR;
	case 1:
		return call->blocking ? 0 : -EAGAIN;
	case 2:
	case 3:
		return 1 + (int64_t)(value >> 8) % 5000;
	default:
		return 0;
	}
}

static void stress_disturbed_is_what_the_model_says(void **state)
{
	static const size_t some[] = { 0, 5, 6, 8 };

	(void)state;
	for (size_t i = 0; i < 2 * array_size(some); i++) {
		if (!(i % 2) && !have_uring())
			continue;
		setenv("VMGUI_BLOCK_ENGINE", i % 2 ? "threads" : "uring", 1);
		engine_fault = disturb;
		run_kind(&kinds[some[i / 2]], i);
		engine_fault = NULL;
	}
	unsetenv("VMGUI_BLOCK_ENGINE");
}

/* Copying what is around the data is direct, too. */

static atomic_uint cached_writes, written;

static int64_t count_cached(const struct file_call *call)
{
	if (call->kind == FILE_CALL_WRITE && !call->direct)
		atomic_fetch_add(&cached_writes, 1);
	return 0;
}

static void count_written(struct block_request *request)
{
	world_require(!request->result);
	atomic_fetch_add(&written, 1);
}

static void submit_slots(struct block_call *call)
{
	struct stress *s = container_of(call, struct stress, begin);

	for (unsigned i = 0; i < 2; i++)
		s->disk->ops->submit(s->disk, &s->slots[i].request);
}

static void copy_on_write_is_direct(void **state)
{
	static const struct stress_kind kind =
		DIRECT("direct", "cluster_size=64k", MIB(1), false, false, false, MIB(1));
	static struct stress s;
	struct error err = { "" };

	(void)state;
	set_up(&s, &kind, 1);
	if (!open_disk(&s)) {
		tear_down(&s);
		skip();
	}
	engine_fault = count_cached;
	for (unsigned i = 0; i < 2; i++) {
		struct slot *slot = &s.slots[i];

		memset(slot->buffer, 1, 4096);
		slot->iov[0] = (struct iovec){ slot->buffer, 4096 };
		slot->request =
			(struct block_request){ .operation = i ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
				.offset_bytes = MIB(1) / 2 * i + 8192,
				.length_bytes = 4096,
				.iov = slot->iov,
				.iov_count = 1,
				.done = count_written,
				.scratch = malloc(s.disk->scratch_bytes) };
	}
	s.begin.function = submit_slots;
	assert_int_equal(s.disk->ops->start(s.disk, "stress", &err), 0);
	s.disk->ops->post(s.disk, &s.begin);
	while (atomic_load(&written) < 2)
		usleep(1000);
	s.disk->ops->stop(s.disk);
	engine_fault = NULL;
	assert_int_equal(atomic_load(&cached_writes), 0);
	s.disk->ops->destroy(s.disk);
	for (unsigned i = 0; i < 2; i++)
		free(s.slots[i].request.scratch);
	tear_down(&s);
}

static int teardown(void **state)
{
	(void)state;
	world_folder_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stress_on_io_uring_is_what_the_model_says),
		cmocka_unit_test(stress_on_threads_is_what_the_model_says),
		cmocka_unit_test(stress_disturbed_is_what_the_model_says),
		cmocka_unit_test(copy_on_write_is_direct),
	};

	/* Not in memory: direct I/O, holes and page cache are what this is about. */
	setenv("TMPDIR", "/var/tmp", 0);
	if (!world_has_qemu_img()) {
		printf("skipped: qemu-img is not installed\n");
		world_folder_remove();
		return 77;
	}
	return cmocka_run_group_tests_name("block_stress", tests, NULL, teardown);
}

/* qcow2 and power cuts: from recorded writes and syncs, the states that a cut could have left. In
 * each of them the image opens, has leaks at worst, and every write that a flush covered is there.
 *
 * VMGUI_TEST_ROUNDS (default 1) is how many times 10,000 states are tried, 500 under
 * ThreadSanitizer. */
#include "cmocka_all.h"

#include "qcow2_world.h"

#ifdef __SANITIZE_THREAD__ /* one thread and twenty times slower: there is little to find */
#define STATES_PER_ROUND 500u
#else
#define STATES_PER_ROUND 10000u
#endif
#define STATES_PER_RUN 25u
#define REQUESTS       160u

static const struct world_kind kinds[] = {
	{ "v3", "cluster_size=4k", KIB(512), false, false, false, 0, 0, 128 },
	{ "v2", "compat=0.10,cluster_size=4k", KIB(512), false, false, false, 0, 0, 128 },
	{ "512-byte clusters, a small cache", "cluster_size=512", KIB(256), true, false, false, 0,
		8192, 64 },
	{ "64 KiB clusters", "cluster_size=64k", KIB(512), false, false, false, 0, 0, 0 },
	{ "snapshot", "cluster_size=1k", KIB(256), true, false, true, 0, 0, 64 },
	{ "snapshot, v2", "compat=0.10,cluster_size=4k", KIB(256), true, false, true, 0, 0, 64 },
	{ "compressed", "cluster_size=4k", KIB(256), true, true, false, 0, 0, 64 },
	{ "backing", "cluster_size=4k", KIB(256), false, false, false, KIB(200) + 512, 0, 64 },
	{ "refcounts of 1 bit", "refcount_bits=1,cluster_size=2k", KIB(256), true, false, false, 0,
		0, 64 },
};

static unsigned states, judged;

static void judge_with_qemu_img(const struct world *w, struct fake_file *crashed, bool snapshot)
{
	int status;

	(void)w;
	world_save(crashed, "crashed.qcow2");
	/* 3: leaks */
	status = world_run("qemu-img check crashed.qcow2");
	if (status && status != 3) {
		world_show_log();
		fail();
	}
	if (snapshot)
		world_require(!world_run("qemu-img snapshot -a before crashed.qcow2 && qemu-img "
					 "convert -O raw crashed.qcow2 after.raw && cmp after.raw "
					 "initial.raw"));
	judged++;
}

/* The image goes on being used after the cut. */
static void use_crashed(
	struct world *w, struct fake_file *crashed, const uint8_t *contents, uint64_t seed)
{
	struct fake_file *backing = NULL;
	struct world *next;

	if (w->backing_file)
		backing = fake_file_from(w->backing_file->bytes, w->backing_file->size_bytes);
	fake_file_reopen(crashed);
	next = world_create(crashed, backing, contents, w->cache_bytes, seed);
	next->max_sectors = w->max_sectors;
	for (unsigned i = 0; i < REQUESTS; i++)
		world_step(next);
	world_drain(next);
	world_verify(next);
	world_require(!next->failed);
	world_reopen(next);
	world_verify(next);
	world_check(next->file, true);
	world_destroy(next);
}

static void try_state(struct world *w, uint64_t time, uint64_t seed, bool snapshot)
{
	struct fake_file *crashed = fake_file_crash(w->file, time, seed), *backing = NULL;
	struct image *image;
	uint8_t *data;

	states++;
	world_check(crashed, true);
	if (w->backing_file)
		backing = fake_file_from(w->backing_file->bytes, w->backing_file->size_bytes);
	image = world_open_image(crashed, backing, 0);
	world_require(image);
	data = world_read_all(image, crashed, backing);
	for (uint64_t i = 0; i < w->sectors; i++) {
		if (world_allowed(w, i, data + i * WORLD_SECTOR, time))
			continue;
		world_explain(w, i, data + i * WORLD_SECTOR, time);
		fail_msg("seed %llu", (unsigned long long)seed);
	}
	image->ops->destroy(image);
	fake_file_free(backing);
	if (states % 400 == 0)
		judge_with_qemu_img(w, crashed, snapshot);
	if (states % 20 == 0)
		use_crashed(w, crashed, data, seed);
	else
		fake_file_free(crashed);
	free(data);
}

static void try_run(const struct world_kind *kind, uint64_t seed)
{
	struct world *w = world_make(kind, seed);

	w->history = true;
	for (unsigned i = 0; i < REQUESTS; i++) {
		world_step(w);
		if (world_random(w, 12) == 0)
			world_submit(w, BLOCK_FLUSH, 0, 0);
	}
	/* Cuts while requests are in flight, too. */
	if (world_random(w, 2))
		world_drain(w);
	for (unsigned i = 0; i < STATES_PER_RUN; i++)
		try_state(w, world_random(w, w->file->now + 1), seed * 1000 + i, kind->snapshot);
	world_drain(w);
	world_require(!w->failed);
	if (world_random(w, 2))
		world_require(!w->image->ops->settle(w->image));
	try_state(w, w->file->now, seed, kind->snapshot);
	world_destroy(w);
}

static void qcow2_power_cut_loses_nothing_flushed(void **state)
{
	const char *text = getenv("VMGUI_TEST_ROUNDS");
	unsigned rounds = text ? (unsigned)atoi(text) : 1, run = 0;

	(void)state;
	for (size_t i = 0; i < array_size(kinds); i++) {
		world_make_image(&kinds[i]);
		while (states < rounds * STATES_PER_ROUND * (i + 1) / array_size(kinds))
			try_run(&kinds[i], ++run);
	}
	printf("%u crash states, %u judged by qemu-img\n", states, judged);
}

/* One cluster of the refcount table covers 2 MiB of this image, which is nearly used. */
static void qcow2_refcount_table_moves_safely(void **state)
{
	const struct world_kind kind = { "a refcount table that moves",
		"cluster_size=512,refcount_bits=64", KIB(2500), true, false, true, 0, 0, 128 };
	unsigned moved = 0;

	(void)state;
	world_make_image(&kind);
	for (unsigned run = 0; run < 12; run++) {
		struct world *w = world_make(&kind, run);
		uint8_t before[16];

		memcpy(before, w->file->bytes + 48, 16);
		w->history = true;
		for (unsigned i = 0; i < REQUESTS; i++) {
			world_step(w);
			if (world_random(w, 30) == 0)
				world_submit(w, BLOCK_FLUSH, 0, 0);
		}
		world_drain(w);
		world_submit(w, BLOCK_FLUSH, 0, 0);
		world_drain(w);
		world_verify(w);
		moved += memcmp(before, w->file->bytes + 48, 16) != 0;
		for (unsigned i = 0; i < 20; i++)
			try_state(w, world_random(w, w->file->now + 1), run * 1000 + i, true);
		world_reopen(w);
		world_verify(w);
		world_check(w->file, false);
		world_destroy(w);
	}
	assert_true(moved > 3);
}

/* Writes fail now and then, of metadata, too, and work when tried again: the order in which things
 * reach the file stays right. Small tables, so that many are new in the same commit. */
static void qcow2_power_cut_after_failed_writes_loses_nothing(void **state)
{
	static const struct world_kind failing[] = {
		{ "new", "cluster_size=512,refcount_bits=64", KIB(512), false, false, false, 0, 0,
			16 },
		{ "snapshot", "cluster_size=512,refcount_bits=64", KIB(512), true, false, true, 0,
			0, 16 },
	};
	const struct world_kind *kind = NULL;

	(void)state;
	for (unsigned run = 0; run < 160; run++) {
		struct world *w;

		if (run % 80 == 0)
			world_make_image(kind = &failing[run / 80]);
		w = world_make(kind, run);

		w->history = true;
		w->file->fault_mask = 1u << FILE_WRITE;
		w->file->fault_errno = run % 2 ? EIO : ENOSPC;
		for (unsigned i = 0; i < REQUESTS; i++) {
			if (world_random(w, 40) == 0)
				w->file->fault_at =
					w->file->fault_count + 1 + (unsigned)world_random(w, 20);
			world_step(w);
			if (world_random(w, 12) == 0)
				world_submit(w, BLOCK_FLUSH, 0, 0);
		}
		world_drain(w);
		for (unsigned i = 0; i < 20; i++)
			try_state(w, world_random(w, w->file->now + 1), run * 1000 + i,
				kind->snapshot);
		world_destroy(w);
	}
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
		cmocka_unit_test(qcow2_power_cut_loses_nothing_flushed),
		cmocka_unit_test(qcow2_refcount_table_moves_safely),
		cmocka_unit_test(qcow2_power_cut_after_failed_writes_loses_nothing),
	};

	if (!world_has_qemu_img()) {
		printf("skipped: qemu-img is not installed\n");
		world_folder_remove();
		return 77;
	}
	return cmocka_run_group_tests_name("block_qcow2_crash", tests, NULL, teardown);
}

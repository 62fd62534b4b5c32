/* qcow2 beside the real qemu-img: images that it made are read and written by us, checked and read
 * by it. VMGUI_TEST_ROUNDS (default 1) makes it longer. */
#include "cmocka_all.h"

#include "qcow2_world.h"

static const struct world_kind kinds[] = {
	{ "v3", "compat=1.1", MIB(8), false, false, false, 0, 0, 0 },
	{ "v2", "compat=0.10", MIB(8), false, false, false, 0, 0, 0 },
	{ "v3 filled", "compat=1.1", MIB(4), true, false, false, 0, 0, 0 },
	{ "512-byte clusters", "cluster_size=512", MIB(2), false, false, false, 0, 8192, 64 },
	{ "512-byte clusters, refcounts of 64 bits", "cluster_size=512,refcount_bits=64", MIB(2),
		false, false, false, 0, 8192, 64 },
	{ "1 KiB clusters, v2, filled", "cluster_size=1k,compat=0.10", MIB(2), true, false, false,
		0, 0, 64 },
	{ "2 MiB clusters", "cluster_size=2M", MIB(9), false, false, false, 0, 0, 0 },
	{ "refcounts of 1 bit", "refcount_bits=1,cluster_size=4k", MIB(4), false, false, false, 0,
		0, 0 },
	{ "refcounts of 2 bits", "refcount_bits=2,cluster_size=4k", MIB(4), false, false, true, 0,
		0, 0 },
	{ "refcounts of 4 bits", "refcount_bits=4,cluster_size=4k", MIB(4), true, false, true, 0, 0,
		0 },
	{ "refcounts of 8 bits", "refcount_bits=8,cluster_size=4k", MIB(4), true, false, false, 0,
		0, 0 },
	{ "refcounts of 32 bits", "refcount_bits=32,cluster_size=4k", MIB(4), true, false, true, 0,
		0, 0 },
	{ "zlib", "cluster_size=64k", MIB(4), true, true, false, 0, 0, 0 },
	{ "zlib, 4 KiB clusters", "cluster_size=4k", MIB(2), true, true, true, 0, 0, 0 },
	{ "zlib, v2", "compat=0.10,cluster_size=16k", MIB(2), true, true, false, 0, 0, 0 },
	{ "zstd", "compression_type=zstd", MIB(4), true, true, false, 0, 0, 0 },
	{ "zstd, 2 MiB clusters", "compression_type=zstd,cluster_size=2M", MIB(6), true, true,
		false, 0, 0, 0 },
	{ "backing", "cluster_size=64k", MIB(4), false, false, false, MIB(4), 0, 0 },
	{ "shorter backing", "cluster_size=16k", MIB(4), false, false, false, MIB(2) + 4608, 0, 0 },
	{ "backing, v2", "compat=0.10,cluster_size=4k", MIB(2), false, false, false,
		MIB(1) + 512 * 3, 0, 0 },
	{ "snapshot", "cluster_size=16k", MIB(4), true, false, true, 0, 0, 0 },
	{ "snapshot, v2", "compat=0.10,cluster_size=4k", MIB(2), true, false, true, 0, 0, 0 },
	{ "preallocated metadata", "preallocation=metadata", MIB(4), false, false, false, 0, 0, 0 },
	{ "preallocated", "preallocation=falloc,cluster_size=4k", MIB(4), false, false, false, 0, 0,
		0 },
	{ "odd size", "cluster_size=64k", MIB(3) + 512 * 37, false, false, false, 0, 0, 0 },
};

/* qemu-img finds nothing wrong and reads what the model says. */
static void judge(struct world *w, const struct world_kind *kind)
{
	struct fake_file *raw;

	world_require(!w->image->ops->settle(w->image));
	world_check(w->file, false);
	world_save(w->file, "a.qcow2");
	if (world_run("qemu-img check a.qcow2")) {
		world_show_log();
		fail_msg("%s", kind->name);
	}
	world_require(!world_run("qemu-img convert -O raw a.qcow2 after.raw"));
	raw = world_load("after.raw");
	world_require(raw && raw->size_bytes == w->size_bytes);
	for (uint64_t i = 0; i < w->sectors; i++)
		world_require(world_matches(w, raw->bytes + i * WORLD_SECTOR, i, w->sector[i].now));
	fake_file_free(raw);
	if (!kind->snapshot)
		return;
	/* The snapshot has what was there before. */
	world_require(!world_run("qemu-img snapshot -a before a.qcow2 && qemu-img convert -O raw "
				 "a.qcow2 after.raw && cmp after.raw initial.raw"));
}

static void run_kind(const struct world_kind *kind, uint64_t seed)
{
	struct world *w = world_make(kind, seed);

	world_verify(w);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 500; i++)
			world_step(w);
		world_drain(w);
		world_verify(w);
		assert_int_equal(w->failed, 0);
		world_reopen(w);
	}
	judge(w, kind);
	world_destroy(w);
}

static unsigned rounds(void)
{
	const char *text = getenv("VMGUI_TEST_ROUNDS");

	return text ? (unsigned)atoi(text) : 1;
}

static void qcow2_random_requests_are_what_qemu_img_reads(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(kinds); i++) {
		world_make_image(&kinds[i]);
		for (unsigned round = 0; round < rounds(); round++) {
			if (rounds() > 1 || getenv("VMGUI_TEST_VERBOSE"))
				fprintf(stderr, "%s, %u\n", kinds[i].name, round);
			run_kind(&kinds[i], round * 100 + i);
			if (round + 1 < rounds())
				world_make_image(&kinds[i]);
		}
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
		cmocka_unit_test(qcow2_random_requests_are_what_qemu_img_reads),
	};

	if (!world_has_qemu_img()) {
		printf("skipped: qemu-img is not installed\n");
		world_folder_remove();
		return 77;
	}
	return cmocka_run_group_tests_name("block_qcow2", tests, NULL, teardown);
}

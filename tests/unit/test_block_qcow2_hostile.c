/* qcow2 images made to do harm: refused when opened, with a line that says why and the image
 * untouched; or, where only an entry is wrong, the request that meets it fails and no table is
 * written over. */
#include "cmocka_all.h"

#include "qcow2_world.h"

#define CLUSTER UINT64_C(4096)

static void put32(struct fake_file *file, uint64_t offset, uint32_t value)
{
	value = htobe32(value);
	memcpy(file->bytes + offset, &value, 4);
}

static void put64(struct fake_file *file, uint64_t offset, uint64_t value)
{
	value = htobe64(value);
	memcpy(file->bytes + offset, &value, 8);
}

static uint64_t get64(const struct fake_file *file, uint64_t offset)
{
	uint64_t value;

	memcpy(&value, file->bytes + offset, 8);
	return be64toh(value);
}

static uint8_t *template_bytes;
static uint64_t template_size;

/* 512 KiB of contents in 4 KiB clusters. */
static struct fake_file *image_file(void)
{
	return fake_file_from(template_bytes, template_size);
}

static int setup(void **state)
{
	const struct world_kind kind = { "template", "cluster_size=4k", KIB(512), true, false,
		false, 0, 0, 0 };
	struct fake_file *file;

	(void)state;
	world_make_image(&kind);
	file = world_load("a.qcow2");
	template_size = file->size_bytes;
	template_bytes = malloc(template_size);
	assert_non_null(template_bytes);
	memcpy(template_bytes, file->bytes, template_size);
	fake_file_free(file);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(template_bytes);
	world_folder_remove();
	return 0;
}

/* It cannot be opened, the line names the file and what is wrong, and nothing was written. */
static void expect_refused(struct fake_file *file, const char *words)
{
	struct fake_file *before = fake_file_from(file->bytes, file->size_bytes);
	struct qcow2_options options = { .cache_bytes = 0 };
	struct error err = { "" };
	struct image *image;
	int r;

	fake_file_keep(file);
	r = qcow2_open(&file->base, &options, &image, &err);
	if (!r || !strstr(err.text, words) || strncmp(err.text, "fake.img: ", 10) != 0)
		fail_msg("'%s' instead of '%s' (%d)", err.text, words, r);
	assert_true(r < 0 && r != -EIO && r != -EBUSY && r != -ENOMEM);
	assert_true(strchr(err.text, '(') && err.text[strlen(err.text) - 1] == ')');
	assert_true(file->closed);
	assert_int_equal(file->record_count, 0);
	assert_int_equal(file->size_bytes, before->size_bytes);
	assert_memory_equal(file->bytes, before->bytes, before->size_bytes);
	fake_file_free(before);
	fake_file_free(file);
}

static void expect_refused_32(uint64_t offset, uint32_t value, const char *words)
{
	struct fake_file *file = image_file();

	put32(file, offset, value);
	expect_refused(file, words);
}

static void expect_refused_64(uint64_t offset, uint64_t value, const char *words)
{
	struct fake_file *file = image_file();

	put64(file, offset, value);
	expect_refused(file, words);
}

static void qcow2_wrong_header_is_refused(void **state)
{
	(void)state;
	expect_refused_32(0, 0x514649fa, "is not a qcow2 image");
	expect_refused_32(4, 1, "version 1");
	expect_refused_32(4, 4, "version 4");
	expect_refused_32(20, 8, "cluster size");
	expect_refused_32(20, 22, "cluster size");
	expect_refused_32(20, 0xffffffff, "cluster size");
	expect_refused_64(24, UINT64_MAX, "its size");
	expect_refused_64(24, INT64_MAX, "its size");
	expect_refused_64(24, GIB(1024), "L1 table that is too short");
	expect_refused_32(32, 1, "encrypted");
	expect_refused_32(32, 2, "encrypted");
	expect_refused_32(36, 0, "L1 table that is too short");
	expect_refused_32(36, 0xffffffff, "more than 32 MiB");
	expect_refused_32(36, 4u << 20, "the L1 table lies outside");
	expect_refused_64(40, 0, "the L1 table lies outside");
	expect_refused_64(40, 513, "the L1 table lies outside");
	expect_refused_64(40, UINT64_MAX - CLUSTER + 1, "the L1 table lies outside");
	expect_refused_64(40, align_up(template_size, CLUSTER), "the L1 table lies outside");
	expect_refused_64(48, 0, "the refcount table lies outside");
	expect_refused_64(48, 8, "the refcount table lies outside");
	expect_refused_64(48, UINT64_C(1) << 62, "the refcount table lies outside");
	expect_refused_32(56, 0, "refcount table that is empty");
	expect_refused_32(56, 0xffffffff, "refcount table that is empty or above");
	expect_refused_32(56, 2048, "the refcount table lies outside");
	expect_refused_32(60, 1, "the snapshot table lies outside");
	expect_refused_32(60, 65537, "65536 snapshots");
	expect_refused_32(96, 7, "refcounts of more than 64 bits");
	expect_refused_32(100, 96, "its length");
	expect_refused_32(100, 108, "its length");
	expect_refused_32(100, 8192, "its length");
	expect_refused_64(8, UINT64_MAX, "backing file's name");
	expect_refused_64(112, UINT64_C(0x12345678fffffff0), "extension that is longer");
}

static void qcow2_features_that_are_not_there_are_refused_by_name(void **state)
{
	struct fake_file *file;

	(void)state;
	expect_refused_64(72, 1u << 2, "external data file");
	expect_refused_64(72, 1u << 4, "extended L2 entries");
	expect_refused_64(72, UINT64_C(1) << 63, "bit 63");
	expect_refused_64(72, 1u << 3, "compression type");
	expect_refused_64(72, 1u << 0, "qemu-img check -r all");
	expect_refused_64(72, 1u << 1, "qemu-img check -r all");
	/* Two that contradict each other, and a type that nobody knows. */
	file = image_file();
	file->bytes[104] = 1;
	expect_refused(file, "compression type");
	file = image_file();
	put64(file, 72, 1u << 3);
	file->bytes[104] = 2;
	expect_refused(file, "type 2");
	/* A name with what terminals understand in it. */
	file = image_file();
	put64(file, 72, UINT64_C(1) << 40);
	memset(file->bytes + 112, 0, 256);
	put32(file, 112, 0x6803f857);
	put32(file, 116, 48);
	file->bytes[120] = 0;
	file->bytes[121] = 40;
	memcpy(file->bytes + 122, "turbo\033[2Jmode", 13);
	expect_refused(file, "turbo?[2Jmode");
}

static void qcow2_dirty_and_corrupt_images_can_be_read(void **state)
{
	struct qcow2_options options = { .cache_bytes = 0 };
	struct fake_file *file = image_file();
	struct image *image;
	uint8_t *data;

	(void)state;
	put64(file, 72, 3);
	file->base.read_only = true;
	fake_file_keep(file);
	assert_int_equal(qcow2_open(&file->base, &options, &image, NULL), 0);
	assert_true(image->read_only);
	data = world_read_all(image, file, NULL);
	free(data);
	assert_int_equal(image->ops->settle(image), 0);
	image->ops->destroy(image);
	assert_false(file->wrote_read_only);
	fake_file_free(file);
}

static void qcow2_tables_that_overlap_are_refused(void **state)
{
	struct fake_file *file = image_file();
	uint64_t l1 = get64(file, 40), reftable = get64(file, 48);

	(void)state;
	/* Each in the place of another. */
	put64(file, 40, reftable);
	expect_refused(file, "overlap");
	file = image_file();
	put64(file, l1, get64(file, reftable) | QCOW2_COPIED);
	expect_refused(file, "same place");
	file = image_file();
	put64(file, l1, l1 | QCOW2_COPIED);
	expect_refused(file, "same place");
	file = image_file();
	put64(file, reftable + 8, get64(file, reftable));
	expect_refused(file, "same place");
	file = image_file();
	put64(file, l1, (get64(file, l1) & QCOW2_OFFSET_MASK) + 512);
	expect_refused(file, "entry is wrong");
	file = image_file();
	put64(file, l1, UINT64_C(1) << 50);
	expect_refused(file, "entry is wrong");
	file = image_file();
	put64(file, reftable, QCOW2_COPIED);
	expect_refused(file, "entry is wrong");
	/* A snapshot table that leads out of the file. */
	file = image_file();
	put32(file, 60, 65536);
	put64(file, 64, 5 * CLUSTER);
	expect_refused(file, "snapshot");
}

static void qcow2_backing_file_that_was_not_allowed_is_refused(void **state)
{
	struct fake_file *file = image_file();

	(void)state;
	put64(file, 8, 1024);
	put32(file, 16, 11);
	memcpy(file->bytes + 1024, "/etc/shadow", 11);
	expect_refused(file, "/etc/shadow");
}

static void qcow2_autoclear_features_are_cleared_before_writing(void **state)
{
	struct qcow2_options options = { .cache_bytes = 0 };
	struct fake_file *file = image_file();
	struct image *image;

	(void)state;
	put64(file, 88, UINT64_MAX);
	fake_file_keep(file);
	file->base.read_only = true;
	assert_int_equal(qcow2_open(&file->base, &options, &image, NULL), 0);
	image->ops->destroy(image);
	assert_true(get64(file, 88) == UINT64_MAX);
	fake_file_reopen(file);
	assert_int_equal(qcow2_open(&file->base, &options, &image, NULL), 0);
	image->ops->destroy(image);
	assert_true(get64(file, 88) == 0);
	assert_int_equal(memcmp(file->bytes, template_bytes, 88), 0);
	assert_int_equal(
		memcmp(file->bytes + 96, template_bytes + 96, (size_t)template_size - 96), 0);
	fake_file_free(file);
}

/* Bad entries in tables. */

static struct world *world_with_entry(uint64_t index, uint64_t entry)
{
	struct fake_file *file = image_file();
	uint64_t l2 = get64(file, get64(file, 40)) & QCOW2_OFFSET_MASK;
	uint8_t *initial = calloc(1, KIB(512));
	struct world *w;

	put64(file, l2 + index * 8, entry);
	fake_file_checkpoint(file);
	w = world_create(file, NULL, initial, 0, 1);
	free(initial);
	for (uint64_t i = 0; i < w->sectors; i++)
		w->sector[i].now = WORLD_ANY;
	return w;
}

static int result_of(
	struct world *w, enum block_operation operation, uint64_t first, uint64_t count)
{
	w->failed = 0;
	w->last_error = 0;
	assert_true(world_submit(w, operation, first, count));
	world_drain(w);
	return w->last_error;
}

static void qcow2_bad_l2_entry_fails_its_request_only(void **state)
{
	const uint64_t entries[] = { 513, UINT64_C(1) << 50, UINT64_C(1) << 55, 1u << 3,
		UINT64_C(1) << 61, QCOW2_COPIED, QCOW2_COPIED | QCOW2_ZERO,
		QCOW2_COPIED | (UINT64_C(1) << 40), QCOW2_COMPRESSED, QCOW2_COMPRESSED | 100,
		QCOW2_COMPRESSED | UINT64_C(0x3fffffffffffffff), UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < array_size(entries); i++) {
		struct world *w = world_with_entry(3, entries[i]);

		assert_int_equal(result_of(w, BLOCK_READ, 24, 8), -EIO);
		assert_int_equal(result_of(w, BLOCK_WRITE, 25, 2), -EIO);
		assert_int_equal(result_of(w, BLOCK_WRITE_ZEROES, 24, 8), -EIO);
		assert_int_equal(result_of(w, BLOCK_DISCARD, 24, 8), -EIO);
		assert_int_equal(result_of(w, BLOCK_READ, 0, 128), -EIO);
		assert_int_equal(result_of(w, BLOCK_READ, 16, 8), 0);
		assert_int_equal(result_of(w, BLOCK_WRITE, 16, 8), 0);
		assert_int_equal(result_of(w, BLOCK_WRITE, 32, 8), 0);
		assert_int_equal(result_of(w, BLOCK_FLUSH, 0, 0), 0);
		world_destroy(w);
	}
}

/* L2 entries that point to tables: what the guest writes there would be believed by us later. */
static void qcow2_guest_cannot_write_over_tables(void **state)
{
	struct fake_file *file = image_file();
	uint64_t l1 = get64(file, 40), l2 = get64(file, l1) & QCOW2_OFFSET_MASK;
	uint64_t reftable = get64(file, 48);
	const uint64_t places[] = { l1, l2, reftable, get64(file, reftable) };

	(void)state;
	fake_file_free(file);
	for (size_t i = 0; i < array_size(places); i++) {
		struct world *w = world_with_entry(3, places[i] | QCOW2_COPIED);
		uint8_t before[4096];

		memcpy(before, w->file->bytes + places[i], sizeof(before));
		assert_int_equal(result_of(w, BLOCK_WRITE, 24, 8), -EIO);
		assert_int_equal(result_of(w, BLOCK_WRITE, 30, 1), -EIO);
		/* Nor through a zero cluster that keeps its place, nor by giving it back. */
		assert_int_equal(result_of(w, BLOCK_FLUSH, 0, 0), 0);
		assert_memory_equal(before, w->file->bytes + places[i], sizeof(before));
		assert_int_equal(result_of(w, BLOCK_DISCARD, 24, 8), 0);
		assert_int_equal(result_of(w, BLOCK_FLUSH, 0, 0), 0);
		for (unsigned j = 0; j < 20; j++)
			assert_int_equal(result_of(w, BLOCK_DISCARD, 64 + j * 8, 8), 0);
		assert_int_equal(result_of(w, BLOCK_FLUSH, 0, 0), 0);
		for (unsigned j = 0; j < 20; j++)
			assert_int_equal(result_of(w, BLOCK_WRITE, 64 + j * 8, 8), 0);
		assert_int_equal(w->image->ops->settle(w->image), 0);
		world_check(w->file, true);
		world_destroy(w);
		w = world_with_entry(3, places[i] | QCOW2_COPIED | QCOW2_ZERO);
		assert_int_equal(result_of(w, BLOCK_WRITE, 24, 8), -EIO);
		world_destroy(w);
	}
}

/* Refcounts of 0 for everything: new clusters never come to lie on tables that are in use. */
static void qcow2_allocation_stays_off_tables_without_refcounts(void **state)
{
	struct fake_file *file = image_file();
	uint64_t refblock = get64(file, get64(file, 48)), l1 = get64(file, 40), end, writes;
	uint8_t *initial = calloc(1, KIB(512));
	struct world *w;

	(void)state;
	memset(file->bytes + refblock, 0, CLUSTER);
	/* And an empty disk, so that all of it gets allocated. */
	memset(file->bytes + (get64(file, l1) & QCOW2_OFFSET_MASK), 0, CLUSTER);
	fake_file_checkpoint(file);
	w = world_create(file, NULL, initial, 0, 1);
	free(initial);
	for (uint64_t i = 0; i < w->sectors; i++)
		w->sector[i].now = WORLD_ZERO;
	for (uint64_t i = 0; i < w->sectors; i += 8)
		assert_int_equal(result_of(w, BLOCK_WRITE, i, 8), 0);
	world_verify(w);
	writes = 0;
	end = w->file->record_count;
	for (uint64_t i = 0; i < end; i++) {
		const struct fake_record *record = &w->file->records[i];
		uint64_t at = record->offset_bytes;

		if (record->operation != FILE_WRITE)
			continue;
		writes++;
		assert_true(at >= CLUSTER);
		assert_true(at != l1 && at != refblock && at != get64(w->file, 48) &&
			    at != (get64(w->file, l1) & QCOW2_OFFSET_MASK));
	}
	assert_int_equal(writes, KIB(512) / CLUSTER);
	world_destroy(w);
}

static void qcow2_packed_nonsense_fails_its_request(void **state)
{
	/* A descriptor of one sector of a data cluster. */
	struct world *w = world_with_entry(3, QCOW2_COMPRESSED | (8 * CLUSTER + 77));

	(void)state;
	memset(w->file->bytes + 8 * CLUSTER, 0x77, CLUSTER);
	assert_int_equal(result_of(w, BLOCK_READ, 24, 8), -EIO);
	assert_int_equal(result_of(w, BLOCK_WRITE, 25, 1), -EIO);
	assert_int_equal(result_of(w, BLOCK_WRITE, 24, 8), 0);
	assert_int_equal(result_of(w, BLOCK_READ, 24, 8), 0);
	world_destroy(w);
}

static void qcow2_overlay_holds_what_is_written_over_another_image(void **state)
{
	struct fake_file *base = image_file(), *file = fake_file_create(0);
	struct qcow2_options options = { .cache_bytes = 0 };
	struct error err = { "" };
	struct image *image;
	uint8_t *before, *after;

	(void)state;
	fake_file_keep(base);
	base->base.read_only = true;
	assert_int_equal(qcow2_open(&base->base, &options, &options.backing, &err), 0);
	before = world_read_all(options.backing, base, NULL);
	assert_int_equal(qcow2_create_overlay(&file->base, KIB(512), &err), 0);
	fake_file_keep(file);
	assert_int_equal(qcow2_open(&file->base, &options, &image, &err), 0);
	assert_int_equal(image->size_bytes, KIB(512));
	after = world_read_all(image, file, base);
	assert_memory_equal(before, after, KIB(512));
	assert_int_equal(image->ops->settle(image), 0);
	image->ops->destroy(image);
	world_check(file, false);
	world_save(file, "overlay.qcow2");
	assert_int_equal(world_run("qemu-img check overlay.qcow2"), 0);
	free(before);
	free(after);
	fake_file_free(base);
	fake_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_wrong_header_is_refused),
		cmocka_unit_test(qcow2_features_that_are_not_there_are_refused_by_name),
		cmocka_unit_test(qcow2_dirty_and_corrupt_images_can_be_read),
		cmocka_unit_test(qcow2_tables_that_overlap_are_refused),
		cmocka_unit_test(qcow2_backing_file_that_was_not_allowed_is_refused),
		cmocka_unit_test(qcow2_autoclear_features_are_cleared_before_writing),
		cmocka_unit_test(qcow2_bad_l2_entry_fails_its_request_only),
		cmocka_unit_test(qcow2_guest_cannot_write_over_tables),
		cmocka_unit_test(qcow2_allocation_stays_off_tables_without_refcounts),
		cmocka_unit_test(qcow2_packed_nonsense_fails_its_request),
		cmocka_unit_test(qcow2_overlay_holds_what_is_written_over_another_image),
	};

	if (!world_has_qemu_img()) {
		printf("skipped: qemu-img is not installed\n");
		world_folder_remove();
		return 77;
	}
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests_name("block_qcow2_hostile", tests, setup, teardown);
}

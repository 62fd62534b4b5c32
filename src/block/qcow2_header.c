/* qcow2: the header with its extensions, the snapshot table, and new images.
 *
 * All of it may have been written by somebody hostile: nothing here is believed before it has been
 * held against the file's size and fixed limits. Threads: see qcow2.h.
 * Specification: Qcow2 Image File Format, "Header", "Header extensions", "Feature name table",
 * "Snapshots". */
#include "block/qcow2.h"

#include <stdio.h>
#include <stdlib.h>

#define MAGIC              0x514649fbu /* "QFI", 0xfb */
#define V2_HEADER_BYTES    72u
#define V3_HEADER_BYTES    104u
#define SNAPSHOT_BYTES     40u /* the fixed part of an entry */
#define MAX_SNAPSHOT_EXTRA 1024u

enum {
	EXTENSION_END = 0,
	EXTENSION_BACKING_FORMAT = (int)0xe2792aca,
	EXTENSION_FEATURE_NAMES = 0x6803f857,
};

#define FEATURE_NAME_ENTRY_BYTES 48u
#define FEATURE_NAME_BYTES       46u

/* What create_overlay makes. */
#define NEW_CLUSTER_BITS   16u
#define NEW_REFCOUNT_ORDER 4u

static uint32_t get32(const uint8_t *data)
{
	uint32_t raw;

	memcpy(&raw, data, 4);
	return be32toh(raw);
}

static uint64_t get64(const uint8_t *data)
{
	uint64_t raw;

	memcpy(&raw, data, 8);
	return be64toh(raw);
}

static void put32(uint8_t *data, uint32_t value)
{
	value = htobe32(value);
	memcpy(data, &value, 4);
}

static void put64(uint8_t *data, uint64_t value)
{
	value = htobe64(value);
	memcpy(data, &value, 8);
}

static int read_failed(const struct block_file *file, int r, struct error *err)
{
	return error_set(err, -r, "%s: cannot be read: %s", file->path, strerror(-r));
}

static int damaged(const struct block_file *file, const char *what, struct error *err)
{
	return error_set(err, EINVAL,
		"%s: the image's header is wrong: %s (restore it from a copy, or try qemu-img "
		"check)",
		file->path, what);
}

/* What is in front of the extensions, and small enough to be looked at by itself. */
static int parse_fixed(const struct block_file *file, struct qcow2_header *header,
	uint32_t *header_bytes, struct error *err)
{
	const uint8_t *raw = header->sector;

	if (get32(raw) != MAGIC)
		return error_set(err, EINVAL,
			"%s: is not a qcow2 image (if it is a raw one, say format=raw, or "
			"backing-format=raw for a backing file)",
			file->path);
	header->version = get32(raw + 4);
	if (header->version != 2 && header->version != 3)
		return error_set(err, EINVAL,
			"%s: is qcow2 version %u; 2 and 3 are known (convert it with qemu-img "
			"convert)",
			file->path, header->version);
	header->cluster_bits = get32(raw + 20);
	header->size_bytes = get64(raw + 24);
	header->l1_entries = get32(raw + 36);
	header->l1_offset = get64(raw + 40);
	header->reftable_offset = get64(raw + 48);
	header->reftable_clusters = get32(raw + 56);
	header->snapshots = get32(raw + 60);
	header->snapshots_offset = get64(raw + 64);
	header->refcount_order = 4;
	*header_bytes = V2_HEADER_BYTES;
	if (header->version == 3) {
		header->incompatible = get64(raw + 72);
		header->autoclear = get64(raw + 88);
		header->refcount_order = get32(raw + 96);
		*header_bytes = get32(raw + 100);
	}
	if (header->cluster_bits < QCOW2_MIN_CLUSTER_BITS ||
		header->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
		return damaged(file, "a cluster size that is not from 512 to 2 MiB", err);
	if (header->refcount_order > 6)
		return damaged(file, "refcounts of more than 64 bits", err);
	if (header->version == 3 && (*header_bytes < V3_HEADER_BYTES || *header_bytes % 8 ||
					    *header_bytes > UINT64_C(1) << header->cluster_bits))
		return damaged(file, "its length", err);
	if (get32(raw + 32))
		return error_set(err, EINVAL,
			"%s: is encrypted, which vmgui cannot read (convert it with qemu-img "
			"convert)",
			file->path);
	return 0;
}

/* The name that the image gives a feature bit, or a number. */
static void feature_name(const uint8_t *names, size_t bytes, unsigned bit, char *name, size_t size)
{
	snprintf(name, size, "bit %u", bit);
	for (; bytes >= FEATURE_NAME_ENTRY_BYTES;
		names += FEATURE_NAME_ENTRY_BYTES, bytes -= FEATURE_NAME_ENTRY_BYTES) {
		if (names[0] || names[1] != bit || !names[2])
			continue;
		snprintf(name, size, "%.*s", (int)FEATURE_NAME_BYTES, (const char *)names + 2);
		for (; *name; name++) {
			if (*name < 0x20 || *name > 0x7e)
				*name = '?';
		}
		return;
	}
}

static int check_features(const struct block_file *file, const struct qcow2_header *header,
	const uint8_t *names, size_t names_bytes, struct error *err)
{
	const uint64_t known = QCOW2_DIRTY | QCOW2_CORRUPT | QCOW2_COMPRESSION_TYPE;
	uint64_t unknown = header->incompatible & ~known;
	char name[FEATURE_NAME_BYTES + 1];
	const char *what = name;

	if (!unknown)
		return 0;
	if (unknown & QCOW2_DATA_FILE)
		what = "external data file";
	else if (unknown & QCOW2_EXTENDED_L2)
		what = "extended L2 entries";
	else
		feature_name(
			names, names_bytes, (unsigned)__builtin_ctzll(unknown), name, sizeof(name));
	return error_set(err, EINVAL,
		"%s: uses a feature that vmgui does not have: %s (convert it with qemu-img "
		"convert)",
		file->path, what);
}

static int parse_backing_format(const struct block_file *file, struct qcow2_header *header,
	const uint8_t *data, size_t length, struct error *err)
{
	char *format = header->backing.format;

	if (length >= sizeof(header->backing.format))
		return damaged(file, "a backing format's name that is too long", err);
	memcpy(format, data, length);
	format[length] = '\0';
	/* What old images say for raw. */
	if (!strcmp(format, "file") || !strcmp(format, "host_device"))
		memcpy(format, "raw", sizeof("raw"));
	if (*format && strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0)
		return error_set(err, EINVAL,
			"%s: its backing file's format is '%s'; raw and qcow2 are known (convert "
			"it with qemu-img convert)",
			file->path, format);
	return 0;
}

/* raw: the first cluster, up to `end`. */
static int parse_extensions(const struct block_file *file, struct qcow2_header *header,
	const uint8_t *raw, size_t start, size_t end, struct error *err)
{
	const uint8_t *names = NULL;
	size_t names_bytes = 0;
	uint32_t type, length;
	int r;

	while (start <= end && end - start >= 8) {
		type = get32(raw + start);
		length = get32(raw + start + 4);
		start += 8;
		if (type == EXTENSION_END)
			break;
		if (length > end - start)
			return damaged(file, "an extension that is longer than its room", err);
		if (type == (uint32_t)EXTENSION_BACKING_FORMAT) {
			r = parse_backing_format(file, header, raw + start, length, err);
			if (r)
				return r;
		} else if (type == EXTENSION_FEATURE_NAMES) {
			names = raw + start;
			names_bytes = length;
		}
		start += align_up(length, 8);
	}
	return check_features(file, header, names, names_bytes, err);
}

static int parse_backing_name(const struct block_file *file, struct qcow2_header *header,
	const uint8_t *raw, size_t cluster_bytes, uint64_t offset, struct error *err)
{
	uint32_t length = get32(raw + 16);

	header->backing.name[0] = '\0';
	if (!offset) {
		header->backing.format[0] = '\0';
		return 0;
	}
	if (length >= sizeof(header->backing.name) || !range_fits(offset, length, cluster_bytes))
		return damaged(file, "the place of its backing file's name", err);
	memcpy(header->backing.name, raw + offset, length);
	header->backing.name[length] = '\0';
	if (strlen(header->backing.name) != length)
		return damaged(file, "its backing file's name", err);
	return 0;
}

static int check_table(const struct block_file *file, const struct qcow2_header *header,
	uint64_t offset, uint64_t bytes, uint64_t file_bytes, const char *what, struct error *err)
{
	uint64_t cluster_bytes = UINT64_C(1) << header->cluster_bits;

	if (offset % cluster_bytes || !offset || offset >= QCOW2_END_OF_OFFSETS ||
		!range_fits(offset, bytes, align_up(file_bytes, cluster_bytes)))
		return error_set(err, EINVAL,
			"%s: the image's header is wrong: %s lies outside of the file (restore it "
			"from a copy, or try qemu-img check)",
			file->path, what);
	return 0;
}

static int check_tables(const struct block_file *file, const struct qcow2_header *header,
	uint64_t file_bytes, struct error *err)
{
	uint64_t l2_covers = UINT64_C(1) << (2 * header->cluster_bits - 3);
	uint64_t l1_bytes = (uint64_t)header->l1_entries * 8;
	uint64_t reftable_bytes = (uint64_t)header->reftable_clusters << header->cluster_bits;
	int r;

	/* Beyond that, offsets do not fit in what the system calls take. */
	if (header->size_bytes > INT64_MAX - GIB(1))
		return damaged(file, "its size", err);
	if (l1_bytes > QCOW2_MAX_L1_BYTES)
		return damaged(file, "an L1 table of more than 32 MiB", err);
	if (header->size_bytes > header->l1_entries * l2_covers)
		return damaged(file, "an L1 table that is too short for its size", err);
	if (l1_bytes) {
		r = check_table(
			file, header, header->l1_offset, l1_bytes, file_bytes, "the L1 table", err);
		if (r)
			return r;
	}
	if (!reftable_bytes || reftable_bytes > QCOW2_MAX_REFTABLE_BYTES)
		return damaged(file, "a refcount table that is empty or above 8 MiB", err);
	r = check_table(file, header, header->reftable_offset, reftable_bytes, file_bytes,
		"the refcount table", err);
	if (r)
		return r;
	if (header->snapshots > QCOW2_MAX_SNAPSHOTS)
		return damaged(file, "more than 65536 snapshots", err);
	if (header->snapshots)
		return check_table(file, header, header->snapshots_offset,
			(uint64_t)header->snapshots * SNAPSHOT_BYTES, file_bytes,
			"the snapshot table", err);
	return 0;
}

static int parse_compression(const struct block_file *file, struct qcow2_header *header,
	uint32_t header_bytes, struct error *err)
{
	unsigned type = header->version == 3 && header_bytes > 104 ? header->sector[104] : 0;

	if (!(header->incompatible & QCOW2_COMPRESSION_TYPE) != !type)
		return damaged(file, "a compression type that its features contradict", err);
	if (type > QCOW2_ZSTD)
		return error_set(err, EINVAL,
			"%s: is compressed in a way that vmgui does not know: type %u (convert it "
			"with qemu-img convert)",
			file->path, type);
	header->compression = (enum qcow2_compression)type;
	return 0;
}

int qcow2_header_read(struct block_file *file, struct qcow2_header *header, struct error *err)
{
	uint64_t file_bytes, backing_offset;
	uint32_t header_bytes = 0;
	size_t cluster_bytes;
	uint8_t *raw;
	int r;

	memset(header, 0, sizeof(*header));
	r = file->ops->size(file, &file_bytes);
	if (!r)
		r = file->ops->read(file, 0, header->sector, sizeof(header->sector));
	if (r)
		return read_failed(file, r, err);
	r = parse_fixed(file, header, &header_bytes, err);
	if (r)
		return r;
	backing_offset = get64(header->sector + 8);
	cluster_bytes = (size_t)1 << header->cluster_bits;
	raw = malloc(cluster_bytes);
	if (!raw)
		return error_set(err, ENOMEM, "%s: out of memory", file->path);
	r = file->ops->read(file, 0, raw, cluster_bytes);
	if (r) {
		r = read_failed(file, r, err);
		goto free_raw;
	}
	/* What was read first stands: the file may change under us. */
	memcpy(raw, header->sector, sizeof(header->sector));
	r = parse_extensions(file, header, raw, header_bytes,
		backing_offset ? min_u64(backing_offset, cluster_bytes) : cluster_bytes, err);
	if (!r)
		r = parse_backing_name(file, header, raw, cluster_bytes, backing_offset, err);
	if (!r)
		r = parse_compression(file, header, header_bytes, err);
	if (!r)
		r = check_tables(file, header, file_bytes, err);
free_raw:
	free(raw);
	return r;
}

int qcow2_header_check_writable(
	const struct block_file *file, const struct qcow2_header *header, struct error *err)
{
	if (header->incompatible & QCOW2_CORRUPT)
		return error_set(err, EINVAL,
			"%s: the image is marked as corrupt (repair it with qemu-img check -r all, "
			"or "
			"open it with ro)",
			file->path);
	if (header->incompatible & QCOW2_DIRTY)
		return error_set(err, EINVAL,
			"%s: the image was not closed and its refcounts are not up to date (repair "
			"it with qemu-img check -r all, or open it with ro)",
			file->path);
	return 0;
}

int qcow2_snapshot_read(struct block_file *file, const struct qcow2_header *header, uint64_t offset,
	struct qcow2_snapshot *snapshot, struct error *err)
{
	uint64_t l1_bytes, file_bytes;
	uint8_t raw[SNAPSHOT_BYTES];
	uint32_t extra_bytes;
	int r;

	r = file->ops->size(file, &file_bytes);
	if (!r)
		r = file->ops->read(file, offset, raw, sizeof(raw));
	if (r)
		return read_failed(file, r, err);
	snapshot->l1_offset = get64(raw);
	snapshot->l1_entries = get32(raw + 8);
	extra_bytes = get32(raw + 36);
	if (extra_bytes > MAX_SNAPSHOT_EXTRA)
		return damaged(file, "a snapshot's length", err);
	snapshot->next = offset + align_up(SNAPSHOT_BYTES + extra_bytes +
						   (((unsigned)raw[12] << 8) | raw[13]) +
						   (((unsigned)raw[14] << 8) | raw[15]),
					  8);
	if (snapshot->next > align_up(file_bytes, UINT64_C(1) << header->cluster_bits))
		return damaged(file, "a snapshot table that goes on outside of the file", err);
	l1_bytes = (uint64_t)snapshot->l1_entries * 8;
	if (l1_bytes > QCOW2_MAX_L1_BYTES)
		return damaged(file, "a snapshot's L1 table of more than 32 MiB", err);
	if (!l1_bytes)
		return 0;
	return check_table(file, header, snapshot->l1_offset, l1_bytes, file_bytes,
		"a snapshot's L1 table", err);
}

int qcow2_read_backing(struct block_file *file, struct qcow2_backing *backing, struct error *err)
{
	struct qcow2_header header;
	int r = qcow2_header_read(file, &header, err);

	if (!r)
		*backing = header.backing;
	return r;
}

/* header | refcount table | refcount block | L1 table (a hole: nothing allocated). Nobody looks at
 * the file before it is complete, so that the order of the writes does not matter. */
int qcow2_create_overlay(struct block_file *file, uint64_t size_bytes, struct error *err)
{
	const uint64_t cluster_bytes = UINT64_C(1) << NEW_CLUSTER_BITS;
	const uint64_t l2_covers = cluster_bytes * (cluster_bytes / 8);
	uint64_t l1_entries = size_bytes / l2_covers + (size_bytes % l2_covers != 0);
	uint64_t l1_clusters = align_up(l1_entries * 8, cluster_bytes) / cluster_bytes;
	uint64_t clusters = 3 + l1_clusters;
	uint8_t header[V3_HEADER_BYTES + 16] = { 0 }, reftable[8], *refcounts;
	int r;

	if (l1_entries * 8 > QCOW2_MAX_L1_BYTES)
		return error_set(
			err, EFBIG, "%s: a disk of that size is too big for qcow2", file->path);
	put32(header, MAGIC);
	put32(header + 4, 3);
	put32(header + 20, NEW_CLUSTER_BITS);
	put64(header + 24, size_bytes);
	put32(header + 36, (uint32_t)l1_entries);
	put64(header + 40, 3 * cluster_bytes);
	put64(header + 48, cluster_bytes);
	put32(header + 56, 1);
	put32(header + 96, NEW_REFCOUNT_ORDER);
	put32(header + 100, V3_HEADER_BYTES + 8);
	put64(reftable, 2 * cluster_bytes);
	refcounts = calloc(1, clusters * 2);
	if (!refcounts)
		return error_set(err, ENOMEM, "%s: out of memory", file->path);
	for (uint64_t i = 0; i < clusters; i++)
		qcow2_refcount_store(refcounts, NEW_REFCOUNT_ORDER, i, 1);
	r = file->ops->truncate(file, 0);
	if (!r)
		r = file->ops->truncate(file, clusters * cluster_bytes);
	if (!r)
		r = file->ops->write(file, 2 * cluster_bytes, refcounts, clusters * 2);
	if (!r)
		r = file->ops->write(file, cluster_bytes, reftable, sizeof(reftable));
	if (!r)
		r = file->ops->write(file, 0, header, sizeof(header));
	if (r)
		r = error_set(err, -r, "%s: cannot be written: %s (TMPDIR names another folder)",
			file->path, strerror(-r));
	free(refcounts);
	return r;
}

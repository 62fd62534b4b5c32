/* A qcow2 image on a fake file, a model of what the disk must contain, and random requests to it.
 *
 * Every sector that is written has contents of its own (its number and the write's), so that a
 * sector read later says which write it is from, or that it is torn or mixed up. Requests that are
 * in flight together never overlap in a sector, but they do in clusters. The whole history of each
 * sector is kept: a test of crashes asks which contents a crash at some time may have left.
 *
 * Images come from the real qemu-img, which also judges the results. Threads: one. Header-only. */
#ifndef VMGUI_TESTS_QCOW2_WORLD_H
#define VMGUI_TESTS_QCOW2_WORLD_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/qcow2.h"
#include "fake_file.h"

#define WORLD_SLOTS     12u
#define WORLD_MAX_BYTES (192u << 10)
#define WORLD_SECTOR    512u
#define world_require(condition)                                                                   \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What a sector holds: INITIAL: world->initial; ZERO; ANY: nobody may ask; else a write's number.
 */
enum {
	WORLD_INITIAL,
	WORLD_ZERO,
	WORLD_ANY,
	WORLD_FIRST_WRITE,
};

struct world_version {
	uint64_t contents, submitted, done; /* ticks; done 0: in flight or failed */
};

struct world_sector {
	struct world_version *versions;
	size_t count, allocated;
	uint64_t now; /* contents */
	bool busy;
};

struct world_flush {
	uint64_t submitted, done;
};

struct world;

struct world_slot {
	struct block_request request;
	struct world *world;
	struct iovec iov[40];
	uint8_t *buffer;
	void *scratch;
	uint64_t contents, submitted;
	bool busy;
};

struct world {
	struct fake_file *file, *backing_file;
	struct image *image;
	uint64_t size_bytes, sectors;
	uint8_t *initial;
	struct world_sector *sector;
	struct world_flush *flushes;
	size_t flush_count, flush_allocated;
	struct world_slot slots[WORLD_SLOTS];
	unsigned in_flight;
	uint64_t seed, writes;
	uint64_t cache_bytes;
	unsigned max_sectors;                /* of a request */
	unsigned failed, failed_flushes, ok; /* requests; ok: of all kinds */
	int last_error;
	bool history; /* keep the sectors' versions */
};

/* The folder for images, and commands in it. */

static inline const char *world_folder(void)
{
	static char folder[256];

	if (!*folder) {
		const char *base = getenv("TMPDIR");

		/* In memory where that can be: qemu-img syncs a lot. */
		if (!base)
			base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
		snprintf(folder, sizeof(folder), "%s/vmgui-qcow2-XXXXXX", base);
		world_require(mkdtemp(folder));
	}
	return folder;
}

static inline void world_folder_remove(void)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'", world_folder());
	world_require(!system(command));
}

/* The exit status. */
static inline int world_run(const char *format, ...) VMGUI_PRINTF(1, 2);
static inline int world_run(const char *format, ...)
{
	char text[1024], command[2048];
	va_list arguments;
	int status;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(command, sizeof(command), "cd '%s' && { %s; } >log 2>&1", world_folder(), text);
	status = system(command);
	world_require(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline bool world_has_qemu_img(void)
{
	return !world_run("qemu-img --version");
}

static inline struct fake_file *world_load(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", world_folder(), name);
	return fake_file_load(path);
}

static inline void world_save(const struct fake_file *file, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", world_folder(), name);
	world_require(!fake_file_save(file, path));
}

static inline void world_show_log(void)
{
	char command[512];

	snprintf(command, sizeof(command), "cat '%s/log' >&2", world_folder());
	if (system(command))
		return;
}

/* Contents. */

static inline void world_fill(uint8_t *sector, uint64_t number, uint64_t contents)
{
	for (unsigned i = 0; i < WORLD_SECTOR / 16; i++) {
		memcpy(sector + i * 16, &number, 8);
		memcpy(sector + i * 16 + 8, &contents, 8);
	}
}

static inline bool world_matches(
	const struct world *w, const uint8_t *sector, uint64_t number, uint64_t contents)
{
	static const uint8_t zeroes[WORLD_SECTOR];
	uint8_t expected[WORLD_SECTOR];

	switch (contents) {
	case WORLD_ANY:
		return true;
	case WORLD_ZERO:
		return !memcmp(sector, zeroes, WORLD_SECTOR);
	case WORLD_INITIAL:
		return !memcmp(sector, w->initial + number * WORLD_SECTOR, WORLD_SECTOR);
	default:
		world_fill(expected, number, contents);
		return !memcmp(sector, expected, WORLD_SECTOR);
	}
}

/* Opening. */

static inline struct image *world_open_image(
	struct fake_file *file, struct fake_file *backing_file, uint64_t cache_bytes)
{
	struct qcow2_options options = { .cache_bytes = cache_bytes };
	struct error err = { "" };
	struct image *image;
	int r;

	if (backing_file) {
		fake_file_keep(backing_file);
		fake_file_reopen(backing_file);
		backing_file->base.read_only = true;
		world_require(!raw_open(&backing_file->base, &options.backing, &err));
	}
	fake_file_keep(file);
	r = qcow2_open(&file->base, &options, &image, &err);
	if (r)
		fprintf(stderr, "open: %s\n", err.text);
	return r ? NULL : image;
}

/* Takes the files over. initial: size_bytes of them, copied. */
static inline struct world *world_create(struct fake_file *file, struct fake_file *backing_file,
	const uint8_t *initial, uint64_t cache_bytes, uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	world_require(w);
	w->file = file;
	w->backing_file = backing_file;
	w->cache_bytes = cache_bytes;
	w->seed = seed;
	w->writes = WORLD_FIRST_WRITE;
	w->max_sectors = WORLD_MAX_BYTES / WORLD_SECTOR;
	w->image = world_open_image(file, backing_file, cache_bytes);
	world_require(w->image);
	w->size_bytes = w->image->size_bytes;
	w->sectors = w->size_bytes / WORLD_SECTOR;
	w->initial = malloc(w->size_bytes);
	w->sector = calloc(w->sectors, sizeof(*w->sector));
	world_require(w->initial && w->sector);
	memcpy(w->initial, initial, w->size_bytes);
	for (unsigned i = 0; i < WORLD_SLOTS; i++) {
		w->slots[i].buffer = malloc(WORLD_MAX_BYTES);
		w->slots[i].scratch = malloc(w->image->scratch_bytes);
		w->slots[i].world = w;
		world_require(w->slots[i].buffer && w->slots[i].scratch);
	}
	return w;
}

static inline void world_destroy(struct world *w)
{
	if (w->image)
		w->image->ops->destroy(w->image);
	fake_file_free(w->file);
	fake_file_free(w->backing_file);
	for (uint64_t i = 0; i < w->sectors; i++)
		free(w->sector[i].versions);
	for (unsigned i = 0; i < WORLD_SLOTS; i++) {
		free(w->slots[i].buffer);
		free(w->slots[i].scratch);
	}
	free(w->sector);
	free(w->flushes);
	free(w->initial);
	free(w);
}

/* Requests. */

static inline uint64_t world_random(struct world *w, uint64_t below)
{
	return fake_file_random(&w->seed) % below;
}

static inline void world_done(struct block_request *request)
{
	struct world_slot *slot = container_of(request, struct world_slot, request);
	struct world *w = slot->world;
	uint64_t first = request->offset_bytes / WORLD_SECTOR;
	uint64_t count = request->length_bytes / WORLD_SECTOR;

	world_require(slot->busy);
	slot->busy = false;
	w->file->now++;
	w->in_flight--;
	if (request->result) {
		w->failed++;
		w->last_error = request->result;
		w->failed_flushes += request->operation == BLOCK_FLUSH;
	} else {
		w->ok++;
	}
	if (request->operation == BLOCK_FLUSH && !request->result) {
		w->flushes = fake_file_grow(
			w->flushes, &w->flush_allocated, w->flush_count, sizeof(*w->flushes));
		w->flushes[w->flush_count++] =
			(struct world_flush){ slot->submitted, w->file->now };
	}
	if (request->operation == BLOCK_FLUSH)
		return;
	for (uint64_t i = first; i < first + count; i++) {
		struct world_sector *sector = &w->sector[i];

		sector->busy = false;
		if (request->operation == BLOCK_READ) {
			world_require(request->result ||
				      world_matches(w, slot->buffer + (i - first) * WORLD_SECTOR, i,
					      sector->now));
			continue;
		}
		/* A write that failed may have changed a part of them. */
		sector->now = request->result ? WORLD_ANY : slot->contents;
		if (w->history && !request->result)
			sector->versions[sector->count - 1].done = w->file->now;
	}
}

static inline void world_prepare_iov(struct world *w, struct world_slot *slot)
{
	uint64_t left = slot->request.length_bytes;
	uint8_t *at = slot->buffer;
	unsigned count = 0, pieces = 1 + (unsigned)world_random(w, 39);

	while (left) {
		uint64_t part = left;

		if (count + 1 < pieces)
			part = world_random(w, 4) ? min_u64(left, 4096) : 1 + world_random(w, left);
		slot->iov[count].iov_base = at;
		slot->iov[count++].iov_len = part;
		at += part;
		left -= part;
	}
	slot->request.iov = slot->iov;
	slot->request.iov_count = count;
}

/* Submits one; false: no slot is free, or a sector of it is in use. */
static inline bool world_submit(
	struct world *w, enum block_operation operation, uint64_t first, uint64_t count)
{
	struct world_slot *slot = NULL;
	struct block_request *request;

	for (unsigned i = 0; i < WORLD_SLOTS && !slot; i++) {
		if (!w->slots[i].busy)
			slot = &w->slots[i];
	}
	for (uint64_t i = first; i < first + count; i++) {
		if (w->sector[i].busy)
			return false;
	}
	if (!slot)
		return false;
	request = &slot->request;
	*request = (struct block_request){ .operation = operation,
		.may_unmap = world_random(w, 2),
		.offset_bytes = first * WORLD_SECTOR,
		.length_bytes = count * WORLD_SECTOR,
		.result = 1,
		.done = world_done,
		.scratch = slot->scratch };
	slot->contents = operation == BLOCK_WRITE          ? w->writes++
			 : operation == BLOCK_WRITE_ZEROES ? WORLD_ZERO
							   : WORLD_ANY;
	/* A tick of its own: what is in memory only takes none. */
	slot->submitted = ++w->file->now;
	for (uint64_t i = first; i < first + count; i++) {
		struct world_sector *sector = &w->sector[i];

		sector->busy = true;
		if (operation == BLOCK_WRITE)
			world_fill(slot->buffer + (i - first) * WORLD_SECTOR, i, slot->contents);
		if (!w->history || operation == BLOCK_READ)
			continue;
		sector->versions = fake_file_grow(sector->versions, &sector->allocated,
			sector->count, sizeof(*sector->versions));
		sector->versions[sector->count++] =
			(struct world_version){ slot->contents, slot->submitted, 0 };
	}
	if (operation == BLOCK_READ)
		memset(slot->buffer, 0x5a, count * WORLD_SECTOR);
	if (operation == BLOCK_READ || operation == BLOCK_WRITE)
		world_prepare_iov(w, slot);
	slot->busy = true;
	w->in_flight++;
	w->image->ops->submit(w->image, request);
	return true;
}

static inline void world_submit_random(struct world *w)
{
	unsigned kind = (unsigned)world_random(w, 100);
	uint64_t count =
		1 + world_random(w, min_u64(w->sectors, world_random(w, 3) ? 16 : w->max_sectors));
	uint64_t first = world_random(w, w->sectors - count + 1);

	if (world_random(w, 2)) { /* on borders of 4 KiB, as most are */
		first = align_down(first, 8);
		count = min_u64(align_up(count, 8), w->sectors - first);
		count = min_u64(count, WORLD_MAX_BYTES / WORLD_SECTOR);
	}
	if (kind < 45)
		world_submit(w, BLOCK_WRITE, first, count);
	else if (kind < 75)
		world_submit(w, BLOCK_READ, first, count);
	else if (kind < 83)
		world_submit(w, BLOCK_WRITE_ZEROES, first, count);
	else if (kind < 93)
		world_submit(w, BLOCK_DISCARD, first, count);
	else
		world_submit(w, BLOCK_FLUSH, 0, 0);
}

static inline void world_step(struct world *w)
{
	if (w->in_flight < WORLD_SLOTS && world_random(w, 3))
		world_submit_random(w);
	else if (w->file->pending_count || (w->backing_file && w->backing_file->pending_count)) {
		struct fake_file *file = w->file;

		if (!file->pending_count ||
			(w->backing_file && w->backing_file->pending_count && world_random(w, 2)))
			file = w->backing_file;
		fake_file_run_one(file, world_random(w, file->pending_count));
	}
}

static inline void world_drain(struct world *w)
{
	unsigned steps = 0;

	while (w->file->pending_count || (w->backing_file && w->backing_file->pending_count)) {
		struct fake_file *file = w->file->pending_count ? w->file : w->backing_file;

		world_require(++steps < 1000000);
		fake_file_run_one(file, world_random(w, file->pending_count));
	}
	/* Nothing hangs, and nothing has grown beyond what was allowed. */
	const struct qcow2 *q = container_of(w->image, struct qcow2, image);

	world_require(!w->in_flight && !q->bounce_bytes && !q->oldest_piece && !q->allocating);
	world_require(!q->room_waiters.first && !q->bounce_waiters.first && !q->flushes.first);
	world_require(q->cache.blocks <= q->cache.max_blocks + 8);
}

/* Reads the whole disk; each sector must be what the model says. */
static inline void world_verify(struct world *w)
{
	for (uint64_t first = 0; first < w->sectors;) {
		uint64_t count = min_u64(w->sectors - first, WORLD_MAX_BYTES / WORLD_SECTOR);

		world_require(world_submit(w, BLOCK_READ, first, count));
		world_drain(w);
		first += count;
	}
}

/* Closes and opens it again, as the next run of vmgui does. */
static inline void world_reopen(struct world *w)
{
	world_require(!w->image->ops->settle(w->image));
	w->image->ops->destroy(w->image);
	w->image = NULL;
	fake_file_reopen(w->file);
	w->image = world_open_image(w->file, w->backing_file, w->cache_bytes);
	world_require(w->image);
}

/* The image must be clean; in words why it is not. */
static inline void world_check(struct fake_file *file, bool leaks_allowed)
{
	struct qcow2_check check;
	struct error err = { "" };

	if (qcow2_check(&file->base, &check, &err))
		fprintf(stderr, "check: %s\n", err.text);
	if (check.corruptions)
		fprintf(stderr, "check: %s\n", check.first);
	world_require(!*err.text && !check.corruptions);
	world_require(leaks_allowed || !check.leaks);
}

/* Images by qemu-img. */

/* An image as qemu-img makes it: a.qcow2 in the folder, its contents in initial.raw. */
struct world_kind {
	const char *name, *options; /* of qemu-img create or convert -o */
	uint64_t size_bytes;
	bool filled, compressed, snapshot;
	uint64_t backing_bytes; /* 0: none */
	uint64_t cache_bytes;
	unsigned max_sectors;
};

/* Half of it compressible, half not, some zeroes. */
static inline void world_write_contents(const char *name, uint64_t bytes, uint64_t seed)
{
	struct fake_file *file = fake_file_create(bytes);

	for (uint64_t at = 0; at < bytes; at += 4096) {
		unsigned kind = (unsigned)(fake_file_random(&seed) % 4);

		for (uint64_t i = at; kind && i + 8 <= bytes && i < at + 4096; i += 8) {
			uint64_t value = kind == 1 ? fake_file_random(&seed) : at * kind;

			memcpy(file->bytes + i, &value, 8);
		}
	}
	world_save(file, name);
	fake_file_free(file);
}

static inline void world_make_image(const struct world_kind *kind)
{
	unsigned long long size = kind->size_bytes;

	world_require(!world_run("rm -f a.qcow2 back.raw contents.raw initial.raw"));
	if (kind->backing_bytes)
		world_write_contents("back.raw", kind->backing_bytes, 7);
	if (kind->filled) {
		world_write_contents("contents.raw", size, 8);
		world_require(!world_run("qemu-img convert %s -O qcow2 -o %s contents.raw a.qcow2",
			kind->compressed ? "-c" : "", kind->options));
	} else {
		world_require(!world_run("qemu-img create -f qcow2 -o %s %s a.qcow2 %llu",
			kind->options, kind->backing_bytes ? "-b back.raw -F raw" : "", size));
	}
	if (kind->snapshot)
		world_require(!world_run("qemu-img snapshot -c before a.qcow2"));
	world_require(!world_run("qemu-img convert -O raw a.qcow2 initial.raw"));
}

static inline struct world *world_make(const struct world_kind *kind, uint64_t seed)
{
	struct fake_file *initial = world_load("initial.raw"), *backing = NULL;
	struct world *w;

	world_require(initial);
	if (kind->backing_bytes)
		backing = world_load("back.raw");
	w = world_create(world_load("a.qcow2"), backing, initial->bytes, kind->cache_bytes, seed);
	if (kind->max_sectors)
		w->max_sectors = kind->max_sectors;
	fake_file_free(initial);
	return w;
}

/* What a sector may hold after a power cut at that tick, or when the image is opened anew without
 * having been closed well: what it had when the last flush before that began, or anything newer. */
static inline bool world_allowed(
	const struct world *w, uint64_t number, const uint8_t *data, uint64_t time)
{
	const struct world_sector *sector = &w->sector[number];
	uint64_t flushed = 0;
	size_t first = 0;

	for (size_t i = 0; i < w->flush_count; i++) {
		if (w->flushes[i].done <= time)
			flushed = max_u64(flushed, w->flushes[i].submitted);
	}
	for (size_t i = 0; i < sector->count; i++) {
		if (sector->versions[i].done && sector->versions[i].done <= flushed)
			first = i + 1;
	}
	if (world_matches(w, data, number,
		    first ? sector->versions[first - 1].contents : (uint64_t)WORLD_INITIAL))
		return true;
	for (size_t i = first; i < sector->count; i++) {
		if (sector->versions[i].submitted <= time &&
			world_matches(w, data, number, sector->versions[i].contents))
			return true;
	}
	return false;
}

static inline void world_explain(
	const struct world *w, uint64_t number, const uint8_t *data, uint64_t time)
{
	const struct world_sector *sector = &w->sector[number];
	uint64_t values[2];

	memcpy(values, data, 16);
	fprintf(stderr, "sector %llu at tick %llu has %llu, %llu\n", (unsigned long long)number,
		(unsigned long long)time, (unsigned long long)values[0],
		(unsigned long long)values[1]);
	for (size_t i = 0; i < sector->count; i++)
		fprintf(stderr, "  %llu: from %llu to %llu\n",
			(unsigned long long)sector->versions[i].contents,
			(unsigned long long)sector->versions[i].submitted,
			(unsigned long long)sector->versions[i].done);
	for (size_t i = 0; i < w->flush_count; i++)
		fprintf(stderr, "  flush: from %llu to %llu\n",
			(unsigned long long)w->flushes[i].submitted,
			(unsigned long long)w->flushes[i].done);
}

/* The whole disk of another image; the caller's to free. */
struct world_reader {
	struct block_request request;
	bool done;
};

static inline void world_read_done(struct block_request *request)
{
	container_of(request, struct world_reader, request)->done = true;
}

static inline uint8_t *world_read_all(
	struct image *image, struct fake_file *file, struct fake_file *backing_file)
{
	uint8_t *data = malloc(image->size_bytes ? image->size_bytes : 1);
	struct iovec iov = { data, image->size_bytes };
	struct world_reader reader = { .done = false };

	reader.request = (struct block_request){ .operation = BLOCK_READ,
		.length_bytes = image->size_bytes,
		.iov = &iov,
		.iov_count = 1,
		.done = world_read_done,
		.scratch = malloc(image->scratch_bytes) };
	world_require(data && reader.request.scratch);
	image->ops->submit(image, &reader.request);
	while (file->pending_count || (backing_file && backing_file->pending_count))
		fake_file_run(file->pending_count ? file : backing_file);
	world_require(reader.done && !reader.request.result);
	free(reader.request.scratch);
	return data;
}

#endif

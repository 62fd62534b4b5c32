/* A disk: an image, an engine and the thread that both run in; see core/block.h.
 *
 * Flushes are made in groups: while one is on its way to the disk, those that come wait, and then
 * one goes for all of them. That is what makes a guest that has every write flushed (because it
 * negotiated no flush) bearable.
 *
 * Threads: as core/block.h says; everything here is the disk's thread's while it runs, and the
 * owner's otherwise. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/disk_internal.h"
#include "core/log.h"

/* In the scratch of a flush that waits. */
struct flush_waiter {
	struct block_request *next;
};

struct flush_list {
	struct block_request *first, **last;
};

struct disk {
	struct block_disk base;
	struct image *image;
	struct engine *engine;
	pthread_t thread;
	bool started;

	struct flush_list waiting, covered; /* covered: by the flush that is in flight */
	struct block_request flush;
	bool flushing, flush_loop;

	void (*batch_end)(void *opaque);
	void *batch_end_opaque;
	void (*resized)(void *opaque);
	void *resized_opaque;
	bool used; /* since the last look at the size */
	time_t looked_s;
};

static struct disk *disk_of(struct block_disk *base)
{
	return container_of(base, struct disk, base);
}

static void flush_list_append(struct flush_list *list, struct block_request *request)
{
	struct flush_waiter *waiter = request->scratch;

	waiter->next = NULL;
	*list->last = request;
	list->last = &waiter->next;
}

static struct block_request *flush_list_take_all(struct flush_list *list)
{
	struct block_request *first = list->first;

	list->first = NULL;
	list->last = &list->first;
	return first;
}

static void run_flushes(struct disk *disk)
{
	if (disk->flush_loop)
		return;
	disk->flush_loop = true; /* an image may be done from inside of its submit */
	while (disk->waiting.first && !disk->flushing) {
		disk->flushing = true;
		disk->covered.first = flush_list_take_all(&disk->waiting);
		disk->image->ops->submit(disk->image, &disk->flush);
	}
	disk->flush_loop = false;
}

static void flush_done(struct block_request *flush)
{
	struct disk *disk = container_of(flush, struct disk, flush);
	struct block_request *request = disk->covered.first;

	disk->covered.first = NULL;
	while (request) {
		struct flush_waiter *waiter = request->scratch;
		struct block_request *next = waiter->next;

		request->result = flush->result;
		request->done(request);
		request = next;
	}
	disk->flushing = false;
	run_flushes(disk);
}

static void disk_submit(struct block_disk *base, struct block_request *request)
{
	struct disk *disk = disk_of(base);
	uint64_t together = request->offset_bytes | request->length_bytes;

	disk->used = true;
	if (request->operation == BLOCK_FLUSH && !base->read_only) {
		flush_list_append(&disk->waiting, request);
		run_flushes(disk);
		return;
	}
	request->result = 0;
	if (request->operation == BLOCK_FLUSH) { /* of what nobody can have written */
		request->done(request);
		return;
	}
	if (request->operation != BLOCK_READ && base->read_only)
		request->result = -EROFS;
	else if (together & (base->block_bytes - 1))
		request->result = -EINVAL;
	/* The submitter checks, too, but the image may have shrunk since. */
	else if (!range_fits(request->offset_bytes, request->length_bytes,
			 atomic_load_explicit(&base->size_bytes, memory_order_relaxed)))
		request->result = -EIO;
	if (request->result || !request->length_bytes)
		request->done(request);
	else
		disk->image->ops->submit(disk->image, request);
}

static void look_at_size(struct disk *disk)
{
	if (!disk->image->ops->resized || !disk->image->ops->resized(disk->image))
		return;
	atomic_store(&disk->base.size_bytes, atomic_load(&disk->image->size_bytes));
	if (disk->resized)
		disk->resized(disk->resized_opaque);
}

static void batch_end(void *opaque)
{
	struct disk *disk = opaque;
	struct timespec now;

	if (disk->batch_end)
		disk->batch_end(disk->batch_end_opaque);
	if (!disk->used)
		return;
	disk->used = false;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != disk->looked_s) {
		disk->looked_s = now.tv_sec;
		look_at_size(disk);
	}
}

static void *run(void *opaque)
{
	struct disk *disk = opaque;

	look_at_size(disk);
	engine_run(disk->engine);
	return NULL;
}

static int disk_watch(
	struct block_disk *base, int eventfd, void (*rang)(void *opaque), void *opaque)
{
	return engine_watch(disk_of(base)->engine, eventfd, rang, opaque);
}

static void disk_set_batch_end(
	struct block_disk *base, void (*batch_end_function)(void *opaque), void *opaque)
{
	disk_of(base)->batch_end = batch_end_function;
	disk_of(base)->batch_end_opaque = opaque;
}

static void disk_set_resized(struct block_disk *base, void (*resized)(void *opaque), void *opaque)
{
	disk_of(base)->resized = resized;
	disk_of(base)->resized_opaque = opaque;
}

static int disk_start(struct block_disk *base, const char *thread_name, struct error *err)
{
	struct disk *disk = disk_of(base);
	sigset_t all, before;
	int ret;

	if (disk->started)
		return 0;
	ret = engine_prepare(disk->engine, err);
	if (ret)
		return ret;
	/* Signals are the main thread's; see also engine_pool.c. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&disk->thread, NULL, run, disk);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		return error_set(
			err, ret, "%s: starting its thread: %s", base->name, strerror(ret));
	pthread_setname_np(disk->thread, thread_name);
	disk->started = true;
	return 0;
}

static void disk_stop(struct block_disk *base)
{
	struct disk *disk = disk_of(base);
	int ret;

	if (!disk->started)
		return;
	engine_stop(disk->engine);
	pthread_join(disk->thread, NULL);
	disk->started = false;
	ret = base->read_only ? 0 : disk->image->ops->settle(disk->image);
	if (ret)
		log_error("block", "%s: its last writes did not reach stable storage: %s",
			base->name, strerror(-ret));
}

static void disk_post(struct block_disk *base, struct block_call *call)
{
	engine_post(disk_of(base)->engine, call);
}

static void disk_destroy(struct block_disk *base)
{
	struct disk *disk = disk_of(base);

	disk_stop(base);
	disk->image->ops->destroy(disk->image);
	engine_destroy(disk->engine);
	free(disk->flush.scratch);
	free((char *)base->name);
	free(disk);
}

int disk_create(struct image *image, struct engine *engine, const char *name,
	struct block_disk **base, struct error *err)
{
	static const struct block_disk_ops ops = {
		.watch = disk_watch,
		.set_batch_end = disk_set_batch_end,
		.set_resized = disk_set_resized,
		.start = disk_start,
		.stop = disk_stop,
		.post = disk_post,
		.submit = disk_submit,
		.destroy = disk_destroy,
	};
	size_t scratch = max_u64(image->scratch_bytes, sizeof(struct flush_waiter));
	struct disk *disk = calloc(1, sizeof(*disk));

	*base = NULL;
	if (!disk)
		goto no_memory;
	disk->flush.scratch = calloc(1, scratch);
	disk->base.name = strdup(name);
	if (!disk->flush.scratch || !disk->base.name)
		goto no_memory;
	disk->image = image;
	disk->engine = engine;
	disk->flush.operation = BLOCK_FLUSH;
	disk->flush.done = flush_done;
	flush_list_take_all(&disk->waiting);
	disk->base.ops = &ops;
	disk->base.block_bytes = image->block_bytes;
	disk->base.physical_block_bytes = image->physical_block_bytes;
	disk->base.discard_granularity_bytes = image->discard_granularity_bytes;
	disk->base.read_only = image->read_only;
	disk->base.writeback = true;
	disk->base.scratch_bytes = scratch;
	atomic_init(&disk->base.size_bytes, atomic_load(&image->size_bytes));
	engine_set_batch_end(engine, batch_end, disk);
	*base = &disk->base;
	return 0;

no_memory:
	if (disk) {
		free((char *)disk->base.name);
		free(disk->flush.scratch);
	}
	free(disk);
	image->ops->destroy(image);
	engine_destroy(engine);
	return error_set(err, ENOMEM, "%s: out of memory", name);
}

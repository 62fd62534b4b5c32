/* The picture that displays see, and each reader's damage; see surface.h.
 *
 * Threads: one writer (the refresh, which serialises its own callers), any number of readers. All
 * fields are under `lock` but for the pixels themselves: only the writer changes them, under the
 * lock, so the writer may read them without it. */
#include "display/surface.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "display/damage.h"

struct surface_reader {
	struct surface *surface; /* immutable */
	void (*wake)(void *opaque);
	void *opaque;
	/* under the surface's lock */
	struct surface_reader *next;
	struct damage damage;
	bool told;   /* wake was called and the reader has not looked since */
	bool waking; /* its wake is running, without the lock */
};

/* A picture's. */
struct memory {
	uint32_t *pixels;
	size_t bytes;
	int fd; /* negative: not to be shared */
};

struct surface {
	pthread_mutex_t lock;
	pthread_cond_t news; /* a new frame, or a wake that returned */
	struct memory memory;
	uint32_t width, height;
	uint32_t generation;
	uint64_t frame;
	bool resized; /* between write_begin and write_end */
	struct surface_reader *readers;
};

/* ---- Memory ---- */

/* What is promised to who maps it: it does not become smaller, and has its pages now, since later
 * there is nobody to tell that there are none. Negative: not to be had. */
static int open_memory(size_t bytes)
{
	int fd = memfd_create("vmgui-picture", MFD_CLOEXEC | MFD_ALLOW_SEALING), result;

	if (fd < 0)
		return -errno;
	do
		result = fallocate(fd, 0, 0, (off_t)bytes);
	while (result && errno == EINTR);
	if (!result)
		result = fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (!result)
		return fd;
	/* A limit of file sizes (EFBIG), or a host that cannot do this, is not the end of it. */
	result = errno == ENOSPC ? -ENOMEM : -errno;
	close(fd);
	return result;
}

/* Black. */
static int allocate(struct memory *memory, uint32_t width, uint32_t height)
{
	void *pixels;

	memory->bytes = (size_t)width * height * sizeof(*memory->pixels);
	memory->fd = open_memory(memory->bytes);
	if (memory->fd == -ENOMEM)
		return -ENOMEM;
	pixels = mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE,
		memory->fd >= 0 ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS,
		memory->fd, 0);
	if (pixels == MAP_FAILED) {
		if (memory->fd >= 0)
			close(memory->fd);
		return -ENOMEM;
	}
	memory->pixels = pixels;
	return 0;
}

static void release(struct memory *memory)
{
	if (!memory->pixels)
		return;
	munmap(memory->pixels, memory->bytes);
	if (memory->fd >= 0)
		close(memory->fd);
	memory->pixels = NULL;
}

/* ---- The surface and its readers ---- */

struct surface *surface_create(void)
{
	struct surface *surface = calloc(1, sizeof(*surface));
	pthread_condattr_t attributes;

	if (!surface)
		return NULL;
	pthread_mutex_init(&surface->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&surface->news, &attributes);
	pthread_condattr_destroy(&attributes);
	return surface;
}

void surface_destroy(struct surface *surface)
{
	if (!surface)
		return;
	pthread_cond_destroy(&surface->news);
	pthread_mutex_destroy(&surface->lock);
	release(&surface->memory);
	free(surface);
}

static void damage_all(struct surface_reader *reader, uint32_t width, uint32_t height)
{
	reader->damage.count = 0;
	damage_add(&reader->damage, (struct rect){ .width = width, .height = height });
}

struct surface_reader *surface_reader_create(
	struct surface *surface, void (*wake)(void *opaque), void *opaque)
{
	struct surface_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->surface = surface;
	reader->wake = wake;
	reader->opaque = opaque;
	pthread_mutex_lock(&surface->lock);
	damage_all(reader, surface->width, surface->height);
	reader->next = surface->readers;
	surface->readers = reader;
	pthread_mutex_unlock(&surface->lock);
	return reader;
}

void surface_reader_destroy(struct surface_reader *reader)
{
	struct surface_reader **link;
	struct surface *surface;

	if (!reader)
		return;
	surface = reader->surface;
	pthread_mutex_lock(&surface->lock);
	/* wake_readers still holds the reader while its wake runs. */
	while (reader->waking)
		pthread_cond_wait(&surface->news, &surface->lock);
	for (link = &surface->readers; *link != reader; link = &(*link)->next)
		;
	*link = reader->next;
	pthread_mutex_unlock(&surface->lock);
	free(reader);
}

size_t surface_read_begin(struct surface_reader *reader, struct surface_view *view,
	struct rect rects[SURFACE_MAX_RECTS])
{
	struct surface *surface = reader->surface;
	size_t count;

	pthread_mutex_lock(&surface->lock);
	*view = (struct surface_view){
		.pixels = surface->memory.pixels,
		.width = surface->width,
		.height = surface->height,
		.stride_pixels = surface->width,
		.generation = surface->generation,
		.frame = surface->frame,
	};
	count = reader->damage.count;
	for (size_t i = 0; i < count; i++)
		rects[i] = reader->damage.rects[i];
	reader->damage.count = 0;
	reader->told = false;
	return count;
}

void surface_read_end(struct surface_reader *reader)
{
	pthread_mutex_unlock(&reader->surface->lock);
}

int surface_read_share(struct surface_reader *reader)
{
	const struct memory *memory = &reader->surface->memory;
	int fd;

	if (!memory->pixels || memory->fd < 0)
		return -ENOTSUP;
	fd = fcntl(memory->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int surface_wait_frame(struct surface *surface, uint64_t after, uint64_t deadline_ns)
{
	struct timespec deadline = clock_timespec(deadline_ns);
	int result = 0;

	pthread_mutex_lock(&surface->lock);
	while (surface->frame <= after && !result)
		result = -pthread_cond_timedwait(&surface->news, &surface->lock, &deadline);
	if (surface->frame > after)
		result = 0;
	pthread_mutex_unlock(&surface->lock);
	return result;
}

int surface_write_begin(struct surface *surface, uint32_t width, uint32_t height, uint32_t **pixels,
	uint32_t *stride_pixels)
{
	struct memory old = { .pixels = NULL }, fresh;
	/* Only the caller changes them. */
	bool new_size = width != surface->width || height != surface->height;

	if (new_size && allocate(&fresh, width, height))
		return -ENOMEM;
	pthread_mutex_lock(&surface->lock);
	if (new_size) {
		old = surface->memory;
		surface->memory = fresh;
		surface->width = width;
		surface->height = height;
		surface->generation++;
		surface->resized = true;
	}
	release(&old);
	*pixels = surface->memory.pixels;
	*stride_pixels = surface->width;
	return 0;
}

/* Called and returns with the lock held, but runs every wake without it. A reader whose wake runs
 * stays in the list, so its successor is known afterwards; one that is added meanwhile has not read
 * yet. */
static void wake_readers(struct surface *surface)
{
	for (struct surface_reader *reader = surface->readers; reader; reader = reader->next) {
		if (!reader->wake || reader->told || !reader->damage.count)
			continue;
		reader->told = true;
		reader->waking = true;
		pthread_mutex_unlock(&surface->lock);
		reader->wake(reader->opaque);
		pthread_mutex_lock(&surface->lock);
		reader->waking = false;
		pthread_cond_broadcast(&surface->news);
	}
}

void surface_write_end(struct surface *surface, const struct rect *rects, size_t count)
{
	if (surface->resized || count) {
		for (struct surface_reader *reader = surface->readers; reader;
			reader = reader->next) {
			if (surface->resized) {
				damage_all(reader, surface->width, surface->height);
				continue;
			}
			for (size_t i = 0; i < count; i++)
				damage_add(&reader->damage, rects[i]);
		}
		surface->resized = false;
		surface->frame++;
		pthread_cond_broadcast(&surface->news);
		wake_readers(surface);
	}
	pthread_mutex_unlock(&surface->lock);
}

/* Virtqueues in an event thread. See virtio_worker.h.
 *
 * Threads: the event thread owns the slots; device.lock's holders only post into it, and posts keep
 * their order. */
#include "core/virtio/virtio_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct slot {
	struct virtio_worker *worker; /* immutable, as is the next */
	unsigned queue;
	struct event_call start, stop, again;
	struct event_watch kick;
	bool live, broken; /* the event thread's */
};

struct virtio_worker {
	struct virtio_device *vdev; /* immutable, like all here */
	const struct virtio_worker_ops *ops;
	struct event_thread *thread;
	struct slot slots[];
};

static void serve(struct slot *slot)
{
	struct virtio_worker *worker = slot->worker;
	struct virtio_device *vdev = worker->vdev;
	int rc;

	if (!slot->live || slot->broken)
		return;
	rc = worker->ops->serve(vdev, slot->queue);
	if (rc > 0) {
		event_thread_post(worker->thread, &slot->again);
	} else if (rc < 0) {
		const char *why = vdev->queues[slot->queue].ring.why_broken;

		/* A device that needs a reset does nothing until it gets one. */
		for (unsigned i = 0; i < vdev->queue_count; i++)
			worker->slots[i].broken = true;
		virtio_device_needs_reset(vdev, why ? why : "broken queue");
	}
}

static void start_in_thread(struct event_call *call)
{
	struct slot *slot = container_of(call, struct slot, start);
	const struct virtio_worker_ops *ops = slot->worker->ops;

	slot->live = true;
	slot->broken = false;
	if (ops->started)
		ops->started(slot->worker->vdev, slot->queue);
	serve(slot);
}

static void stop_in_thread(struct event_call *call)
{
	struct slot *slot = container_of(call, struct slot, stop);
	const struct virtio_worker_ops *ops = slot->worker->ops;

	slot->live = false;
	if (ops->stopped)
		ops->stopped(slot->worker->vdev, slot->queue);
	virtio_queue_stopped(slot->worker->vdev, slot->queue);
}

static void again_in_thread(struct event_call *call)
{
	serve(container_of(call, struct slot, again));
}

static void kicked(struct event_watch *watch, uint32_t events)
{
	struct slot *slot = container_of(watch, struct slot, kick);

	(void)events;
	event_thread_clear(watch->fd);
	serve(slot);
}

int virtio_worker_create(struct virtio_device *vdev, const struct virtio_worker_ops *ops,
	struct virtio_worker **out, struct error *err)
{
	struct virtio_worker *worker =
		calloc(1, sizeof(*worker) + vdev->queue_count * sizeof(worker->slots[0]));
	int rc;

	if (!worker)
		return error_set(err, ENOMEM, "%s: out of memory", vdev->name);
	worker->vdev = vdev;
	worker->ops = ops;
	rc = event_thread_create(&worker->thread, err);
	/* Doorbells are watched from now on, so that nothing can fail when a driver starts a queue;
	 * rung for an idle one, they are taken and forgotten. */
	for (unsigned i = 0; i < vdev->queue_count && !rc; i++) {
		struct slot *slot = &worker->slots[i];

		slot->worker = worker;
		slot->queue = i;
		slot->start.function = start_in_thread;
		slot->stop.function = stop_in_thread;
		slot->again.function = again_in_thread;
		slot->kick.fd = vdev->queues[i].kick_fd;
		slot->kick.ready = kicked;
		rc = event_thread_watch(worker->thread, &slot->kick, EPOLLIN);
		if (rc)
			error_set(err, -rc, "%s: cannot watch an eventfd: %s", vdev->name,
				strerror(-rc));
	}
	if (rc) {
		virtio_worker_destroy(worker);
		return rc;
	}
	*out = worker;
	return 0;
}

void virtio_worker_destroy(struct virtio_worker *worker)
{
	if (!worker)
		return;
	event_thread_destroy(worker->thread);
	free(worker);
}

int virtio_worker_start(struct virtio_worker *worker, const char *thread_name, struct error *err)
{
	return event_thread_start(worker->thread, thread_name, err);
}

void virtio_worker_stop(struct virtio_worker *worker)
{
	event_thread_stop(worker->thread);
}

void virtio_worker_queue_start(struct virtio_worker *worker, unsigned queue)
{
	event_thread_post(worker->thread, &worker->slots[queue].start);
}

void virtio_worker_queue_stop(struct virtio_worker *worker, unsigned queue)
{
	event_thread_post(worker->thread, &worker->slots[queue].stop);
}

void virtio_worker_again(struct virtio_worker *worker, unsigned queue)
{
	event_thread_post(worker->thread, &worker->slots[queue].again);
}

bool virtio_worker_is_live(const struct virtio_worker *worker, unsigned queue)
{
	return worker->slots[queue].live && !worker->slots[queue].broken;
}

struct event_thread *virtio_worker_thread(struct virtio_worker *worker)
{
	return worker->thread;
}

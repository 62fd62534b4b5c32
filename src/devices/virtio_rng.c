/* Virtio entropy device.
 *
 * The driver queues empty buffers, we fill them from getrandom, which never runs dry. A buffer may
 * be filled in part only, so that the work for one is bounded however long it is.
 *
 * Threads: "rng" serves the queue; vCPU threads under device.lock do the rest.
 * Source: VIRTIO 1.2, section 5.4. */
#include "devices/virtio_rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/virtio/virtio_worker.h"

enum {
	QUEUE_SIZE = 64,
	REQUEST_QUEUE = 0,
	/* A driver wants a few dozen bytes; one that wants more gets them in pieces. */
	BUFFER_MAX_BYTES = 64 * 1024,
	TURN_MAX_BYTES = 256 * 1024,
	TURN_MAX_BUFFERS = 256,
};

struct virtio_rng {
	struct virtio_device vdev;
	struct virtio_worker *worker; /* immutable after create */
	struct iovec iov[QUEUE_SIZE]; /* of the thread */
};

static struct virtio_rng *rng_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_rng, vdev);
}

/* As many bytes as the buffer takes and we give. */
static uint32_t fill_random(const struct virtqueue_chain *chain)
{
	const struct iovec *iov = chain->iov + chain->readable_count;
	size_t filled = 0;

	for (unsigned i = 0; i < chain->writable_count && filled < BUFFER_MAX_BYTES; i++) {
		size_t wanted = min_u64(iov[i].iov_len, BUFFER_MAX_BYTES - filled), done = 0;

		while (done < wanted) {
			/* Short, or EINTR, only when a signal comes; this thread takes none but
			 * a debugger's. */
			ssize_t got =
				getrandom((uint8_t *)iov[i].iov_base + done, wanted - done, 0);
			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0) {
				log_guest("virtio-rng", "getrandom: %s", strerror(errno));
				return (uint32_t)(filled + done);
			}
			done += (size_t)got;
		}
		filled += done;
	}
	return (uint32_t)filled;
}

static int serve(struct virtio_device *vdev, unsigned queue)
{
	struct virtio_rng *rng = rng_of(vdev);
	struct virtqueue *ring = &vdev->queues[queue].ring;
	struct virtqueue_chain chain = { .iov = rng->iov, .capacity = QUEUE_SIZE };
	unsigned buffers = 0, bytes = 0, turns = 0;
	int rc = 1;

	virtqueue_disable_notify(ring);
	while (rc > 0 && turns++ < TURN_MAX_BUFFERS && bytes < TURN_MAX_BYTES) {
		rc = virtqueue_pop(ring, &chain);
		if (!rc) {
			rc = virtqueue_enable_notify(ring); /* some have come meanwhile */
		} else if (rc > 0) {
			uint32_t filled = fill_random(&chain);

			virtqueue_fill(ring, chain.head, filled);
			bytes += filled;
			buffers++;
		}
	}
	if (buffers && virtqueue_publish(ring))
		virtio_queue_interrupt(vdev, queue);
	return rc;
}

static const struct virtio_worker_ops worker_ops = { .serve = serve };

static void queue_start(struct virtio_device *vdev, unsigned queue)
{
	virtio_worker_queue_start(rng_of(vdev)->worker, queue);
}

static void queue_stop(struct virtio_device *vdev, unsigned queue)
{
	virtio_worker_queue_stop(rng_of(vdev)->worker, queue);
}

static const struct virtio_device_ops vdev_ops = {
	.queue_start = queue_start,
	.queue_stop = queue_stop,
};

static struct virtio_rng *rng_of_device(struct device *device)
{
	return container_of(device, struct virtio_rng, vdev.device);
}

static void rng_reset(struct device *device)
{
	virtio_device_reset(&rng_of_device(device)->vdev);
}

static int rng_start(struct device *device, struct error *err)
{
	return virtio_worker_start(rng_of_device(device)->worker, "rng", err);
}

static void rng_stop(struct device *device)
{
	virtio_worker_stop(rng_of_device(device)->worker);
}

static void rng_destroy(struct device *device)
{
	struct virtio_rng *rng;

	if (!device)
		return;
	rng = rng_of_device(device);
	virtio_worker_destroy(rng->worker);
	virtio_device_fini(&rng->vdev);
	free(rng);
}

static const struct device_ops rng_device_ops = {
	.name = "virtio-rng",
	.reset = rng_reset,
	.start = rng_start,
	.stop = rng_stop,
	.destroy = rng_destroy,
};

int virtio_rng_create(
	const struct virtio_rng_config *config, struct virtio_rng **out, struct error *err)
{
	const struct virtio_device_config vdev_config = {
		.name = "virtio-rng",
		.ops = &vdev_ops,
		.id = VIRTIO_ID_RNG,
		.mem = config->mem,
		.queue_count = 1,
		.max_queue_size = QUEUE_SIZE,
	};
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int rc;

	if (!rng)
		return error_set(err, ENOMEM, "virtio-rng: out of memory");
	rc = virtio_device_init(&rng->vdev, &rng_device_ops, &vdev_config, err);
	if (rc)
		goto free_rng;
	rc = virtio_worker_create(&rng->vdev, &worker_ops, &rng->worker, err);
	if (rc)
		goto fini_vdev;
	*out = rng;
	return 0;

fini_vdev:
	virtio_device_fini(&rng->vdev);
free_rng:
	free(rng);
	return rc;
}

struct virtio_device *virtio_rng_vdev(struct virtio_rng *rng)
{
	return &rng->vdev;
}

struct event_thread *virtio_rng_thread(struct virtio_rng *rng)
{
	return virtio_worker_thread(rng->worker);
}

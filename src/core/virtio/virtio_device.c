/* Status, features, queues and resets of a virtio device (virtio_device.h says what is promised).
 *
 * Bits of the status register only ever come on; a write of 0 turns all off at once, when the last
 * queue has stopped. What a driver does out of order is refused where the specification gives the
 * device a way to say no (FEATURES_OK does not stick) or where going on would make no sense
 * (DRIVER_OK without it), and let be otherwise.
 *
 * Threads: vCPU threads with device.lock; the device's own threads through virtio_queue_stopped,
 * needs_reset and the interrupts; the machine's thread through virtio_device_reset.
 * Source: VIRTIO 1.2, sections 2.1 (status), 2.2 (features), 2.5 (configuration), 2.6.1 (queue
 * reset), 3.1. */
#include "core/virtio/virtio_device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What a driver may set; NEEDS_RESET is ours alone. */
#define DRIVER_STATUS_BITS                                                                         \
	((unsigned)(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED))

static void guest_error(struct virtio_device *vdev, const char *format, ...) VMGUI_PRINTF(2, 3);

static void guest_error(struct virtio_device *vdev, const char *format, ...)
{
	char text[160];
	va_list arguments;
	unsigned dropped;

	if (!log_enabled(LOG_DEBUG) || !log_limit_pass(&vdev->limit, &dropped))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (dropped)
		log_debug(vdev->name, "%s (and %u messages left out)", text, dropped);
	else
		log_debug(vdev->name, "%s", text);
}

static unsigned status_bits(const struct virtio_device *vdev)
{
	return atomic_load(&vdev->status);
}

static void queue_defaults(struct virtio_queue *queue)
{
	queue->layout = (struct virtqueue_layout){ .size = queue->max_size };
	queue->enabled = queue->resetting = false;
}

int virtio_device_init(struct virtio_device *vdev, const struct device_ops *device_ops,
	const struct virtio_device_config *config, struct error *err)
{
	uint32_t size = config->max_queue_size;
	unsigned i;
	int ret;

	if (!config->queue_count || config->queue_count > VIRTIO_MAX_QUEUES || !size ||
		size > VIRTQUEUE_MAX_SIZE || size & (size - 1))
		return error_set(err, EINVAL, "%s: %u queues of %u buffers: not 1 to %u, 1 to %u",
			config->name, config->queue_count, (unsigned)size, VIRTIO_MAX_QUEUES,
			VIRTQUEUE_MAX_SIZE);

	memset(vdev, 0, sizeof(*vdev));
	vdev->name = config->name;
	vdev->ops = config->ops;
	vdev->id = config->id;
	vdev->mem = config->mem;
	vdev->offered = config->features | VIRTIO_COMMON_FEATURES;
	vdev->config_bytes = config->config_bytes;
	vdev->queue_count = config->queue_count;
	vdev->queues = calloc(config->queue_count, sizeof(*vdev->queues));
	if (!vdev->queues)
		return error_set(err, ENOMEM, "%s: out of memory", config->name);
	for (i = 0; i < config->queue_count; i++) {
		struct virtio_queue *queue = &vdev->queues[i];

		queue->max_size = size;
		queue_defaults(queue);
		queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->kick_fd < 0) {
			ret = error_set(err, errno, "%s: no eventfd for a queue: %s", config->name,
				strerror(errno));
			goto close_eventfds;
		}
	}
	device_init(&vdev->device, device_ops);
	pthread_cond_init(&vdev->stopped, NULL);
	return 0;

close_eventfds:
	while (i--)
		close(vdev->queues[i].kick_fd);
	free(vdev->queues);
	vdev->queues = NULL;
	return ret;
}

void virtio_device_fini(struct virtio_device *vdev)
{
	for (unsigned i = 0; i < vdev->queue_count; i++)
		close(vdev->queues[i].kick_fd);
	free(vdev->queues);
	vdev->queues = NULL;
	vdev->queue_count = 0;
	pthread_cond_destroy(&vdev->stopped);
	device_fini(&vdev->device);
}

/* ---- interrupts ---- */

void virtio_queue_interrupt(struct virtio_device *vdev, unsigned queue)
{
	vdev->transport->queue_interrupt(vdev->transport, queue);
}

/* Nobody listens before DRIVER_OK, and an INTx that nobody takes hurts others on the line; but a
 * driver reads the configuration before that. So the interrupt waits, and whichever of DRIVER_OK
 * and the change comes last finds what the other one wrote. */
static void config_interrupt(struct virtio_device *vdev)
{
	atomic_store(&vdev->config_pending, true);
	if (status_bits(vdev) & VIRTIO_STATUS_DRIVER_OK &&
		atomic_exchange(&vdev->config_pending, false))
		vdev->transport->config_interrupt(vdev->transport);
}

void virtio_config_changed(struct virtio_device *vdev)
{
	atomic_fetch_add(&vdev->config_generation, 1);
	config_interrupt(vdev);
}

void virtio_device_needs_reset(struct virtio_device *vdev, const char *why)
{
	guest_error(vdev, "needs a reset: %s", why);
	if (!(atomic_fetch_or(&vdev->status, VIRTIO_STATUS_NEEDS_RESET) &
		    VIRTIO_STATUS_NEEDS_RESET))
		config_interrupt(vdev);
}

/* ---- queues start and stop; device.lock ---- */

static bool activate_queue(struct virtio_device *vdev, struct virtio_queue *queue)
{
	const struct virtqueue_layout *layout = &queue->layout;
	int ret = -EINVAL;
	char why[128];

	/* The virtqueue itself knows nothing of this device's limit. */
	if (layout->size <= queue->max_size)
		ret = virtqueue_activate(&queue->ring, vdev->mem, layout, vdev->features);
	if (!ret)
		return true;
	snprintf(why, sizeof(why), "queue %u of size %u at %llx, %llx and %llx: %s",
		(unsigned)(queue - vdev->queues), (unsigned)layout->size,
		(unsigned long long)layout->descriptors_gpa, (unsigned long long)layout->driver_gpa,
		(unsigned long long)layout->device_gpa,
		ret == -EFAULT ? "not in memory, or overlapping" : "size or alignment");
	virtio_device_needs_reset(vdev, why);
	return false;
}

static void start_queue(struct virtio_device *vdev, struct virtio_queue *queue)
{
	queue->state = VIRTIO_QUEUE_LIVE;
	vdev->ops->queue_start(vdev, (unsigned)(queue - vdev->queues));
}

static void stop_queue(struct virtio_device *vdev, struct virtio_queue *queue)
{
	queue->state = VIRTIO_QUEUE_STOPPING;
	vdev->ops->queue_stop(vdev, (unsigned)(queue - vdev->queues));
}

/* All that are enabled, or none if one of them is no good. */
static void start_enabled(struct virtio_device *vdev)
{
	for (unsigned i = 0; i < vdev->queue_count; i++) {
		if (vdev->queues[i].enabled && !activate_queue(vdev, &vdev->queues[i])) {
			while (i--)
				virtqueue_deactivate(&vdev->queues[i].ring);
			return;
		}
	}
	for (unsigned i = 0; i < vdev->queue_count; i++) {
		if (vdev->queues[i].enabled)
			start_queue(vdev, &vdev->queues[i]);
	}
}

/* ---- resets; device.lock ---- */

static void finish_reset_if_idle(struct virtio_device *vdev)
{
	for (unsigned i = 0; i < vdev->queue_count; i++) {
		if (vdev->queues[i].state != VIRTIO_QUEUE_IDLE)
			return;
	}
	for (unsigned i = 0; i < vdev->queue_count; i++) {
		virtqueue_deactivate(&vdev->queues[i].ring);
		queue_defaults(&vdev->queues[i]);
	}
	vdev->features = vdev->driver_features = 0;
	if (vdev->ops->reset)
		vdev->ops->reset(vdev);
	atomic_store(&vdev->status, 0);
	atomic_store(&vdev->config_pending, false);
	vdev->resetting = false;
	pthread_cond_broadcast(&vdev->stopped);
}

/* Asked for again before it is complete, it finds no live queue any more and changes nothing. */
static void begin_reset(struct virtio_device *vdev)
{
	vdev->resetting = true;
	for (unsigned i = 0; i < vdev->queue_count; i++) {
		if (vdev->queues[i].state == VIRTIO_QUEUE_LIVE)
			stop_queue(vdev, &vdev->queues[i]);
	}
	finish_reset_if_idle(vdev);
}

void virtio_queue_stopped(struct virtio_device *vdev, unsigned index)
{
	struct virtio_queue *queue;

	pthread_mutex_lock(&vdev->device.lock);
	queue = virtio_device_queue(vdev, index);
	if (queue && queue->state == VIRTIO_QUEUE_STOPPING) {
		queue->state = VIRTIO_QUEUE_IDLE;
		virtqueue_deactivate(&queue->ring);
		queue_defaults(queue);
		if (vdev->resetting)
			finish_reset_if_idle(vdev);
	}
	pthread_mutex_unlock(&vdev->device.lock);
}

void virtio_device_reset(struct virtio_device *vdev)
{
	pthread_mutex_lock(&vdev->device.lock);
	begin_reset(vdev);
	while (vdev->resetting)
		pthread_cond_wait(&vdev->stopped, &vdev->device.lock);
	pthread_mutex_unlock(&vdev->device.lock);
}

/* ---- registers; device.lock ---- */

uint8_t virtio_device_get_status(const struct virtio_device *vdev)
{
	/* Not 0 before a reset is complete: that is what the driver waits for. */
	return (uint8_t)status_bits(vdev);
}

static bool features_are_good(struct virtio_device *vdev)
{
	uint64_t refused = vdev->driver_features & ~vdev->offered;

	if (refused)
		guest_error(vdev, "features %llx were not offered", (unsigned long long)refused);
	else if (!(vdev->driver_features & VIRTIO_F_VERSION_1))
		guest_error(vdev, "a driver older than VIRTIO 1.0");
	else
		return true;
	return false;
}

void virtio_device_set_status(struct virtio_device *vdev, uint8_t status)
{
	unsigned before = status_bits(vdev);

	if (!status) {
		begin_reset(vdev);
		return;
	}
	/* The driver was to wait until it reads 0. */
	if (vdev->resetting)
		return;
	atomic_fetch_or(&vdev->status, status & DRIVER_STATUS_BITS);
	if (status & ~before & VIRTIO_STATUS_FEATURES_OK && features_are_good(vdev)) {
		vdev->features = vdev->driver_features;
		atomic_fetch_or(&vdev->status, VIRTIO_STATUS_FEATURES_OK);
		if (vdev->ops->features_accepted)
			vdev->ops->features_accepted(vdev);
	}
	if (!(status & ~before & VIRTIO_STATUS_DRIVER_OK))
		return;
	if (!(status_bits(vdev) & VIRTIO_STATUS_FEATURES_OK)) {
		guest_error(vdev, "DRIVER_OK before the features were agreed on");
		return;
	}
	atomic_fetch_or(&vdev->status, VIRTIO_STATUS_DRIVER_OK);
	if (atomic_exchange(&vdev->config_pending, false))
		vdev->transport->config_interrupt(vdev->transport);
	if (!(status_bits(vdev) & VIRTIO_STATUS_NEEDS_RESET))
		start_enabled(vdev);
}

uint32_t virtio_device_offered(const struct virtio_device *vdev, uint32_t select)
{
	return select < 2 ? (uint32_t)(vdev->offered >> 32 * select) : 0;
}

uint32_t virtio_device_get_driver_features(const struct virtio_device *vdev, uint32_t select)
{
	return select < 2 ? (uint32_t)(vdev->driver_features >> 32 * select) : 0;
}

void virtio_device_set_driver_features(struct virtio_device *vdev, uint32_t select, uint32_t value)
{
	if (select > 1 || status_bits(vdev) & VIRTIO_STATUS_FEATURES_OK)
		return;
	vdev->driver_features &= ~(UINT64_C(0xffffffff) << 32 * select);
	vdev->driver_features |= (uint64_t)value << 32 * select;
}

struct virtio_queue *virtio_device_queue(struct virtio_device *vdev, unsigned queue)
{
	return queue < vdev->queue_count ? &vdev->queues[queue] : NULL;
}

/* The queue, if its registers can be written: it is there and not frozen. */
static struct virtio_queue *open_queue(struct virtio_device *vdev, unsigned index)
{
	struct virtio_queue *queue = virtio_device_queue(vdev, index);

	return queue && !queue->enabled ? queue : NULL;
}

void virtio_queue_set_size(struct virtio_device *vdev, unsigned index, uint32_t size)
{
	struct virtio_queue *queue = open_queue(vdev, index);

	if (queue)
		queue->layout.size = size;
}

void virtio_queue_set_address(
	struct virtio_device *vdev, unsigned index, unsigned which, bool high, uint32_t value)
{
	struct virtio_queue *queue = open_queue(vdev, index);
	unsigned shift = high ? 32 : 0;
	uint64_t *gpa;

	if (!queue || which > 2)
		return;
	gpa = which == 0   ? &queue->layout.descriptors_gpa
	      : which == 1 ? &queue->layout.driver_gpa
			   : &queue->layout.device_gpa;
	*gpa = (*gpa & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

void virtio_queue_enable(struct virtio_device *vdev, unsigned index)
{
	struct virtio_queue *queue = open_queue(vdev, index);
	unsigned status = status_bits(vdev);

	if (!queue || vdev->resetting)
		return;
	queue->enabled = true;
	/* After a queue reset the device is running already. */
	if (status & VIRTIO_STATUS_DRIVER_OK && !(status & VIRTIO_STATUS_NEEDS_RESET) &&
		activate_queue(vdev, queue))
		start_queue(vdev, queue);
}

void virtio_queue_reset(struct virtio_device *vdev, unsigned index)
{
	struct virtio_queue *queue = virtio_device_queue(vdev, index);

	/* Both kinds of reset in progress already do what is asked for. */
	if (!queue || vdev->resetting || queue->resetting ||
		!(vdev->features & VIRTIO_F_RING_RESET))
		return;
	if (queue->state == VIRTIO_QUEUE_IDLE) {
		queue_defaults(queue);
		return;
	}
	/* Reads as enabled and resetting until virtio_queue_stopped. */
	queue->resetting = true;
	stop_queue(vdev, queue);
}

/* Whether a device is asked at all. */
static bool in_config(const struct virtio_device *vdev, uint64_t offset, unsigned width)
{
	return (width == 1 || width == 2 || width == 4 || width == 8) &&
	       range_fits(offset, width, vdev->config_bytes);
}

uint64_t virtio_device_read_config(struct virtio_device *vdev, uint64_t offset, unsigned width)
{
	uint64_t value;

	if (!in_config(vdev, offset, width) || !vdev->ops->read_config)
		return 0;
	value = vdev->ops->read_config(vdev, (unsigned)offset, width);
	return width == 8 ? value : value & ((UINT64_C(1) << 8 * width) - 1);
}

void virtio_device_write_config(
	struct virtio_device *vdev, uint64_t offset, unsigned width, uint64_t value)
{
	if (!in_config(vdev, offset, width) || !vdev->ops->write_config)
		return;
	if (width < 8)
		value &= (UINT64_C(1) << 8 * width) - 1;
	vdev->ops->write_config(vdev, (unsigned)offset, width, value);
}

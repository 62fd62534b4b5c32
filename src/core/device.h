/* What every device is to the machine: a name, a life cycle and one lock.
 *
 * A device's struct has a struct device as its first member. The constructor gets its options and
 * the services it uses (bus, interrupt lines, memory); there is no static state, so that two
 * instances live side by side and a unit test builds one with fakes.
 *
 * Threads: the bus takes `lock` around every callback; UI threads that enter a device (an input
 * sink's operations, say) take the same lock themselves. Lock order: machine, device, queue,
 * surface, log. reset runs with all vCPUs stopped and takes the lock itself where others may enter.
 */
#ifndef VMGUI_CORE_DEVICE_H
#define VMGUI_CORE_DEVICE_H

#include <pthread.h>

#include "core/error.h"
#include "core/util.h"

struct device;

struct device_ops {
	const char *name; /* static, e.g. "i8042" */
	/* Back to the power-on state. Required. */
	void (*reset)(struct device *device);
	/* Start and stop the device's own threads and host resources; NULL where there are none.
	 * start runs before the first vCPU does, stop after the last one has stopped. */
	int (*start)(struct device *device, struct error *err);
	void (*stop)(struct device *device);
	/* The user lets a paused guest go on; what the device held back is tried again. NULL where
	 * there is nothing. */
	void (*resume)(struct device *device);
	/* Frees the device; it has been stopped. Required. */
	void (*destroy)(struct device *device);
};

struct device {
	const struct device_ops *ops;
	pthread_mutex_t lock; /* initialised by device_init */
};

static inline void device_init(struct device *device, const struct device_ops *ops)
{
	device->ops = ops;
	pthread_mutex_init(&device->lock, NULL);
}

static inline void device_fini(struct device *device)
{
	pthread_mutex_destroy(&device->lock);
}

#endif

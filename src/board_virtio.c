/* Each virtio device is two devices to the machine: itself, and after it its place on the bus, so
 * that a reset finds the queues stopped before the registers go, and the end takes it off the bus
 * before it is freed.
 *
 * Threads: main. */
#include "board_virtio.h"

#include <errno.h>
#include <stdlib.h>

#include "board.h"
#include "core/log.h"
#include "core/virtio/virtio_pci.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "devices/virtio_rng.h"

/* PCI Code and ID Assignment Specification 1.11: base class, subclass, interface. */
#define CLASS_STORAGE_OTHER 0x018000u

/* One I/O thread serves a disk's queues; more of them than this only cost interrupts. All disks
 * together stay below what KVM has doorbells for (1000 on a bus). */
#define MAX_DISK_QUEUES 8u
#define MAX_ALL_QUEUES  512u

/* A device's place on the bus. */
struct place {
	struct device device;
	struct virtio_pci *pci;
};

static void reset_place(struct device *device)
{
	virtio_pci_reset(container_of(device, struct place, device)->pci);
}

static void destroy_place(struct device *device)
{
	struct place *place = container_of(device, struct place, device);

	virtio_pci_destroy(place->pci);
	device_fini(device);
	free(place);
}

static int put_on_bus(
	struct board *board, struct virtio_device *vdev, uint32_t class_code, struct error *err)
{
	static const struct device_ops ops = {
		.name = "virtio-pci",
		.reset = reset_place,
		.destroy = destroy_place,
	};
	struct place *place = calloc(1, sizeof(*place));
	int ret;

	if (!place)
		return error_set(err, ENOMEM, "%s: out of memory", vdev->name);
	ret = virtio_pci_create(
		vdev, class_code, board->pci, irqchip_msi(board->machine.chip), &place->pci, err);
	if (ret) {
		free(place);
		return ret;
	}
	device_init(&place->device, &ops);
	ret = machine_add_device(&board->machine, &place->device, err);
	if (ret)
		destroy_place(&place->device);
	return ret;
}

/* Hands the device to the machine, or destroys it; then finds it a place. */
static int add(
	struct board *board, struct virtio_device *vdev, uint32_t class_code, struct error *err)
{
	struct device *device = &vdev->device;
	int ret = machine_add_device(&board->machine, device, err);

	if (ret) {
		device->ops->destroy(device);
		return ret;
	}
	return put_on_bus(board, vdev, class_code, err);
}

static void disk_stalled(void *machine, const char *message)
{
	/* In this order: whoever reads the line may resume at once, and must not come first. */
	machine_request_pause(machine);
	log_error("disk", "%s", message);
}

static unsigned disk_queues(unsigned cpus, unsigned disks)
{
	uint64_t most = disks ? max_u64(1, MAX_ALL_QUEUES / disks) : 1;

	return (unsigned)min_u64(cpus, min_u64(MAX_DISK_QUEUES, most));
}

static int create_disk(struct board *board, const struct config_disk *config, unsigned queues,
	struct block_disk **disk, struct error *err)
{
	const struct virtio_blk_config blk = {
		.mem = &board->machine.mem,
		.disk = *disk,
		.serial = config->serial,
		.queue_count = queues,
		.thread_name = "disk",
		.stalled = disk_stalled,
		.opaque = &board->machine,
	};
	struct device *device;
	int ret = virtio_blk_create(&blk, &device, err);

	if (ret)
		return ret;
	*disk = NULL;
	ret = add(board, virtio_blk_vdev(device), CLASS_STORAGE_OTHER, err);
	if (ret == -ENOSPC) {
		const struct error why = *err;

		return error_set(
			err, EINVAL, "--disk %s: %s (give fewer)", config->image.path, why.text);
	}
	return ret;
}

static int create_rng(struct board *board, struct error *err)
{
	const struct virtio_rng_config config = { .mem = &board->machine.mem };
	struct virtio_rng *rng;
	int ret = virtio_rng_create(&config, &rng, err);

	if (ret)
		return ret;
	return add(board, virtio_rng_vdev(rng), VIRTIO_RNG_PCI_CLASS, err);
}

static int create_console(struct board *board, const struct config *config, struct error *err)
{
	const struct virtio_console_config console = {
		.mem = &board->machine.mem,
		.console = config->console == CONSOLE_VIRTIO,
		.channels = config->channels.channels,
		.channel_count = config->channels.count,
	};
	int ret = virtio_console_create(&console, &board->console, err);

	if (ret)
		return ret;
	return add(board, virtio_console_vdev(board->console), VIRTIO_CONSOLE_PCI_CLASS, err);
}

int board_virtio_create(
	struct board *board, const struct config *config, struct disks *disks, struct error *err)
{
	unsigned queues = disk_queues(board->machine.config.cpus, disks->count);

	for (unsigned i = 0; i < disks->count; i++) {
		int ret =
			create_disk(board, &config->disks.disks[i], queues, &disks->disks[i], err);

		if (ret)
			return ret;
	}
	if (config->console == CONSOLE_VIRTIO || config->channels.count) {
		int ret = create_console(board, config, err);

		if (ret)
			return ret;
	}
	return config->rng ? create_rng(board, err) : 0;
}

/* Virtio over PCI: registers, vectors and doorbells. See virtio_pci.h.
 *
 *   BAR 0, memory    0x0000  common configuration
 *                    0x1000  ISR status
 *                    0x2000  device configuration
 *                    0x3000  notifications, 4 bytes for each queue
 *   BAR 1, memory    MSI-X table and pending bits
 *
 * Notifications. A queue's doorbell is switched on when the driver enables the queue and stays on
 * until the machine is reset; until then, and where the kernel cannot take it, the write reaches
 * write_notify, which does the same.
 *
 * Accesses. Each field is read and written at its own offset and width only (4.1.3.1), a 64-bit one
 * as two halves or whole; all else reads zero and writes nothing.
 *
 * Interrupts: virtio_pci_interrupts.h.
 *
 * Locks: device.lock, which the bus holds around register accesses, then those of interrupts and
 * the PCI bus.
 *
 * Source: VIRTIO 1.2, sections 4.1.2 (ids), 4.1.3.1 (widths), 4.1.4 (capabilities and registers),
 * 4.1.5 (initialisation). */
#include "core/virtio/virtio_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pci_msi.h"
#include "core/virtio/virtio_pci_interrupts.h"

#define VENDOR_VIRTIO   0x1af4
#define FIRST_DEVICE_ID 0x1040
#define SUBSYSTEM       0x1100 /* any from 0x40 up; Windows' drivers look for this one */

#define CAPABILITY_VENDOR 0x09

enum capability_type {
	CAPABILITY_COMMON = 1,
	CAPABILITY_NOTIFY = 2,
	CAPABILITY_ISR = 3,
	CAPABILITY_DEVICE = 4,
	CAPABILITY_PCI_CONFIG = 5,
};

/* Offsets in a virtio capability. */
enum capability_field {
	CAP_LENGTH = 2,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_REGION_LENGTH = 12,
	CAP_BYTES = 16,
	CAP_MULTIPLIER = 16, /* of CAPABILITY_NOTIFY only */
	CAP_DATA = 16,       /* of CAPABILITY_PCI_CONFIG only */
	CAP_LONG_BYTES = 20,
};

#define REGISTERS_BAR     0u
#define MSIX_BAR          1u
#define MSIX_CONTROL      2u /* offset in its capability */
#define COMMON_BASE       0x0000u
#define ISR_BASE          0x1000u
#define CONFIG_BASE       0x2000u
#define NOTIFY_BASE       0x3000u
#define NOTIFY_MULTIPLIER 4u
#define REGISTERS_BYTES   0x4000u

enum common_field {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_DEVICE_STATUS = 0x14,
	COMMON_CONFIG_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFFSET = 0x1e,
	COMMON_QUEUE_DESCRIPTORS = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_QUEUE_NOTIFY_DATA = 0x38, /* zero: VIRTIO_F_NOTIF_CONFIG_DATA is not offered */
	COMMON_QUEUE_RESET = 0x3a,
	COMMON_BYTES = 0x3c,
};

/* The one width that the field at an offset is accessed with; 0: no field begins there. */
static const uint8_t common_widths[COMMON_BYTES] = {
	[COMMON_DEVICE_FEATURE_SELECT] = 4,
	[COMMON_DEVICE_FEATURE] = 4,
	[COMMON_DRIVER_FEATURE_SELECT] = 4,
	[COMMON_DRIVER_FEATURE] = 4,
	[COMMON_CONFIG_VECTOR] = 2,
	[COMMON_NUM_QUEUES] = 2,
	[COMMON_DEVICE_STATUS] = 1,
	[COMMON_CONFIG_GENERATION] = 1,
	[COMMON_QUEUE_SELECT] = 2,
	[COMMON_QUEUE_SIZE] = 2,
	[COMMON_QUEUE_VECTOR] = 2,
	[COMMON_QUEUE_ENABLE] = 2,
	[COMMON_QUEUE_NOTIFY_OFFSET] = 2,
	[COMMON_QUEUE_DESCRIPTORS] = 4,
	[COMMON_QUEUE_DESCRIPTORS + 4] = 4,
	[COMMON_QUEUE_DRIVER] = 4,
	[COMMON_QUEUE_DRIVER + 4] = 4,
	[COMMON_QUEUE_DEVICE] = 4,
	[COMMON_QUEUE_DEVICE + 4] = 4,
	[COMMON_QUEUE_NOTIFY_DATA] = 2,
	[COMMON_QUEUE_RESET] = 2,
};

struct virtio_pci {
	struct virtio_transport transport;
	struct virtio_device *vdev; /* immutable */
	struct pci_device device;
	struct pci_msi *msi;        /* immutable */
	unsigned msix_capability;   /* immutable */
	unsigned window_capability; /* immutable */
	uint32_t device_select;     /* device.lock */
	uint32_t driver_select;     /* device.lock */
	uint16_t queue_select;      /* device.lock */
	struct virtio_pci_interrupts interrupts;
	struct bus_doorbell doorbells[VIRTIO_MAX_QUEUES]; /* immutable */
};

/* ---- interrupts ---- */

static void queue_interrupt(struct virtio_transport *transport, unsigned queue)
{
	virtio_pci_raise_queue(
		&container_of(transport, struct virtio_pci, transport)->interrupts, queue);
}

static void config_interrupt(struct virtio_transport *transport)
{
	virtio_pci_raise_config(&container_of(transport, struct virtio_pci, transport)->interrupts);
}

static void config_changed(struct pci_device *device, unsigned offset, unsigned width)
{
	struct virtio_pci *pci = container_of(device, struct virtio_pci, device);
	unsigned control = pci->msix_capability + MSIX_CONTROL;

	if (offset + width <= control || offset >= control + 2)
		return;
	pci_msi_config_changed(pci->msi);
	virtio_pci_interrupts_update(&pci->interrupts);
}

/* ---- registers; device.lock is held ---- */

/* The registers and vectors as after a reset of the device; its status and queues are vdev's. */
static void reset_registers(struct virtio_pci *pci)
{
	pci->device_select = pci->driver_select = 0;
	pci->queue_select = 0;
	virtio_pci_interrupts_reset(&pci->interrupts);
}

static void set_live(struct virtio_pci *pci, unsigned status)
{
	virtio_pci_interrupts_set_live(
		&pci->interrupts, !pci->vdev->resetting && (status & VIRTIO_STATUS_DRIVER_OK));
}

static void set_status(struct virtio_pci *pci, uint8_t status)
{
	/* DRIVER_OK starts queues, whose first interrupts must not be lost; and bits only ever come
	 * on, but for a reset. */
	set_live(pci, status ? status | virtio_device_get_status(pci->vdev) : 0);
	virtio_device_set_status(pci->vdev, status);
	/* At a reset first silent, then clean: what still finishes leaves no interrupt behind. */
	set_live(pci, virtio_device_get_status(pci->vdev));
	if (!status)
		reset_registers(pci);
}

static void enable_queue(struct virtio_pci *pci)
{
	const struct virtio_queue *queue = virtio_device_queue(pci->vdev, pci->queue_select);

	if (!queue)
		return;
	virtio_queue_enable(pci->vdev, pci->queue_select);
	if (queue->enabled)
		pci_device_set_doorbell(&pci->device, REGISTERS_BAR, pci->queue_select, true);
}

static void reset_queue(struct virtio_pci *pci)
{
	if (pci->queue_select >= pci->vdev->queue_count ||
		!(pci->vdev->features & VIRTIO_F_RING_RESET))
		return;
	virtio_queue_reset(pci->vdev, pci->queue_select);
	virtio_pci_set_vector(
		&pci->interrupts, &pci->interrupts.queues[pci->queue_select], VIRTIO_PCI_NO_VECTOR);
}

/* One field of the selected queue; half: 0 or 4 for those of 64 bits. */
static uint32_t read_queue(struct virtio_pci *pci, unsigned field, unsigned half)
{
	const struct virtio_queue *queue = virtio_device_queue(pci->vdev, pci->queue_select);

	if (!queue) /* no queue has no vector either; all else reads zero */
		return field == COMMON_QUEUE_VECTOR ? VIRTIO_PCI_NO_VECTOR : 0;
	switch (field) {
	case COMMON_QUEUE_SIZE:
		return queue->layout.size;
	case COMMON_QUEUE_VECTOR:
		return virtio_pci_get_vector(
			&pci->interrupts, &pci->interrupts.queues[pci->queue_select]);
	case COMMON_QUEUE_ENABLE:
		return queue->enabled;
	case COMMON_QUEUE_NOTIFY_OFFSET:
		return pci->queue_select;
	case COMMON_QUEUE_DESCRIPTORS:
		return (uint32_t)(queue->layout.descriptors_gpa >> (8 * half));
	case COMMON_QUEUE_DRIVER:
		return (uint32_t)(queue->layout.driver_gpa >> (8 * half));
	case COMMON_QUEUE_DEVICE:
		return (uint32_t)(queue->layout.device_gpa >> (8 * half));
	case COMMON_QUEUE_RESET:
		return queue->resetting;
	default:
		return 0;
	}
}

static uint32_t read_common(struct virtio_pci *pci, unsigned offset)
{
	struct virtio_device *vdev = pci->vdev;

	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return pci->device_select;
	case COMMON_DEVICE_FEATURE:
		return virtio_device_offered(vdev, pci->device_select);
	case COMMON_DRIVER_FEATURE_SELECT:
		return pci->driver_select;
	case COMMON_DRIVER_FEATURE:
		return virtio_device_get_driver_features(vdev, pci->driver_select);
	case COMMON_CONFIG_VECTOR:
		return virtio_pci_get_vector(&pci->interrupts, &pci->interrupts.config);
	case COMMON_NUM_QUEUES:
		return vdev->queue_count;
	case COMMON_DEVICE_STATUS:
		return virtio_device_get_status(vdev);
	case COMMON_CONFIG_GENERATION:
		return (uint8_t)atomic_load(&vdev->config_generation);
	case COMMON_QUEUE_SELECT:
		return pci->queue_select;
	case COMMON_QUEUE_DESCRIPTORS + 4:
	case COMMON_QUEUE_DRIVER + 4:
	case COMMON_QUEUE_DEVICE + 4:
		return read_queue(pci, offset - 4, 4);
	default:
		return read_queue(pci, offset, 0);
	}
}

static void write_common(struct virtio_pci *pci, unsigned offset, uint32_t value)
{
	struct virtio_device *vdev = pci->vdev;
	unsigned queue = pci->queue_select;

	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		pci->device_select = value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		pci->driver_select = value;
		break;
	case COMMON_DRIVER_FEATURE:
		virtio_device_set_driver_features(vdev, pci->driver_select, value);
		break;
	case COMMON_CONFIG_VECTOR:
		virtio_pci_set_vector(&pci->interrupts, &pci->interrupts.config, (uint16_t)value);
		break;
	case COMMON_DEVICE_STATUS:
		set_status(pci, (uint8_t)value);
		break;
	case COMMON_QUEUE_SELECT:
		pci->queue_select = (uint16_t)value;
		break;
	case COMMON_QUEUE_SIZE:
		virtio_queue_set_size(vdev, queue, value);
		break;
	case COMMON_QUEUE_VECTOR:
		if (queue < vdev->queue_count)
			virtio_pci_set_vector(
				&pci->interrupts, &pci->interrupts.queues[queue], (uint16_t)value);
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1) /* a queue is disabled by a reset only */
			enable_queue(pci);
		break;
	case COMMON_QUEUE_DESCRIPTORS:
	case COMMON_QUEUE_DRIVER:
	case COMMON_QUEUE_DEVICE:
		virtio_queue_set_address(
			vdev, queue, (offset - COMMON_QUEUE_DESCRIPTORS) / 8, false, value);
		break;
	case COMMON_QUEUE_DESCRIPTORS + 4:
	case COMMON_QUEUE_DRIVER + 4:
	case COMMON_QUEUE_DEVICE + 4:
		virtio_queue_set_address(
			vdev, queue, (offset - COMMON_QUEUE_DESCRIPTORS) / 8, true, value);
		break;
	case COMMON_QUEUE_RESET:
		if (value == 1)
			reset_queue(pci);
		break;
	default:
		break; /* read-only */
	}
}

/* Whether a field of 64 bits begins here. */
static bool is_address(uint64_t offset)
{
	return offset == COMMON_QUEUE_DESCRIPTORS || offset == COMMON_QUEUE_DRIVER ||
	       offset == COMMON_QUEUE_DEVICE;
}

static uint64_t read_registers(void *opaque, uint64_t offset, unsigned width)
{
	struct virtio_pci *pci = opaque;

	if (offset < COMMON_BYTES) {
		unsigned at = (unsigned)offset;

		if (width == 8 && is_address(offset))
			return read_common(pci, at) | (uint64_t)read_common(pci, at + 4) << 32;
		return common_widths[at] == width ? read_common(pci, at) : 0;
	}
	if (offset == ISR_BASE && width == 1)
		return virtio_pci_take_isr(&pci->interrupts);
	if (offset >= CONFIG_BASE && offset < NOTIFY_BASE)
		return virtio_device_read_config(pci->vdev, offset - CONFIG_BASE, width);
	return 0;
}

static void write_notify(struct virtio_pci *pci, uint64_t offset)
{
	uint64_t queue = offset / NOTIFY_MULTIPLIER;
	const uint64_t one = 1;

	/* As the doorbell: any width and value, but only where a queue's address is. */
	if (offset % NOTIFY_MULTIPLIER || queue >= pci->vdev->queue_count)
		return;
	if (write(pci->vdev->queues[queue].kick_fd, &one, sizeof(one)) < 0)
		return; /* full: as good as one more */
}

static void write_registers(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct virtio_pci *pci = opaque;

	if (offset < COMMON_BYTES) {
		unsigned at = (unsigned)offset;

		if (width == 8 && is_address(offset)) {
			write_common(pci, at, (uint32_t)value);
			write_common(pci, at + 4, (uint32_t)(value >> 32));
		} else if (common_widths[at] == width) {
			write_common(pci, at, (uint32_t)value);
		}
	} else if (offset >= NOTIFY_BASE) {
		write_notify(pci, offset - NOTIFY_BASE);
	} else if (offset >= CONFIG_BASE) {
		virtio_device_write_config(pci->vdev, offset - CONFIG_BASE, width, value);
	}
}

static const struct bus_region_ops registers_ops = {
	.read = read_registers,
	.write = write_registers,
};

/* ---- the window in configuration space, for who cannot reach the BARs ---- */

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value)); /* x86 hosts are little-endian */
	return value;
}

static void put32(uint8_t *bytes, uint32_t value)
{
	memcpy(bytes, &value, sizeof(value));
}

/* What the capability says to access: the BAR, or NULL if that is nothing. */
static const struct pci_bar *window_target(
	const struct virtio_pci *pci, const uint8_t *config, uint32_t *offset, uint32_t *width)
{
	const uint8_t *capability = config + pci->window_capability;
	const struct pci_bar *bar;

	if (capability[CAP_BAR] != REGISTERS_BAR && capability[CAP_BAR] != MSIX_BAR)
		return NULL;
	bar = &pci->device.bars[capability[CAP_BAR]];
	*offset = get32(capability + CAP_OFFSET);
	*width = get32(capability + CAP_REGION_LENGTH);
	if ((*width != 1 && *width != 2 && *width != 4) || *offset % *width ||
		!range_fits(*offset, *width, bar->size_bytes) || !(bar->widths & *width))
		return NULL;
	return bar;
}

static uint32_t window_read(struct pci_device *device, const uint8_t *config)
{
	struct virtio_pci *pci = container_of(device, struct virtio_pci, device);
	uint32_t offset, width, value;
	const struct pci_bar *bar = window_target(pci, config, &offset, &width);

	if (!bar)
		return 0;
	pthread_mutex_lock(bar->lock);
	value = (uint32_t)bar->ops->read(bar->opaque, offset, width);
	pthread_mutex_unlock(bar->lock);
	return width == 4 ? value : value & ((1u << (8 * width)) - 1);
}

static void window_write(struct pci_device *device, const uint8_t *config)
{
	struct virtio_pci *pci = container_of(device, struct virtio_pci, device);
	uint32_t value = get32(config + pci->window_capability + CAP_DATA);
	uint32_t offset, width;
	const struct pci_bar *bar = window_target(pci, config, &offset, &width);

	if (!bar)
		return;
	if (width < 4)
		value &= (1u << (8 * width)) - 1;
	pthread_mutex_lock(bar->lock);
	bar->ops->write(bar->opaque, offset, width, value);
	pthread_mutex_unlock(bar->lock);
}

/* ---- life ---- */

/* Adds a capability of bytes bytes that describes a part of BAR 0; returns its offset. */
static int add_capability(struct virtio_pci *pci, enum capability_type type, unsigned bytes,
	uint32_t base, uint32_t length)
{
	int offset = pci_device_add_capability(&pci->device, CAPABILITY_VENDOR, bytes);
	uint8_t *capability;

	if (offset < 0)
		return offset;
	capability = pci->device.config + offset;
	capability[CAP_LENGTH] = (uint8_t)bytes;
	capability[CAP_TYPE] = (uint8_t)type;
	capability[CAP_BAR] = REGISTERS_BAR;
	put32(capability + CAP_OFFSET, base);
	put32(capability + CAP_REGION_LENGTH, length);
	return offset;
}

static int add_capabilities(struct virtio_pci *pci)
{
	const struct virtio_device *vdev = pci->vdev;
	uint8_t *writable;
	int ret = add_capability(pci, CAPABILITY_COMMON, CAP_BYTES, COMMON_BASE, COMMON_BYTES);

	if (ret >= 0)
		ret = add_capability(pci, CAPABILITY_NOTIFY, CAP_LONG_BYTES, NOTIFY_BASE,
			vdev->queue_count * NOTIFY_MULTIPLIER);
	if (ret < 0)
		return ret;
	put32(pci->device.config + ret + CAP_MULTIPLIER, NOTIFY_MULTIPLIER);
	ret = add_capability(pci, CAPABILITY_ISR, CAP_BYTES, ISR_BASE, 1);
	if (ret >= 0 && vdev->config_bytes)
		ret = add_capability(
			pci, CAPABILITY_DEVICE, CAP_BYTES, CONFIG_BASE, vdev->config_bytes);
	if (ret >= 0)
		ret = add_capability(pci, CAPABILITY_PCI_CONFIG, CAP_LONG_BYTES, 0, 0);
	if (ret < 0)
		return ret;
	pci->window_capability = (unsigned)ret;
	writable = pci->device.writable + ret;
	writable[CAP_BAR] = 0xff;
	memset(writable + CAP_OFFSET, 0xff, CAP_LONG_BYTES - CAP_OFFSET);
	pci->device.window = (uint8_t)(ret + CAP_DATA);
	pci->device.window_read = window_read;
	pci->device.window_write = window_write;
	return 0;
}

static int set_registers_bar(struct virtio_pci *pci)
{
	struct virtio_device *vdev = pci->vdev;
	const struct pci_bar bar = {
		.kind = PCI_BAR_MMIO,
		.size_bytes = REGISTERS_BYTES,
		.widths = BUS_WIDTH_ANY,
		.ops = &registers_ops,
		.opaque = pci,
		.lock = &vdev->device.lock,
		.doorbells = pci->doorbells,
		.doorbell_count = vdev->queue_count,
	};

	/* Of any width: so the kernel need not decode the instruction that writes. */
	for (unsigned i = 0; i < vdev->queue_count; i++)
		pci->doorbells[i] = (struct bus_doorbell){
			.address = NOTIFY_BASE + i * NOTIFY_MULTIPLIER,
			.eventfd = vdev->queues[i].kick_fd,
		};
	return pci_device_set_bar(&pci->device, REGISTERS_BAR, &bar);
}

static void free_all(struct virtio_pci *pci)
{
	pci_msi_destroy(pci->msi);
	virtio_pci_interrupts_fini(&pci->interrupts);
	free(pci);
}

int virtio_pci_create(struct virtio_device *vdev, uint32_t class_code, struct pci_bus *bus,
	const struct msi_controller *msi, struct virtio_pci **out, struct error *err)
{
	const struct pci_ids ids = {
		.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(FIRST_DEVICE_ID + vdev->id),
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = SUBSYSTEM,
		.class_code = class_code,
		.revision = 1,
	};
	struct virtio_pci *pci = calloc(1, sizeof(*pci));
	int ret;

	if (!pci)
		return error_set(err, ENOMEM, "%s: out of memory", vdev->name);
	pci->vdev = vdev;
	pci->transport = (struct virtio_transport){ queue_interrupt, config_interrupt };
	pci_device_init(&pci->device, vdev->name, &ids, 1);
	ret = pci_msix_create(&pci->device, msi, vdev->queue_count + 1, MSIX_BAR, &pci->msi, err);
	if (ret) {
		free(pci);
		return ret;
	}
	virtio_pci_interrupts_init(&pci->interrupts, &pci->device, pci->msi, vdev->queue_count);
	pci->msix_capability = pci->device.last_capability;
	pci->device.config_changed = config_changed;
	ret = vdev->config_bytes > NOTIFY_BASE - CONFIG_BASE ? -EINVAL : add_capabilities(pci);
	if (!ret)
		ret = set_registers_bar(pci);
	if (ret) {
		error_set(err, -ret, "%s: it does not fit a PCI device: %s", vdev->name,
			strerror(-ret));
		goto free;
	}
	vdev->transport = &pci->transport;
	ret = pci_bus_attach(bus, &pci->device, 0, err);
	if (ret)
		goto disconnect;
	*out = pci;
	return 0;

disconnect:
	vdev->transport = NULL;
free:
	free_all(pci);
	return ret;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
	if (!pci)
		return;
	pci_bus_detach(&pci->device);
	pci->vdev->transport = NULL;
	free_all(pci);
}

void virtio_pci_reset(struct virtio_pci *pci)
{
	pthread_mutex_lock(&pci->vdev->device.lock);
	set_live(pci, virtio_device_get_status(pci->vdev));
	reset_registers(pci);
	pthread_mutex_unlock(&pci->vdev->device.lock);
	pci_device_reset(&pci->device);
	pci_msi_reset(pci->msi);
	virtio_pci_interrupts_update(&pci->interrupts);
}

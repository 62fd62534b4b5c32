#include "core/pci_msi.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"

#define CAPABILITY_MSI  0x05
#define CAPABILITY_MSIX 0x11

/* MSI: offsets from the capability, with a 64-bit address and a mask bit. */
#define MSI_CONTROL   2
#define MSI_ADDRESS   4
#define MSI_DATA      12
#define MSI_MASK      16
#define MSI_PENDING   20
#define MSI_LENGTH    24
#define MSI_ENABLE    0x0001u
#define MSI_64_BIT    0x0080u
#define MSI_MASKABLE  0x0100u
#define MSIX_CONTROL  2
#define MSIX_TABLE    4
#define MSIX_PBA      8
#define MSIX_LENGTH   12
#define MSIX_ENABLE   0x8000u
#define MSIX_MASK_ALL 0x4000u
#define ENTRY_BYTES   16u
#define ENTRY_CONTROL 12u
#define ENTRY_MASKED  1u

struct vector {
	int gsi, fd;
	bool bound;
	uint8_t entry[ENTRY_BYTES]; /* as in the MSI-X table: address, data, control */
};

struct pci_msi {
	struct pci_device *device; /* immutable, like all without a comment */
	const struct msi_controller *controller;
	bool is_msix;
	unsigned capability, count, pba_offset;
	atomic_bool enabled;
	pthread_mutex_t lock; /* control, and the vectors but for gsi and fd */
	uint16_t control;     /* the capability's register, for who does not hold the bus's lock */
	struct vector vectors[];
};

static struct msi_message message_of(const struct vector *vector)
{
	struct msi_message message;

	memcpy(&message.address, vector->entry, 8);
	memcpy(&message.data, vector->entry + 8, 4);
	return message;
}

static bool is_pending(const struct vector *vector)
{
	struct pollfd poll_fd = { .fd = vector->fd, .events = POLLIN };

	return !vector->bound && poll(&poll_fd, 1, 0) == 1;
}

/* Binds and unbinds as control register and entry say; lock held. */
static void update_vector(struct pci_msi *msi, struct vector *vector)
{
	bool on = msi->is_msix ? (msi->control & MSIX_ENABLE) && !(msi->control & MSIX_MASK_ALL)
			       : (msi->control & MSI_ENABLE) != 0;
	bool active = on && !(vector->entry[ENTRY_CONTROL] & ENTRY_MASKED);
	const struct msi_controller *controller = msi->controller;
	struct msi_message message = message_of(vector);

	if (active && vector->bound) {
		(void)controller->update(controller->opaque, (unsigned)vector->gsi, &message);
	} else if (active) {
		vector->bound = controller->bind(controller->opaque, (unsigned)vector->gsi,
					vector->fd, &message) == 0;
		if (!vector->bound)
			log_guest("pci", "%s: no interrupts by message 0x%llx: KVM refuses it",
				msi->device->name, (unsigned long long)message.address);
	} else if (vector->bound) {
		controller->unbind(controller->opaque, (unsigned)vector->gsi, vector->fd);
		vector->bound = false;
	}
}

void pci_msi_config_changed(struct pci_msi *msi)
{
	const uint8_t *capability = msi->device->config + msi->capability;

	pthread_mutex_lock(&msi->lock);
	msi->control = (uint16_t)(capability[2] | capability[3] << 8);
	msi->device->uses_messages =
		(msi->control & (msi->is_msix ? MSIX_ENABLE : MSI_ENABLE)) != 0;
	atomic_store(&msi->enabled, msi->device->uses_messages);
	if (!msi->is_msix) {
		struct vector *vector = &msi->vectors[0];

		memset(vector->entry, 0, sizeof(vector->entry));
		memcpy(vector->entry, capability + MSI_ADDRESS, 8);
		memcpy(vector->entry + 8, capability + MSI_DATA, 2);
		vector->entry[ENTRY_CONTROL] = capability[MSI_MASK] & 1;
	}
	for (unsigned i = 0; i < msi->count; i++)
		update_vector(msi, &msi->vectors[i]);
	pthread_mutex_unlock(&msi->lock);
}

/* MSI's pending bit lies in config space: it is looked up when the guest does. */
static void config_reading(struct pci_device *device, unsigned offset)
{
	struct pci_msi *msi = device->msi;

	if (offset != msi->capability + MSI_PENDING)
		return;
	pthread_mutex_lock(&msi->lock);
	device->config[offset] = is_pending(&msi->vectors[0]);
	pthread_mutex_unlock(&msi->lock);
}

static void config_changed(struct pci_device *device, unsigned offset, unsigned width)
{
	struct pci_msi *msi = device->msi;

	if (offset + width > msi->capability && offset < msi->capability + MSI_LENGTH)
		pci_msi_config_changed(msi);
}

static uint64_t pending_bits(struct pci_msi *msi, unsigned first)
{
	uint64_t bits = 0;

	for (unsigned i = first; i < msi->count && i < first + 64; i++)
		bits |= (uint64_t)is_pending(&msi->vectors[i]) << (i - first);
	return bits;
}

static uint64_t table_read(void *opaque, uint64_t offset, unsigned width)
{
	struct pci_msi *msi = opaque;
	uint64_t value = 0;

	if (offset >= msi->pba_offset)
		return offset % 8 + width > 8
			       ? 0
			       : pending_bits(msi, (unsigned)(offset - msi->pba_offset) / 8 * 64) >>
					 (8 * (offset % 8));
	if (offset / ENTRY_BYTES >= msi->count)
		return 0;
	if (offset % ENTRY_BYTES + width <= ENTRY_BYTES)
		memcpy(&value, msi->vectors[offset / ENTRY_BYTES].entry + offset % ENTRY_BYTES,
			width);
	return value;
}

static void table_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct pci_msi *msi = opaque;
	struct vector *vector;

	if (offset / ENTRY_BYTES >= msi->count || offset % ENTRY_BYTES + width > ENTRY_BYTES)
		return;
	vector = &msi->vectors[offset / ENTRY_BYTES];
	memcpy(vector->entry + offset % ENTRY_BYTES, &value, width);
	/* Of the control dword only the mask bit exists. */
	vector->entry[ENTRY_CONTROL] &= ENTRY_MASKED;
	memset(vector->entry + ENTRY_CONTROL + 1, 0, 3);
	update_vector(msi, vector);
}

static const struct bus_region_ops table_ops = { .read = table_read, .write = table_write };

static int create(struct pci_device *device, const struct msi_controller *controller,
	unsigned count, bool is_msix, struct pci_msi **out, struct error *err)
{
	struct pci_msi *msi = calloc(1, sizeof(*msi) + count * sizeof(msi->vectors[0]));
	int ret = -ENOMEM;

	if (!msi)
		return error_set(err, ENOMEM, "%s: out of memory", device->name);
	msi->device = device;
	msi->controller = controller;
	msi->is_msix = is_msix;
	pthread_mutex_init(&msi->lock, NULL);
	for (; msi->count < count; msi->count++) {
		struct vector *vector = &msi->vectors[msi->count];

		vector->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->fd < 0) {
			ret = -errno;
			goto destroy;
		}
		vector->gsi = controller->allocate(controller->opaque);
		if (vector->gsi < 0) {
			ret = vector->gsi;
			close(vector->fd);
			goto destroy;
		}
		vector->entry[ENTRY_CONTROL] = is_msix ? ENTRY_MASKED : 0;
	}
	ret = pci_device_add_capability(device, is_msix ? CAPABILITY_MSIX : CAPABILITY_MSI,
		is_msix ? MSIX_LENGTH : MSI_LENGTH);
	if (ret < 0)
		goto destroy;
	msi->capability = (unsigned)ret;
	device->msi = msi;
	device->config_changed = config_changed;
	if (!is_msix)
		device->config_reading = config_reading;
	*out = msi;
	return 0;

destroy:
	pci_msi_destroy(msi);
	return error_set(err, -ret, "%s: no interrupt vectors: %s", device->name, strerror(-ret));
}

int pci_msix_create(struct pci_device *device, const struct msi_controller *controller,
	unsigned vectors, unsigned bar_index, struct pci_msi **out, struct error *err)
{
	struct pci_bar bar = {
		.kind = PCI_BAR_MMIO, .widths = BUS_WIDTH_4 | BUS_WIDTH_8, .ops = &table_ops
	};
	struct pci_msi *msi;
	uint8_t *config, *writable;
	int ret;

	if (!vectors || vectors > PCI_MSIX_MAX_VECTORS)
		return error_set(err, EINVAL, "%s: %u interrupt vectors", device->name, vectors);
	ret = create(device, controller, vectors, true, &msi, err);
	if (ret)
		return ret;
	/* At most 2 KiB of table and 16 bytes of pending bits in one page. */
	msi->pba_offset = 0x800;
	bar.size_bytes = PAGE_BYTES;
	bar.opaque = msi;
	bar.lock = &msi->lock;
	ret = pci_device_set_bar(device, bar_index, &bar);
	if (ret) {
		pci_msi_destroy(msi);
		return error_set(err, -ret, "%s: BAR %u is not possible", device->name, bar_index);
	}
	config = device->config + msi->capability;
	writable = device->writable + msi->capability;
	config[MSIX_CONTROL] = (uint8_t)(vectors - 1);
	writable[MSIX_CONTROL + 1] = (MSIX_ENABLE | MSIX_MASK_ALL) >> 8;
	config[MSIX_TABLE] = (uint8_t)bar_index;
	config[MSIX_PBA] = (uint8_t)bar_index;
	config[MSIX_PBA + 1] = (uint8_t)(msi->pba_offset >> 8);
	*out = msi;
	return 0;
}

int pci_msi_create(struct pci_device *device, const struct msi_controller *controller,
	struct pci_msi **out, struct error *err)
{
	struct pci_msi *msi;
	uint8_t *config, *writable;
	int ret = create(device, controller, 1, false, &msi, err);

	if (ret)
		return ret;
	config = device->config + msi->capability;
	writable = device->writable + msi->capability;
	config[MSI_CONTROL] = (uint8_t)MSI_64_BIT;
	config[MSI_CONTROL + 1] = MSI_MASKABLE >> 8;
	writable[MSI_CONTROL] = MSI_ENABLE;
	writable[MSI_ADDRESS] = 0xfc;
	memset(writable + MSI_ADDRESS + 1, 0xff, 7);
	memset(writable + MSI_DATA, 0xff, 2);
	writable[MSI_MASK] = 1;
	*out = msi;
	return 0;
}

void pci_msi_destroy(struct pci_msi *msi)
{
	if (!msi)
		return;
	for (unsigned i = 0; i < msi->count; i++) {
		struct vector *vector = &msi->vectors[i];

		if (vector->bound)
			msi->controller->unbind(
				msi->controller->opaque, (unsigned)vector->gsi, vector->fd);
		msi->controller->release(msi->controller->opaque, (unsigned)vector->gsi);
		close(vector->fd);
	}
	if (msi->device->msi == msi) {
		msi->device->msi = NULL;
		msi->device->config_changed = NULL;
		msi->device->config_reading = NULL;
	}
	pthread_mutex_destroy(&msi->lock);
	free(msi);
}

void pci_msi_reset(struct pci_msi *msi)
{
	pthread_mutex_lock(&msi->lock);
	msi->control = 0;
	atomic_store(&msi->enabled, false);
	for (unsigned i = 0; i < msi->count; i++) {
		struct vector *vector = &msi->vectors[i];
		uint64_t dropped;

		memset(vector->entry, 0, sizeof(vector->entry));
		vector->entry[ENTRY_CONTROL] = msi->is_msix ? ENTRY_MASKED : 0;
		update_vector(msi, vector);
		if (read(vector->fd, &dropped, sizeof(dropped)) < 0)
			continue; /* nothing was pending */
	}
	pthread_mutex_unlock(&msi->lock);
}

bool pci_msi_enabled(struct pci_msi *msi)
{
	return atomic_load_explicit(&msi->enabled, memory_order_relaxed);
}

int pci_msi_eventfd(const struct pci_msi *msi, unsigned vector)
{
	return vector < msi->count ? msi->vectors[vector].fd : -EINVAL;
}

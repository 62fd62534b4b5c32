/* Numbers of the virtio specification that every device and transport shares.
 *
 * Source: Virtual I/O Device (VIRTIO) 1.2, sections 2.1 (device status), 2.7 (split virtqueues), 5
 * (device types), 6 (reserved feature bits). */
#ifndef VMGUI_CORE_VIRTIO_VIRTIO_H
#define VMGUI_CORE_VIRTIO_VIRTIO_H

#include "core/util.h"

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
};

enum virtio_status {
	VIRTIO_STATUS_ACKNOWLEDGE = 0x01,
	VIRTIO_STATUS_DRIVER = 0x02,
	VIRTIO_STATUS_DRIVER_OK = 0x04,
	VIRTIO_STATUS_FEATURES_OK = 0x08,
	VIRTIO_STATUS_NEEDS_RESET = 0x40,
	VIRTIO_STATUS_FAILED = 0x80,
};

#define VIRTIO_FEATURE(bit) (UINT64_C(1) << (bit))

#define VIRTIO_F_INDIRECT_DESC VIRTIO_FEATURE(28)
#define VIRTIO_F_EVENT_IDX     VIRTIO_FEATURE(29)
#define VIRTIO_F_VERSION_1     VIRTIO_FEATURE(32)
#define VIRTIO_F_RING_RESET    VIRTIO_FEATURE(40)

/* What virtio_device offers for every device. */
#define VIRTIO_COMMON_FEATURES                                                                     \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_RESET)

#endif

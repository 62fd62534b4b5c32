/* What the two halves of the block device share: virtio_blk.c (the device: features, configuration
 * space, life of the queues) and virtio_blk_request.c (a request's way through).
 *
 * A request's way:
 *
 *   ring --pop--> slot --submit--> disk --done--> answer --> used ring, shown at the batch's end
 *                  ^                       |
 *                  +------ stalled <-------+ no space on the host
 *                  +------ flush <---------+ written, and the driver cannot ask for a flush
 *
 * Threads: all of it is the disk's thread's, but for what names another owner; no locks, and no
 * memory allocated for a request. Calls from vCPU threads (with device.lock) only leave an order
 * and post. */
#ifndef VMGUI_DEVICES_VIRTIO_BLK_INTERNAL_H
#define VMGUI_DEVICES_VIRTIO_BLK_INTERNAL_H

#include "devices/virtio_blk.h"

/* 5.2.3 */
#define VIRTIO_BLK_F_SEG_MAX      VIRTIO_FEATURE(2)
#define VIRTIO_BLK_F_RO           VIRTIO_FEATURE(5)
#define VIRTIO_BLK_F_BLK_SIZE     VIRTIO_FEATURE(6)
#define VIRTIO_BLK_F_FLUSH        VIRTIO_FEATURE(9)
#define VIRTIO_BLK_F_TOPOLOGY     VIRTIO_FEATURE(10)
#define VIRTIO_BLK_F_CONFIG_WCE   VIRTIO_FEATURE(11)
#define VIRTIO_BLK_F_MQ           VIRTIO_FEATURE(12)
#define VIRTIO_BLK_F_DISCARD      VIRTIO_FEATURE(13)
#define VIRTIO_BLK_F_WRITE_ZEROES VIRTIO_FEATURE(14)

/* Limits that drivers are told (5.2.4). A single request must not keep the host busy for long. */
#define BLK_MAX_SEGMENTS             16u /* of one discard or write-zeroes request */
#define BLK_MAX_DISCARD_SECTORS      (UINT32_C(1) << 21) /* 1 GiB */
#define BLK_MAX_WRITE_ZEROES_SECTORS (UINT32_C(1) << 19) /* 256 MiB */

/* struct virtio_blk_discard_write_zeroes (5.2.6). */
struct blk_segment {
	uint64_t sector;
	uint32_t sector_count;
	uint32_t flags;
};

/* A request from its pop to its answer. */
struct blk_slot {
	struct block_request request;
	struct blk_queue *queue; /* immutable, as the three pointers that follow */
	struct iovec *iov;       /* as many entries as the queue is large */
	struct blk_segment *segments;
	struct blk_slot *next;    /* in the list that the slot is in */
	volatile uint8_t *status; /* in guest memory */
	uint64_t room_bytes;      /* writable in front of the status */
	uint16_t head;
	uint8_t segment, segment_count;
	bool sync; /* a flush is to follow before it is answered */
};

struct blk_list {
	struct blk_slot *first, *last;
};

enum blk_order {
	BLK_ORDER_NONE,
	BLK_ORDER_START,
	BLK_ORDER_STOP,
};

struct blk_queue {
	struct virtio_blk *blk; /* immutable, as index, ring, size and arena */
	unsigned index;
	struct virtqueue *ring;
	uint32_t size;
	void *arena; /* slots, their iovs, segments and scratch; pages untouched until needed */
	size_t arena_bytes;
	struct blk_slot *free;
	unsigned in_flight; /* slots that are not free */
	bool live;
	bool stopping; /* live, but nothing is popped or answered any more */
	bool broken;   /* by the driver: nothing is popped until it is stopped */
	bool quiet;    /* the driver has been asked not to notify */
	bool filled;   /* there is something to publish */
	bool again;    /* again_call is on its way */
	struct block_call again_call;
	atomic_int order;       /* enum blk_order; the latest that has not been carried out */
	atomic_bool order_sent; /* order_call is on its way */
	struct block_call order_call;
};

struct virtio_blk {
	struct virtio_device vdev;
	struct virtio_blk_config config; /* immutable, as queue_count and serial */
	struct block_disk *disk;
	char serial[VIRTIO_BLK_SERIAL_BYTES];
	struct blk_queue *queues;
	unsigned queue_count;
	uint64_t capacity_bytes; /* device.lock: what the configuration space says */
	bool writeback;          /* device.lock: the configuration field */
	atomic_bool sync_writes; /* from both: each write is to be durable when it is answered */
	struct blk_list stalled;
	atomic_bool resume_sent; /* resume_call is on its way */
	struct block_call resume_call;
};

/* ---- virtio_blk_request.c; all in the disk's thread ---- */

/* Pops and begins what the driver has made available. */
void blk_serve(struct blk_queue *queue);
/* Everything that came has been dealt with: answers are shown, notifications asked for again. */
void blk_batch_end(void *opaque);
void blk_request_done(struct block_request *request);
/* Tries all stalled requests again, in the order in which they stalled. */
void blk_retry_stalled(struct virtio_blk *blk);
/* Frees the queue's stalled requests, unanswered. */
void blk_drop_stalled(struct blk_queue *queue);

/* ---- virtio_blk.c ---- */

/* The queue is stopping and nothing of it is in flight any more. In the disk's thread. */
void blk_queue_stopped(struct blk_queue *queue);

#endif

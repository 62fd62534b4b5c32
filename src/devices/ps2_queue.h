/* The bytes that a PS/2 device has still to send: a bounded queue of whole sequences.
 *
 * A sequence (a key's scan code, a mouse packet, an answer to a command) goes in whole or not at
 * all, and the queue knows when it stands inside one. Guarded by its owner's lock. */
#ifndef VMGUI_DEVICES_PS2_QUEUE_H
#define VMGUI_DEVICES_PS2_QUEUE_H

#include "core/util.h"

#define PS2_QUEUE_BYTES 64u

struct ps2_queue {
	uint8_t bytes[PS2_QUEUE_BYTES];
	bool last[PS2_QUEUE_BYTES]; /* the byte ends its sequence */
	unsigned head, count;
	bool inside; /* the last byte taken did not end its sequence */
};

static inline void ps2_queue_clear(struct ps2_queue *queue)
{
	queue->head = queue->count = 0;
	queue->inside = false;
}

static inline unsigned ps2_queue_room(const struct ps2_queue *queue)
{
	return PS2_QUEUE_BYTES - queue->count;
}

/* Returns whether the sequence fitted; if not, nothing was taken. */
static inline bool ps2_queue_put(struct ps2_queue *queue, const uint8_t *sequence, unsigned length)
{
	if (length > ps2_queue_room(queue))
		return false;
	for (unsigned i = 0; i < length; i++) {
		unsigned tail = (queue->head + queue->count++) % PS2_QUEUE_BYTES;
		queue->bytes[tail] = sequence[i];
		queue->last[tail] = i + 1 == length;
	}
	return true;
}

static inline bool ps2_queue_get(struct ps2_queue *queue, uint8_t *byte)
{
	if (!queue->count)
		return false;
	*byte = queue->bytes[queue->head];
	queue->inside = !queue->last[queue->head];
	queue->head = (queue->head + 1) % PS2_QUEUE_BYTES;
	queue->count--;
	return true;
}

#endif

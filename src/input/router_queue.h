/* What waits for one sink, in order, and how it gets there. Part of the router; guarded by its
 * lock, which the caller holds. */
#ifndef VMGUI_INPUT_ROUTER_QUEUE_H
#define VMGUI_INPUT_ROUTER_QUEUE_H

#include "core/input_sink.h"

#define INPUT_QUEUE_EVENTS 4096u

enum pointer_motion {
	MOTION_NONE,
	MOTION_RELATIVE,
	MOTION_ABSOLUTE,
};

/* One packet of a pointer: motion first, then at most one button change, then the wheel. */
struct pointer_packet {
	enum pointer_motion motion;
	int dx, dy;
	unsigned x, y, width, height;
	int vertical, horizontal;
	unsigned button; /* evdev code; 0: none */
	bool down;
};

struct input_source;

/* An event's place in the order of all that a sink was sent; 0: before all. */
struct input_place {
	int sink;
	uint64_t number;
};

struct input_event {
	struct input_source *source; /* NULL: the router itself, or it is gone */
	struct input_place after;    /* what the guest has to have read before */
	bool pointer;
	bool handed_over; /* pointer: the sink has it as pending, only its sync is left */
	bool key_down;
	unsigned key_code;
	struct pointer_packet packet;
};

struct input_queue {
	struct input_sink *sink; /* immutable */
	unsigned head, count;
	/* Numbers of the last event that came, was handed over, and was read by the guest. */
	uint64_t came, handed, read;
	unsigned owed; /* releases still to come, and button changes that wait for their sync */
	struct input_event events[INPUT_QUEUE_EVENTS];
};

/* Whether it matters to the guest which keys are down. */
bool pointer_packet_is_action(const struct pointer_packet *packet);
bool pointer_packet_is_empty(const struct pointer_packet *packet);
/* Motion and wheel of `from`, which is later, become part of `into`. */
void pointer_packet_collect(struct pointer_packet *into, const struct pointer_packet *from);

/* Whether so many events more leave every release that is owed its place. */
bool input_queue_has_room(const struct input_queue *queue, unsigned more);
/* The caller has made sure that there is room. */
void input_queue_add_key(struct input_queue *queue, struct input_source *source,
	struct input_place after, unsigned code, bool down);
void input_queue_add_packet(struct input_queue *queue, struct input_source *source,
	struct input_place after, const struct pointer_packet *packet);
/* Makes the packet part of the last one that waits, which becomes `source`'s. False: that would
 * change an order that matters, or none waits. *before: whose it was. */
bool input_queue_join(struct input_queue *queue, struct input_source *source,
	struct input_place after, const struct pointer_packet *packet,
	struct input_source **before);
/* The first event that waits, or NULL. */
const struct input_event *input_queue_first(const struct input_queue *queue);
/* Hands the first event over. False: none is there, or the sink has no room. */
bool input_queue_deliver(struct input_queue *queue, struct input_source **source);
/* Events stay, but nobody is told of them. */
void input_queue_forget(struct input_queue *queue, const struct input_source *source);
/* Forgets all; marks in released[KEY_CNT] what one of the events was to let go. */
void input_queue_clear(struct input_queue *queue, bool *released);

#endif

#include "input/router_queue.h"

#include <errno.h>
#include <limits.h>

#include "core/log.h"

static int add_saturated(int a, int b)
{
	int sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT_MIN + 1 : INT_MAX;
	return sum;
}

void pointer_packet_collect(struct pointer_packet *into, const struct pointer_packet *from)
{
	if (from->motion == MOTION_RELATIVE) {
		into->dx = add_saturated(into->dx, from->dx);
		into->dy = add_saturated(into->dy, from->dy);
		into->motion = MOTION_RELATIVE;
	} else if (from->motion == MOTION_ABSOLUTE) {
		into->x = from->x;
		into->y = from->y;
		into->width = from->width;
		into->height = from->height;
		into->motion = MOTION_ABSOLUTE;
	}
	into->vertical = add_saturated(into->vertical, from->vertical);
	into->horizontal = add_saturated(into->horizontal, from->horizontal);
}

bool pointer_packet_is_empty(const struct pointer_packet *packet)
{
	return packet->motion == MOTION_NONE && !packet->vertical && !packet->horizontal &&
	       !packet->button;
}

bool pointer_packet_is_action(const struct pointer_packet *packet)
{
	return packet->button || packet->vertical || packet->horizontal;
}

/* Far one way and back on one axis: that is not the sum of both if the guest's pointer stops at an
 * edge in between, on which senders rely (vnc/pointer.h). */
static bool turns_back(int before, int after)
{
	const int far = 255; /* what a mouse moves in one packet */

	return ((before > 0 && after < 0) || (before < 0 && after > 0)) &&
	       (before > far || before < -far || after > far || after < -far);
}

/* Whether `after` can join `before`, which is still waiting: nothing in it may overtake a button,
 * and a wheel stays where it turned. */
static bool packets_join(const struct pointer_packet *before, const struct pointer_packet *after)
{
	if (before->button)
		return false;
	if ((after->button || after->motion == MOTION_ABSOLUTE) &&
		(before->vertical || before->horizontal))
		return false;
	if (before->motion == MOTION_RELATIVE && after->motion == MOTION_RELATIVE &&
		(turns_back(before->dx, after->dx) || turns_back(before->dy, after->dy)))
		return false;
	return before->motion == MOTION_NONE || after->motion == MOTION_NONE ||
	       before->motion == after->motion;
}

bool input_queue_has_room(const struct input_queue *queue, unsigned more)
{
	return queue->count + queue->owed + more <= INPUT_QUEUE_EVENTS;
}

static struct input_event *append(
	struct input_queue *queue, struct input_source *source, struct input_place after)
{
	struct input_event *event =
		&queue->events[(queue->head + queue->count) % INPUT_QUEUE_EVENTS];

	*event = (struct input_event){ .source = source, .after = after };
	queue->count++;
	queue->came++;
	return event;
}

void input_queue_add_key(struct input_queue *queue, struct input_source *source,
	struct input_place after, unsigned code, bool down)
{
	struct input_event *event = append(queue, source, after);

	event->key_code = code;
	event->key_down = down;
}

void input_queue_add_packet(struct input_queue *queue, struct input_source *source,
	struct input_place after, const struct pointer_packet *packet)
{
	struct input_event *event = append(queue, source, after);

	event->pointer = true;
	event->packet = *packet;
}

bool input_queue_join(struct input_queue *queue, struct input_source *source,
	struct input_place after, const struct pointer_packet *packet, struct input_source **before)
{
	struct input_event *tail;

	if (!queue->count)
		return false;
	tail = &queue->events[(queue->head + queue->count - 1) % INPUT_QUEUE_EVENTS];
	if (!tail->pointer || tail->handed_over || !packets_join(&tail->packet, packet))
		return false;
	/* Somebody may wait for an action, who would then wait for what comes after himself. */
	if (after.number && (tail->after.number || pointer_packet_is_action(&tail->packet)))
		return false;
	if (after.number)
		tail->after = after;
	pointer_packet_collect(&tail->packet, packet);
	tail->packet.button = packet->button;
	tail->packet.down = packet->down;
	*before = tail->source;
	tail->source = source;
	return true;
}

static void hand_over(struct input_sink *sink, const struct pointer_packet *packet)
{
	if (packet->motion == MOTION_RELATIVE)
		sink->ops->relative(sink, packet->dx, packet->dy);
	else if (packet->motion == MOTION_ABSOLUTE)
		sink->ops->absolute(sink, packet->x, packet->y, packet->width, packet->height);
	if (packet->button)
		sink->ops->button(sink, packet->button, packet->down);
	if (packet->vertical || packet->horizontal)
		sink->ops->wheel(sink, packet->vertical, packet->horizontal);
}

/* False: it stays at the head. */
static bool deliver(struct input_sink *sink, struct input_event *event)
{
	int result;

	if (event->pointer) {
		if (!event->handed_over)
			hand_over(sink, &event->packet);
		event->handed_over = true;
		return sink->ops->sync(sink) != -EAGAIN;
	}
	result = sink->ops->key(sink, event->key_code, event->key_down);
	if (result < 0 && result != -EAGAIN && event->key_down)
		log_guest("input", "%s: key %u is not taken%s", sink->ops->name, event->key_code,
			result == -ENODEV ? ": switched off" : "");
	return result != -EAGAIN;
}

const struct input_event *input_queue_first(const struct input_queue *queue)
{
	return queue->count ? &queue->events[queue->head] : NULL;
}

bool input_queue_deliver(struct input_queue *queue, struct input_source **source)
{
	struct input_event *event = &queue->events[queue->head];

	if (!queue->count || !deliver(queue->sink, event))
		return false;
	*source = event->source;
	queue->head = (queue->head + 1) % INPUT_QUEUE_EVENTS;
	queue->count--;
	queue->handed++;
	return true;
}

void input_queue_forget(struct input_queue *queue, const struct input_source *source)
{
	for (unsigned i = 0; i < queue->count; i++) {
		struct input_event *event = &queue->events[(queue->head + i) % INPUT_QUEUE_EVENTS];

		if (event->source == source)
			event->source = NULL;
	}
}

void input_queue_clear(struct input_queue *queue, bool *released)
{
	for (unsigned i = 0; i < queue->count; i++) {
		const struct input_event *event =
			&queue->events[(queue->head + i) % INPUT_QUEUE_EVENTS];

		if (event->pointer && !event->packet.down)
			released[event->packet.button] = true; /* or 0, which is nothing */
		else if (!event->pointer && !event->key_down)
			released[event->key_code] = true;
	}
	released[0] = false;
	queue->head = queue->count = 0;
	queue->handed = queue->read = queue->came;
}

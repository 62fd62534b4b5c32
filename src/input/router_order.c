/* Keys, buttons and wheels of one source reach the guest in the order in which they were used,
 * though they go through devices that know nothing of each other: a Ctrl that was pressed before a
 * click is down when the guest hears of the click, and one that was let go after it is up
 * afterwards, however slow the guest is. Motion alone waits for no key, and no key for it.
 *
 *   keyboard's queue:  [ Ctrl down, 1 ] [ Ctrl up, 2: after 1 of the pointer ]
 *   pointer's queue:   [ left down, 1: after 1 of the keyboard ]
 *
 * An event remembers the last one of its source that went to another sink, and stays at the head of
 * its queue until the guest has read that. A sink says only whether all that it has was read; so
 * while somebody waits for that, it is given nothing more, and motion merges in its queue.
 *
 * A guest that does not read one device must not lose the other: whoever has waited for
 * ROUTER_PATIENCE_NS without anything being taken goes ahead, and after that nobody waits for that
 * device until it has been read.
 *
 * Threads: any, with the router's lock held; "input" looks again when patience ends. */
#include "core/clock.h"
#include "core/timer.h"
#include "input/router_state.h"

struct input_place router_place_before(const struct input_source *source, int sink)
{
	const struct input_place none = { 0 };

	return source && source->last.sink != sink ? source->last : none;
}

void router_note_place(struct input_source *source, int sink)
{
	if (source)
		source->last = (struct input_place){ .sink = sink,
			.number = source->router->sinks[sink]->queue.came };
}

static void stop_waiting(struct attached_sink *attached, bool given_up)
{
	attached->awaited_since_ns = 0;
	attached->given_up = given_up;
}

void router_stop_waiting(struct input_router *router, int sink)
{
	stop_waiting(router->sinks[sink], false);
}

static bool is_drained(const struct attached_sink *attached)
{
	struct input_sink *sink = attached->queue.sink;

	return !sink->ops->drained || sink->ops->drained(sink);
}

/* Asking makes the sink tell when it is, if it is not. */
static void look_whether_read(struct attached_sink *attached)
{
	if (!is_drained(attached))
		return;
	attached->queue.read = attached->queue.handed;
	stop_waiting(attached, false);
}

/* Whether the guest has read up to there, or cannot be expected to. If not, somebody waits now. */
static bool is_past(struct input_router *router, struct input_place place)
{
	struct attached_sink *attached = router->sinks[place.sink];
	const struct input_queue *queue = &attached->queue;

	if (place.number <= queue->read)
		return true;
	if (place.number <= queue->handed)
		look_whether_read(attached);
	if (place.number <= queue->read || attached->given_up)
		return true;
	if (!attached->awaited_since_ns) {
		attached->awaited_since_ns = clock_now_ns();
		router_wake(router); /* its patience has to end some time */
	} else if (!router->paused &&
		   clock_now_ns() - attached->awaited_since_ns >= router->patience_ns) {
		stop_waiting(attached, true);
		router_wake(router);
		return true;
	}
	return false;
}

void router_look_at_given_up(struct input_router *router)
{
	for (int i = 0; i < router->sink_count; i++) {
		struct attached_sink *attached = router->sinks[i];

		/* What waits for room is a sign that it is not read, too. */
		if (attached->given_up && !attached->queue.count)
			look_whether_read(attached);
	}
}

bool router_must_wait(struct input_router *router, int sink)
{
	const struct input_queue *queue = &router->sinks[sink]->queue;
	const struct input_event *first = input_queue_first(queue);

	if (!first)
		return false;
	if (first->after.number && !is_past(router, first->after))
		return true;
	for (int i = 0; i < router->sink_count && !first->handed_over; i++) {
		const struct input_event *other = input_queue_first(&router->sinks[i]->queue);

		if (other && other->after.number && other->after.sink == sink &&
			other->after.number <= queue->handed && !is_past(router, other->after))
			return true;
	}
	return false;
}

void router_note_progress(struct input_router *router, int sink)
{
	struct attached_sink *attached = router->sinks[sink];

	if (!attached->awaited_since_ns)
		return;
	attached->awaited_since_ns = clock_now_ns();
	router_wake(router); /* whom it was for */
}

void router_start_patience(struct input_router *router)
{
	for (int i = 0; i < router->sink_count; i++) {
		if (router->sinks[i]->awaited_since_ns)
			router->sinks[i]->awaited_since_ns = clock_now_ns();
	}
	router_wake(router);
}

int router_patience_ms(struct input_router *router)
{
	uint64_t now = clock_now_ns(), least = UINT64_MAX;

	for (int i = 0; i < router->sink_count && !router->paused; i++) {
		uint64_t since = router->sinks[i]->awaited_since_ns;
		uint64_t passed = since ? now - since : 0;

		if (since && passed < router->patience_ns && router->patience_ns - passed < least)
			least = router->patience_ns - passed;
		else if (since && passed >= router->patience_ns)
			least = 0;
	}
	return least == UINT64_MAX ? -1 : (int)(least / NS_PER_MS) + 1;
}

/* What Caps Lock is in the guest, for those who type by symbols.
 *
 * The guest tells by its light, but only after it has taken the key; whoever types on at once must
 * reckon with the taps that are still on their way. A guest that has not answered after a while
 * has no light, or uses the key for something else: then what it said last holds, and further taps
 * count for nothing until its light does change.
 *
 * Threads: belongs to one. */
#ifndef VMGUI_INPUT_CAPS_LOCK_H
#define VMGUI_INPUT_CAPS_LOCK_H

#include "core/clock.h"
#include "core/input_sink.h"

/* Long for a guest, but the keys before it may be waiting in a queue. */
#define CAPS_LOCK_ANSWER_NS UINT64_C(3000000000)

struct caps_lock {
	bool light;       /* as last told */
	bool answered;    /* it has changed since the last tap */
	bool mute;        /* taps do not change it */
	unsigned pending; /* taps that the light has not answered yet */
	uint64_t tapped_ns;
};

/* leds: enum input_led mask, as it is now. True: capitals. */
static inline bool caps_lock_look(struct caps_lock *caps, unsigned leds)
{
	bool light = leds & INPUT_LED_CAPS;

	if (light != caps->light) {
		caps->light = light;
		caps->answered = true;
		caps->mute = false;
		if (caps->pending)
			caps->pending--;
	}
	if (caps->pending && clock_now_ns() - caps->tapped_ns > CAPS_LOCK_ANSWER_NS) {
		/* Of an even number nothing may be left to see. */
		caps->mute = !caps->answered && (caps->pending & 1);
		caps->pending = 0;
	}
	return light ^ (caps->pending & 1);
}

/* The key goes down. */
static inline void caps_lock_tapped(struct caps_lock *caps)
{
	if (caps->mute)
		return;
	caps->pending++;
	caps->answered = false;
	caps->tapped_ns = clock_now_ns();
}

#endif

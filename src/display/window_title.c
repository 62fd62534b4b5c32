/* Titles of windows; see window_title.h. */
#include "display/window_title.h"

#include <stdio.h>

#include "core/input_sink.h"

const char *window_state_name(enum vm_state state)
{
	switch (state) {
	case VM_RUNNING:
		return "running";
	case VM_PAUSED:
		return "paused";
	case VM_POWERING_DOWN:
		return "powering down";
	case VM_ENDED:
		break;
	}
	return "ended";
}

const char *window_end_reason(const struct display_host *host, enum vm_state state)
{
	const struct vm_control *control = host->control;

	return state == VM_ENDED && control->end_reason ? control->end_reason(control->opaque)
							: NULL;
}

/* A guest with an absolute pointer never has the mouse taken, and only the chord takes the
 * keyboard; a relative one takes both by a click. */
static const char *release_effect(const struct window_facts *facts)
{
	if (!(facts->capabilities & INPUT_POINTER_ABSOLUTE) &&
		facts->capabilities & INPUT_POINTER_RELATIVE)
		return "releases the mouse";
	return facts->grabbed ? "releases the keyboard" : "grabs the keyboard";
}

void window_title(
	const struct display_host *host, const struct window_facts *facts, char *text, size_t size)
{
	const struct display_settings *settings =
		host->settings ? host->settings : &display_settings_default;
	const char *reason = window_end_reason(host, facts->state);
	char picture[32] = "no picture", release[80] = "";

	if (facts->width)
		snprintf(picture, sizeof(picture), "%ux%u", facts->width, facts->height);
	if (settings->release.keysym && facts->has_input && facts->state != VM_ENDED)
		snprintf(release, sizeof(release), " - %s %s", settings->release.text,
			release_effect(facts));
	snprintf(text, size, "%.64s - %.64s%s - %s%s%s%s", host->guest_name,
		reason ? reason : window_state_name(facts->state),
		facts->state == VM_POWERING_DOWN ? ", close twice to end it" : "", picture,
		facts->leds & INPUT_LED_CAPS ? " - Caps Lock" : "",
		facts->leds & INPUT_LED_SCROLL ? " - Scroll Lock" : "", release);
}

/* The controller's keyboard and mouse as input sinks (core/input_sink.h).
 *
 * Threads: any; each call takes base.lock. */
#include <errno.h>

#include "devices/i8042_internal.h"

/* The keyboard as an input sink. */

static struct i8042 *of_keyboard(struct input_sink *sink)
{
	return container_of(sink, struct i8042, keyboard_sink);
}

static int sink_key(struct input_sink *sink, unsigned code, bool down)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	int rc = ps2_keyboard_key(&controller->keyboard, code, down);
	if (rc == -EAGAIN)
		controller->keyboard_waits = true;
	i8042_refill(controller);
	pthread_mutex_unlock(&controller->base.lock);
	return rc;
}

static bool sink_keyboard_drained(struct input_sink *sink)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	bool drained = i8042_keyboard_is_drained(controller);
	controller->keyboard_waits |= !drained;
	pthread_mutex_unlock(&controller->base.lock);
	return drained;
}

static unsigned keyboard_active(struct input_sink *sink)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	unsigned active = controller->keyboard.scanning ? INPUT_KEYBOARD : 0;
	pthread_mutex_unlock(&controller->base.lock);
	return active;
}

static void set_keyboard_listener(
	struct input_sink *sink, const struct input_sink_listener *listener)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	controller->keyboard_listener = listener ? *listener : (struct input_sink_listener){ 0 };
	if (listener && listener->leds_changed)
		listener->leds_changed(listener->opaque, controller->keyboard.leds);
	pthread_mutex_unlock(&controller->base.lock);
}

static void ignore_relative(struct input_sink *sink, int dx, int dy)
{
	(void)sink, (void)dx, (void)dy;
}

static void ignore_absolute(
	struct input_sink *sink, unsigned x, unsigned y, unsigned width, unsigned height)
{
	(void)sink, (void)x, (void)y, (void)width, (void)height;
}

static void ignore_button(struct input_sink *sink, unsigned code, bool down)
{
	(void)sink, (void)code, (void)down;
}

static void ignore_wheel(struct input_sink *sink, int vertical, int horizontal)
{
	(void)sink, (void)vertical, (void)horizontal;
}

static int keyboard_sync(struct input_sink *sink)
{
	(void)sink; /* keys go as they come */
	return 0;
}

const struct input_sink_ops i8042_keyboard_sink_ops = {
	.name = "PS/2 keyboard",
	.key = sink_key,
	.relative = ignore_relative,
	.absolute = ignore_absolute,
	.button = ignore_button,
	.wheel = ignore_wheel,
	.sync = keyboard_sync,
	.drained = sink_keyboard_drained,
	.active = keyboard_active,
	.set_listener = set_keyboard_listener,
};

/* The mouse as an input sink. */

static struct i8042 *of_mouse(struct input_sink *sink)
{
	return container_of(sink, struct i8042, mouse_sink);
}

static int ignore_key(struct input_sink *sink, unsigned code, bool down)
{
	(void)sink, (void)code, (void)down;
	return -ENOENT;
}

static void sink_relative(struct input_sink *sink, int dx, int dy)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	ps2_mouse_relative(&controller->mouse, dx, dy);
	pthread_mutex_unlock(&controller->base.lock);
}

static void sink_button(struct input_sink *sink, unsigned code, bool down)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	ps2_mouse_button(&controller->mouse, code, down);
	pthread_mutex_unlock(&controller->base.lock);
}

static void sink_wheel(struct input_sink *sink, int vertical, int horizontal)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	ps2_mouse_wheel(&controller->mouse, vertical, horizontal);
	pthread_mutex_unlock(&controller->base.lock);
}

static int sink_sync(struct input_sink *sink)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	int rc = ps2_mouse_sync(&controller->mouse);
	if (rc == -EAGAIN)
		controller->mouse_waits = true;
	i8042_refill(controller);
	pthread_mutex_unlock(&controller->base.lock);
	return rc;
}

static bool sink_mouse_drained(struct input_sink *sink)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	bool drained = i8042_mouse_is_drained(controller);
	controller->mouse_drain_waits |= !drained;
	pthread_mutex_unlock(&controller->base.lock);
	return drained;
}

static unsigned mouse_active(struct input_sink *sink)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	bool active = controller->mouse.reporting || controller->mouse.remote;
	pthread_mutex_unlock(&controller->base.lock);
	return active ? INPUT_POINTER_RELATIVE : 0;
}

static void set_mouse_listener(struct input_sink *sink, const struct input_sink_listener *listener)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	controller->mouse_listener = listener ? *listener : (struct input_sink_listener){ 0 };
	if (listener && listener->leds_changed)
		listener->leds_changed(listener->opaque, 0);
	pthread_mutex_unlock(&controller->base.lock);
}

const struct input_sink_ops i8042_mouse_sink_ops = {
	.name = "PS/2 mouse",
	.key = ignore_key,
	.relative = sink_relative,
	.absolute = ignore_absolute,
	.button = sink_button,
	.wheel = sink_wheel,
	.sync = sink_sync,
	.drained = sink_mouse_drained,
	.active = mouse_active,
	.set_listener = set_mouse_listener,
};

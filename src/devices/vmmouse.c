/* The VMware pointer: absolute positions behind a PS/2 mouse, by the VMware backdoor.
 *
 * No public specification; the protocol is what Linux's psmouse (drivers/input/mouse/vmmouse.c) and
 * X.Org's vmmouse driver speak. A guest reads port 5658h by IN EAX, DX, with arguments in
 *registers:
 *
 *	EAX 564D5868h   CX command   EBX argument
 *
 *	10  version: EAX 6, EBX 564D5868h, ECX the product
 *	39  data: takes EBX (1 to 6) dwords from the queue into EAX, EBX, ECX, EDX, ESI, EDI
 *	40  status: how many dwords wait; FFFF0000h: off, or the two have lost step
 *	41  control, by EBX: switch on and tell the identity, switch off, ask for relative or for
 *	    absolute records
 *
 * A record is four dwords:
 *
 *	buttons (left 20h, right 10h, middle 08h), 10000h if it is relative
 *	x   0 to FFFFh, or signed
 *	y   0 to FFFFh down, or signed and up
 *	wheel, a signed byte, down positive
 *
 * There is no interrupt: each record comes with a packet of the PS/2 mouse, whose content the
 * driver does not look at. A guest that asked for absolute records takes relative ones, too; these
 * serve a window that has grabbed the mouse, and buttons before there has been a position.
 *
 * Any other access reads all ones. Threads: vCPUs (the port), any thread (the sink); base.lock
 * guards all that is not immutable. The PS/2 mouse's lock comes after it. */
#include "devices/vmmouse.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define MAGIC    0x564d5868u
#define ALL_ONES 0xffffffffu

enum {
	COMMAND_VERSION = 10,
	COMMAND_DATA = 39,
	COMMAND_STATUS = 40,
	COMMAND_CONTROL = 41,

	BACKDOOR_VERSION = 6,
	BACKDOOR_PRODUCT = 4, /* a workstation's */

	RECORD_DWORDS = 4,
	DATA_MAX = 6,
	QUEUE_RECORDS = 32,
	QUEUE_DWORDS = (QUEUE_RECORDS + 1) * RECORD_DWORDS, /* and the rest of one */

	WHEEL_STEP = 120,
	WHEEL_MAX = 127, /* steps in a record */
	WHEEL_PENDING_MAX = 4 * WHEEL_MAX * WHEEL_STEP,
};

#define CONTROL_ON       0x45414552u
#define CONTROL_OFF      0x000000f5u
#define CONTROL_RELATIVE 0x4c455252u
#define CONTROL_ABSOLUTE 0x53424152u

#define IDENTITY   0x3442554au
#define STATUS_OFF 0xffff0000u

#define RECORD_LEFT     0x20u
#define RECORD_RIGHT    0x10u
#define RECORD_MIDDLE   0x08u
#define RECORD_RELATIVE 0x10000u

enum mode {
	MODE_OFF,
	MODE_ON, /* has not said yet what it wants */
	MODE_RELATIVE,
	MODE_ABSOLUTE,
};

struct vmmouse {
	struct device base;
	struct input_sink sink; /* immutable, like the next two */
	struct vmmouse_config config;
	bool claimed;

	enum mode mode;
	uint32_t queue[QUEUE_DWORDS];
	unsigned head, count;
	bool tail_is_motion; /* the last record is plain motion: more may join it */

	/* What came since the last record. */
	bool placed;
	uint16_t x, y;
	int dx, dy;
	unsigned buttons; /* a mask of RECORD_ buttons */
	int wheel;        /* 120ths, up positive */
	bool ps2_changed; /* the PS/2 mouse has something to send */

	/* What the guest has been told. */
	unsigned sent_buttons;
	bool has_position;
	uint16_t sent_x, sent_y;

	bool waits, drain_waits; /* a sync said -EAGAIN; somebody wants to know when all is read */
	struct input_sink_listener listener;
};

/* Drivers map 0..FFFFh to their screen as value * size / 10000h, libinput and X with a rounding of
 * their own on the way. The greatest value below the pixel's middle gets to that pixel whether the
 * result is cut off or rounded. */
uint16_t vmmouse_coordinate(unsigned at, unsigned size)
{
	uint64_t middle_numerator = (2 * (uint64_t)at + 1) * 0x8000;

	return (uint16_t)((middle_numerator + size - 1) / size - 1);
}

/* The queue. */

static uint32_t *queue_at(struct vmmouse *mouse, unsigned index)
{
	return &mouse->queue[(mouse->head + index) % QUEUE_DWORDS];
}

static uint32_t take_dword(struct vmmouse *mouse)
{
	uint32_t value = *queue_at(mouse, 0);

	mouse->head = (mouse->head + 1) % QUEUE_DWORDS;
	mouse->count--;
	return value;
}

static void put_dword(struct vmmouse *mouse, uint32_t value)
{
	*queue_at(mouse, mouse->count++) = value;
}

static unsigned whole_records(const struct vmmouse *mouse)
{
	return mouse->count / RECORD_DWORDS;
}

static bool has_room(const struct vmmouse *mouse)
{
	return whole_records(mouse) < QUEUE_RECORDS;
}

static bool announce(struct vmmouse *mouse)
{
	return mouse->config.announce(mouse->config.opaque, whole_records(mouse));
}

static void tell_ready(struct vmmouse *mouse)
{
	mouse->waits = mouse->drain_waits = false;
	if (mouse->listener.ready)
		mouse->listener.ready(mouse->listener.opaque);
}

static void clear_queue(struct vmmouse *mouse)
{
	mouse->head = mouse->count = 0;
	mouse->tail_is_motion = false;
	(void)announce(mouse);
	if (mouse->drain_waits)
		tell_ready(mouse);
}

/* Records. */

static int clamp(int value, int limit)
{
	return value > limit ? limit : value < -limit ? -limit : value;
}

static int add_clamped(int a, int b)
{
	int sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? -INT32_MAX : INT32_MAX;
	return sum == INT32_MIN ? -INT32_MAX : sum;
}

static bool has_steps(const struct vmmouse *mouse)
{
	return mouse->wheel >= WHEEL_STEP || mouse->wheel <= -WHEEL_STEP;
}

static bool has_motion(const struct vmmouse *mouse)
{
	return mouse->placed || mouse->dx || mouse->dy;
}

/* Up to a record's worth of whole steps; the rest stays. */
static uint32_t take_wheel(struct vmmouse *mouse)
{
	int steps = clamp(mouse->wheel / WHEEL_STEP, WHEEL_MAX);

	mouse->wheel -= steps * WHEEL_STEP;
	return (uint8_t)-steps;
}

static void make_record(struct vmmouse *mouse, uint32_t record[RECORD_DWORDS])
{
	if (mouse->placed) {
		mouse->sent_x = mouse->x;
		mouse->sent_y = mouse->y;
		mouse->has_position = true;
	} else if (mouse->dx || mouse->dy) {
		mouse->has_position = false;
	}
	record[0] = mouse->buttons;
	if (mouse->has_position) {
		record[1] = mouse->sent_x;
		record[2] = mouse->sent_y;
	} else {
		record[0] |= RECORD_RELATIVE;
		record[1] = (uint32_t)mouse->dx;
		record[2] = (uint32_t)-mouse->dy;
	}
	record[3] = take_wheel(mouse);
	mouse->sent_buttons = mouse->buttons;
	mouse->placed = false;
	mouse->dx = mouse->dy = 0;
}

static void put_record(struct vmmouse *mouse)
{
	uint32_t record[RECORD_DWORDS];
	unsigned before = mouse->sent_buttons;

	make_record(mouse, record);
	mouse->tail_is_motion = mouse->buttons == before && !record[3];
	for (unsigned i = 0; i < RECORD_DWORDS; i++)
		put_dword(mouse, record[i]);
}

/* Makes what came part of the last record that waits. False: that would lose where something
 * happened, or there is none. */
static bool join_tail(struct vmmouse *mouse)
{
	unsigned before = mouse->sent_buttons;
	uint32_t *tail[RECORD_DWORDS], record[RECORD_DWORDS];
	bool tail_is_relative;

	if (!mouse->tail_is_motion || mouse->count < RECORD_DWORDS)
		return false;
	for (unsigned i = 0; i < RECORD_DWORDS; i++)
		tail[i] = queue_at(mouse, mouse->count - RECORD_DWORDS + i);
	tail_is_relative = *tail[0] & RECORD_RELATIVE;
	if (has_motion(mouse) && tail_is_relative == mouse->placed)
		return false;
	if (tail_is_relative) {
		mouse->dx = add_clamped(mouse->dx, (int)*tail[1]);
		mouse->dy = add_clamped(mouse->dy, -(int)*tail[2]);
	}
	make_record(mouse, record);
	mouse->tail_is_motion = mouse->buttons == before && !record[3];
	for (unsigned i = 0; i < RECORD_DWORDS; i++)
		*tail[i] = record[i];
	return true;
}

/* The PS/2 mouse is off, so nobody is told of records, and nobody may want an old story later: one
 * record says how things are now. */
static void keep_the_present(struct vmmouse *mouse)
{
	mouse->count -= whole_records(mouse) * RECORD_DWORDS;
	mouse->wheel = mouse->dx = mouse->dy = 0;
	put_record(mouse);
	mouse->tail_is_motion = false;
}

/* 0 or -EAGAIN: some of what came has still to go. */
static int flush(struct vmmouse *mouse)
{
	if (mouse->mode < MODE_RELATIVE) {
		mouse->placed = false;
		mouse->dx = mouse->dy = mouse->wheel = 0;
		return 0;
	}
	if (mouse->placed && mouse->has_position && mouse->x == mouse->sent_x &&
		mouse->y == mouse->sent_y)
		mouse->placed = false;
	while (has_motion(mouse) || mouse->buttons != mouse->sent_buttons || has_steps(mouse)) {
		if (!announce(mouse))
			keep_the_present(mouse);
		else if (has_room(mouse))
			put_record(mouse);
		else if (!join_tail(mouse))
			return -EAGAIN;
		(void)announce(mouse);
	}
	return 0;
}

static void set_mode(struct vmmouse *mouse, enum mode mode)
{
	if (mouse->mode == mode)
		return;
	mouse->mode = mode;
	mouse->has_position = false;
	mouse->placed = false;
	mouse->dx = mouse->dy = mouse->wheel = 0;
	/* A guest that starts anew takes every button for released. */
	if (mode < MODE_RELATIVE)
		mouse->sent_buttons = 0;
	tell_ready(mouse);
}

/* The backdoor. */

static void control(struct vmmouse *mouse, uint32_t what)
{
	switch (what) {
	case CONTROL_ON:
		clear_queue(mouse);
		put_dword(mouse, IDENTITY);
		set_mode(mouse, MODE_ON);
		break;
	case CONTROL_OFF:
		clear_queue(mouse);
		set_mode(mouse, MODE_OFF);
		break;
	case CONTROL_RELATIVE:
	case CONTROL_ABSOLUTE:
		if (mouse->mode != MODE_OFF)
			set_mode(mouse, what == CONTROL_ABSOLUTE ? MODE_ABSOLUTE : MODE_RELATIVE);
		break;
	default:
		log_guest("vmmouse", "unknown control %08x", what);
		break;
	}
}

/* Returns EAX, and changes those of the others that take data. */
static uint32_t read_queue(struct vmmouse *mouse, struct guest_registers *registers)
{
	uint64_t *const places[DATA_MAX] = { &registers->rax, &registers->rbx, &registers->rcx,
		&registers->rdx, &registers->rsi, &registers->rdi };
	uint32_t dwords = (uint32_t)registers->rbx, first;

	if (dwords < 1 || dwords > DATA_MAX || dwords > mouse->count) {
		/* The two have lost step. A driver that sees the status starts anew; until then the
		 * PS/2 mouse serves. */
		log_guest(
			"vmmouse", "%u of %u dwords asked for: switched off", dwords, mouse->count);
		clear_queue(mouse);
		set_mode(mouse, MODE_OFF);
		return ALL_ONES;
	}
	first = take_dword(mouse);
	for (unsigned i = 1; i < dwords; i++)
		*places[i] = take_dword(mouse);
	(void)announce(mouse);
	if ((mouse->waits && has_room(mouse)) || (mouse->drain_waits && !mouse->count))
		tell_ready(mouse);
	return first;
}

static uint64_t read_port(void *opaque, uint64_t offset, unsigned width)
{
	struct vmmouse *mouse = opaque;
	struct guest_registers registers;
	uint32_t eax;

	(void)offset, (void)width;
	if (mouse->config.registers->get(mouse->config.registers->opaque, &registers) ||
		(uint32_t)registers.rax != MAGIC)
		return ALL_ONES;
	switch ((uint16_t)registers.rcx) {
	case COMMAND_VERSION:
		eax = BACKDOOR_VERSION;
		registers.rbx = MAGIC;
		registers.rcx = BACKDOOR_PRODUCT;
		break;
	case COMMAND_DATA:
		eax = read_queue(mouse, &registers);
		break;
	case COMMAND_STATUS:
		return mouse->mode == MODE_OFF ? STATUS_OFF : mouse->count;
	case COMMAND_CONTROL:
		control(mouse, (uint32_t)registers.rbx);
		return 0;
	default:
		return ALL_ONES;
	}
	registers.rax = eax;
	if (mouse->config.registers->set(mouse->config.registers->opaque, &registers))
		log_guest("vmmouse", "the processor's registers cannot be set");
	return eax;
}

static const struct bus_region_ops port_ops = { .read = read_port };

/* The sink. */

static struct vmmouse *of_sink(struct input_sink *sink)
{
	return container_of(sink, struct vmmouse, sink);
}

static int sink_key(struct input_sink *sink, unsigned code, bool down)
{
	(void)sink, (void)code, (void)down;
	return -ENOENT;
}

static void sink_relative(struct input_sink *sink, int dx, int dy)
{
	struct vmmouse *mouse = of_sink(sink);

	pthread_mutex_lock(&mouse->base.lock);
	if (!mouse->placed) {
		mouse->dx = add_clamped(mouse->dx, dx);
		mouse->dy = add_clamped(mouse->dy, dy);
	}
	pthread_mutex_unlock(&mouse->base.lock);
}

static void sink_absolute(
	struct input_sink *sink, unsigned x, unsigned y, unsigned width, unsigned height)
{
	struct vmmouse *mouse = of_sink(sink);

	pthread_mutex_lock(&mouse->base.lock);
	if (mouse->mode == MODE_ABSOLUTE && x < width && y < height) {
		mouse->placed = true;
		mouse->x = vmmouse_coordinate(x, width);
		mouse->y = vmmouse_coordinate(y, height);
		mouse->dx = mouse->dy = 0;
	}
	pthread_mutex_unlock(&mouse->base.lock);
}

static unsigned record_button(unsigned code)
{
	switch (code) {
	case BTN_LEFT:
		return RECORD_LEFT;
	case BTN_RIGHT:
		return RECORD_RIGHT;
	case BTN_MIDDLE:
		return RECORD_MIDDLE;
	default:
		return 0;
	}
}

static void sink_button(struct input_sink *sink, unsigned code, bool down)
{
	struct vmmouse *mouse = of_sink(sink);
	struct input_sink *ps2_mouse = mouse->config.ps2_mouse;
	unsigned bit = record_button(code);

	pthread_mutex_lock(&mouse->base.lock);
	mouse->buttons = down ? mouse->buttons | bit : mouse->buttons & ~bit;
	if (!bit) {
		ps2_mouse->ops->button(ps2_mouse, code, down);
		mouse->ps2_changed = true;
	}
	pthread_mutex_unlock(&mouse->base.lock);
}

static void sink_wheel(struct input_sink *sink, int vertical, int horizontal)
{
	struct vmmouse *mouse = of_sink(sink);
	struct input_sink *ps2_mouse = mouse->config.ps2_mouse;

	pthread_mutex_lock(&mouse->base.lock);
	/* Turning back starts from nothing. */
	if (!has_steps(mouse) &&
		((mouse->wheel < 0 && vertical > 0) || (mouse->wheel > 0 && vertical < 0)))
		mouse->wheel = 0;
	mouse->wheel = clamp(add_clamped(mouse->wheel, vertical), WHEEL_PENDING_MAX);
	if (horizontal) {
		ps2_mouse->ops->wheel(ps2_mouse, 0, horizontal);
		mouse->ps2_changed = true;
	}
	pthread_mutex_unlock(&mouse->base.lock);
}

static int sink_sync(struct input_sink *sink)
{
	struct vmmouse *mouse = of_sink(sink);
	struct input_sink *ps2_mouse = mouse->config.ps2_mouse;
	int ret;

	pthread_mutex_lock(&mouse->base.lock);
	ret = flush(mouse);
	mouse->waits = ret == -EAGAIN;
	/* In order: what the PS/2 mouse has to say happened where the record says. */
	if (!ret && mouse->ps2_changed) {
		ret = ps2_mouse->ops->sync(ps2_mouse);
		mouse->ps2_changed = ret == -EAGAIN;
	}
	pthread_mutex_unlock(&mouse->base.lock);
	return ret;
}

static bool sink_drained(struct input_sink *sink)
{
	struct vmmouse *mouse = of_sink(sink);
	struct input_sink *ps2_mouse = mouse->config.ps2_mouse;
	bool drained;

	pthread_mutex_lock(&mouse->base.lock);
	/* Also what went through the PS/2 mouse, which tells its own listener. */
	drained = mouse->count == 0 && ps2_mouse->ops->drained(ps2_mouse);
	mouse->drain_waits |= !drained;
	pthread_mutex_unlock(&mouse->base.lock);
	return drained;
}

static unsigned sink_active(struct input_sink *sink)
{
	struct vmmouse *mouse = of_sink(sink);
	unsigned active;

	pthread_mutex_lock(&mouse->base.lock);
	active = mouse->mode == MODE_ABSOLUTE   ? INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE
		 : mouse->mode == MODE_RELATIVE ? INPUT_POINTER_RELATIVE
						: 0;
	pthread_mutex_unlock(&mouse->base.lock);
	return active;
}

static void sink_set_listener(struct input_sink *sink, const struct input_sink_listener *listener)
{
	struct vmmouse *mouse = of_sink(sink);

	pthread_mutex_lock(&mouse->base.lock);
	mouse->listener = listener ? *listener : (struct input_sink_listener){ 0 };
	if (listener && listener->leds_changed)
		listener->leds_changed(listener->opaque, 0);
	pthread_mutex_unlock(&mouse->base.lock);
}

static const struct input_sink_ops sink_ops = {
	.name = "VMware pointer",
	.key = sink_key,
	.relative = sink_relative,
	.absolute = sink_absolute,
	.button = sink_button,
	.wheel = sink_wheel,
	.sync = sink_sync,
	.drained = sink_drained,
	.active = sink_active,
	.set_listener = sink_set_listener,
};

/* Life. */

static void vmmouse_reset(struct device *device)
{
	struct vmmouse *mouse = container_of(device, struct vmmouse, base);

	pthread_mutex_lock(&device->lock);
	clear_queue(mouse);
	set_mode(mouse, MODE_OFF);
	mouse->buttons = mouse->sent_buttons = 0;
	mouse->ps2_changed = false;
	pthread_mutex_unlock(&device->lock);
}

static void vmmouse_destroy(struct device *device)
{
	struct vmmouse *mouse;

	if (!device)
		return;
	mouse = container_of(device, struct vmmouse, base);
	if (mouse->claimed)
		bus_remove(mouse->config.ports, VMMOUSE_PORT);
	device_fini(&mouse->base);
	free(mouse);
}

static const struct device_ops device_ops = {
	.name = "vmmouse",
	.reset = vmmouse_reset,
	.destroy = vmmouse_destroy,
};

int vmmouse_create(const struct vmmouse_config *config, struct vmmouse **out, struct error *err)
{
	struct vmmouse *mouse = calloc(1, sizeof(*mouse));
	int ret;

	if (!mouse)
		return error_set(err, ENOMEM, "vmmouse: out of memory");
	device_init(&mouse->base, &device_ops);
	mouse->sink = (struct input_sink){ .ops = &sink_ops,
		.capabilities = INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE };
	mouse->config = *config;
	const struct bus_region region = {
		.base = VMMOUSE_PORT,
		.length = 4,
		.widths = BUS_WIDTH_4,
		.owner = "vmmouse",
		.ops = &port_ops,
		.opaque = mouse,
		.lock = &mouse->base.lock,
	};
	ret = bus_add(config->ports, &region, err);
	if (ret) {
		vmmouse_destroy(&mouse->base);
		return ret;
	}
	mouse->claimed = true;
	*out = mouse;
	return 0;
}

struct device *vmmouse_device(struct vmmouse *mouse)
{
	return &mouse->base;
}

struct input_sink *vmmouse_sink(struct vmmouse *mouse)
{
	return &mouse->sink;
}

/* A PS/2 keyboard (MF2, 101 keys and later ones) on its line to the controller. See ps2_keyboard.c.
 *
 * Part of the i8042's state and guarded by that device's lock, which the caller holds. */
#ifndef VMGUI_DEVICES_PS2_KEYBOARD_H
#define VMGUI_DEVICES_PS2_KEYBOARD_H

#include "core/timer.h"
#include "devices/ps2_queue.h"

#define PS2_KEYBOARD_CODES 256u
/* Keys go to the host by the handful: so many presses and releases, then a rest. Since the first of
 * a handful at least REST_MIN_NS pass before the next one: some nine bytes in 10 ms are what the
 * wire of a real keyboard carries at most (11 bits a byte, 10 kHz), so a flood comes no faster than
 * hosts have to stand, and a key or a chord by itself does not wait. A slow host has more time:
 * where it takes a driver long to read a key, programs take longer still, so three times as long as
 * the host had unread keys; but once all is read no longer than REST_MAX_NS.
 *
 * What hosts do not stand: Linux gives a controller up that still has something after 128 bytes
 * (i8042_flush), and programs lose keys when 21 have come before they look (evdev's buffer of 64
 * events, three to a key). */
#define PS2_KEYBOARD_HANDFUL     6u
#define PS2_KEYBOARD_REST_MIN_NS (10 * NS_PER_MS)
#define PS2_KEYBOARD_REST_MAX_NS (250 * NS_PER_MS)

struct ps2_key_event {
	uint8_t code, modifiers;
	bool down;
};

struct ps2_keyboard_events {
	void (*output)(void *opaque); /* a repeated key: there is a byte to read */
	void (*leds_changed)(void *opaque, unsigned leds); /* mask of enum input_led */
	void (*enabled_changed)(void *opaque);
	void (*room)(void *opaque); /* again, after a key found none */
	void *opaque;
};

struct ps2_keyboard {
	struct ps2_keyboard_events events;
	struct timer repeat_timer, rest_timer;

	struct ps2_queue answers;
	struct ps2_key_event events_waiting[PS2_KEYBOARD_HANDFUL];
	unsigned first_waiting, waiting;
	/* Of the present handful: how many have come, those included that are read; when the first
	 * did; how long the host has had any to read. Then since when it has now (0: it has none),
	 * and until when it had. */
	unsigned handful;
	uint64_t handful_since_ns, reading_ns, unread_since_ns, all_read_ns;
	bool full, rests; /* a key found no room; all is read, and the timer runs that ends this */
	/* The scan code under way, and what the host knows once it has all of it. */
	struct ps2_queue keys;
	struct ps2_key_event sending;
	uint8_t last_sent; /* for the resend command */
	bool sent_key;     /* the last byte was a key's, not an answer */
	uint8_t command;   /* waits for its argument; 0: none */
	bool scanning;
	uint8_t set; /* 1 or 2 */
	uint8_t leds;
	uint8_t typematic;

	/* 0, or 80h and the modifiers of the press: as the user's fingers are, and as the host has
	 * been told. Events lie between the two, or were thrown away (`stale`). */
	uint8_t down[PS2_KEYBOARD_CODES], told[PS2_KEYBOARD_CODES];
	bool stale;
	unsigned repeating; /* evdev code; 0: none */
};

void ps2_keyboard_init(struct ps2_keyboard *keyboard, const struct ps2_keyboard_events *events,
	struct timer_queue *timers, pthread_mutex_t *lock);
/* Without the lock. */
void ps2_keyboard_fini(struct ps2_keyboard *keyboard);
/* Back to power-on: scanning, set 2, no key held. */
void ps2_keyboard_power_on(struct ps2_keyboard *keyboard);

/* A byte from the host; answers wait at once. */
void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte);
/* The next byte to the host; false: none. While it is busy with a command no key comes, not even
 * the second half of one: a host that waits for the answer does not look at anything else (Linux
 * throws it away), and between a command and its argument the keyboard does not scan. */
bool ps2_keyboard_read(struct ps2_keyboard *keyboard, uint8_t *byte);
/* Answers wait to be read, or a command for its argument. */
bool ps2_keyboard_is_busy(const struct ps2_keyboard *keyboard);
/* As input_sink_ops.key. */
int ps2_keyboard_key(struct ps2_keyboard *keyboard, unsigned code, bool down);
/* Nothing is left that the controller could fetch. */
bool ps2_keyboard_is_drained(const struct ps2_keyboard *keyboard);
/* And nothing that it has fetched: who was refused will have room when the rest is over. */
void ps2_keyboard_all_is_read(struct ps2_keyboard *keyboard);

#endif

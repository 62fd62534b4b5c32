/* Types text; see typist.h.
 *
 * One character at a time is turned into presses and releases when its turn comes, as only then
 * Caps Lock is known. A press that finds no room stays the next thing to do. */
#include "input/typist.h"

#include <errno.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "input/caps_lock.h"
#include "input/compose.h"

#define LEDS_UNKNOWN UINT_MAX
/* Of one character: Caps Lock and two strokes, each with Shift and AltGr. */
#define MAX_EVENTS ((1 + KEYMAP_MAX_STROKES) * 6)

struct key_event {
	uint16_t code;
	bool down;
	bool turns_caps;
};

struct typist {
	const struct keymap *keymap;
	struct input_source *source;
	void (*wake)(void *opaque);
	void *opaque;
	atomic_uint leds; /* from the router's thread */

	uint32_t *text; /* characters; from `at` on they wait */
	size_t count, room, at;
	struct key_event events[MAX_EVENTS]; /* of the character at `at`, or of the end */
	unsigned event_count, event_at;
	struct caps_lock caps;
	/* Once Caps Lock was tapped it is what that made it, until the text is through: the light
	 * answers late if the guest is slow. */
	bool caps_known, caps_now;
	bool caps_turned; /* to be put right in the end */
};

/* --- the router's thread --- */

static void on_leds(void *opaque, unsigned leds)
{
	struct typist *typist = opaque;

	if (atomic_exchange(&typist->leds, leds) == LEDS_UNKNOWN)
		typist->wake(typist->opaque);
}

static void on_room(void *opaque)
{
	struct typist *typist = opaque;

	typist->wake(typist->opaque);
}

/* --- text --- */

/* One character of UTF-8 (RFC 3629); its length, 0: it is none. */
static size_t decode(const unsigned char *text, size_t bytes, uint32_t *character)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	for (size_t i = 0; i < array_size(forms); i++) {
		if ((text[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (i >= bytes)
			return 0;
		*character = text[0] & (unsigned char)~forms[i].mask;
		for (size_t n = 1; n <= i; n++) {
			if ((text[n] & 0xc0) != 0x80)
				return 0;
			*character = *character << 6 | (text[n] & 0x3fu);
		}
		if (*character < forms[i].least || *character > 0x10ffff ||
			(*character >= 0xd800 && *character < 0xe000))
			return 0;
		return i + 1;
	}
	return 0;
}

static uint32_t keysym_of(uint32_t character)
{
	if (character == '\n')
		return XKB_KEY_Return;
	if (character == '\t')
		return XKB_KEY_Tab;
	return keymap_keysym_of(character);
}

static bool can_type(const struct typist *typist, uint32_t character)
{
	struct keymap_strokes strokes;
	uint32_t keysym = keysym_of(character);

	return keysym && keymap_find_strokes(typist->keymap, keysym, false, &strokes);
}

/* The text's characters, or those of them that can be typed, to `into` (NULL: they are counted
 * only). */
static int take(const struct typist *typist, const char *text, size_t bytes, uint32_t *into,
	size_t *count, size_t *skipped)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + bytes;
	uint32_t character, mark, whole;

	*count = *skipped = 0;
	while (at < end) {
		size_t length = decode(at, (size_t)(end - at), &character);

		if (!length)
			return -EILSEQ;
		at += length;
		if (character == '\r') {
			if (at < end && *at == '\n')
				continue;
			character = '\n';
		}
		/* Marks that follow and can be on it. */
		while (at < end && (length = decode(at, (size_t)(end - at), &mark)) != 0) {
			whole = compose(compose_dead_of_mark(mark), character);
			if (!whole || !can_type(typist, whole))
				break;
			character = whole;
			at += length;
		}
		if (!can_type(typist, character)) {
			++*skipped;
			continue;
		}
		if (into)
			into[*count] = character;
		++*count;
	}
	return 0;
}

/* Room for so many more characters behind those that wait. */
static int make_room(struct typist *typist, size_t more)
{
	size_t waiting = typist->count - typist->at, room = typist->room ? typist->room : 256;
	uint32_t *grown;

	if (waiting)
		memmove(typist->text, typist->text + typist->at, waiting * sizeof(*typist->text));
	typist->at = 0;
	typist->count = waiting;
	if (waiting + more <= typist->room)
		return 0;
	while (room < waiting + more)
		room *= 2;
	grown = realloc(typist->text, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	typist->text = grown;
	typist->room = room;
	return 0;
}

int typist_add(struct typist *typist, const char *text, size_t bytes, size_t *skipped)
{
	size_t count, left_out;
	int result = take(typist, text, bytes, NULL, &count, &left_out);

	if (result)
		return result;
	if (typist->count - typist->at + count > TYPIST_MAX_WAITING)
		return -EFBIG;
	if (count) {
		result = make_room(typist, count);
		if (result)
			return result;
		take(typist, text, bytes, typist->text + typist->count, &count, &left_out);
		typist->count += count;
	}
	if (skipped)
		*skipped = left_out;
	return 0;
}

/* --- keys --- */

static void add_event(struct typist *typist, unsigned code, bool down)
{
	typist->events[typist->event_count++] =
		(struct key_event){ .code = (uint16_t)code, .down = down };
}

static void add_stroke(struct typist *typist, const struct keymap_key *key)
{
	bool exact = !(key->level & KEYMAP_ANY);
	bool shift = exact && (key->level & KEYMAP_SHIFT);
	bool altgr = exact && (key->level & KEYMAP_ALTGR);

	if (shift)
		add_event(typist, KEY_LEFTSHIFT, true);
	if (altgr)
		add_event(typist, KEY_RIGHTALT, true);
	add_event(typist, key->code, true);
	add_event(typist, key->code, false);
	if (altgr)
		add_event(typist, KEY_RIGHTALT, false);
	if (shift)
		add_event(typist, KEY_LEFTSHIFT, false);
}

static void add_caps_tap(struct typist *typist)
{
	struct keymap_key key;

	if (!keymap_find(typist->keymap, XKB_KEY_Caps_Lock, false, &key))
		return;
	add_stroke(typist, &key);
	for (unsigned i = 0; i < typist->event_count; i++) {
		if (typist->events[i].code == key.code && typist->events[i].down)
			typist->events[i].turns_caps = true;
	}
}

/* What comes next; false: nothing. */
static bool plan(struct typist *typist)
{
	const bool light = caps_lock_look(&typist->caps, atomic_load(&typist->leds));
	const bool caps = typist->caps_known ? typist->caps_now : light;
	struct keymap_strokes strokes;

	typist->event_count = typist->event_at = 0;
	typist->caps_now = caps;
	if (typist->at == typist->count) {
		if (typist->caps_turned)
			add_caps_tap(typist);
		else
			typist->caps_known = false;
		return typist->event_count > 0;
	}
	/* It can be typed, or it would not have been taken. */
	if (!keymap_find_strokes(
		    typist->keymap, keysym_of(typist->text[typist->at]), caps, &strokes))
		return true;
	if (strokes.caps != caps)
		add_caps_tap(typist);
	for (unsigned i = 0; i < strokes.count; i++)
		add_stroke(typist, &strokes.keys[i]);
	return true;
}

/* 0: the character is through. */
static int send(struct typist *typist)
{
	while (typist->event_at < typist->event_count) {
		const struct key_event *event = &typist->events[typist->event_at];
		int result = input_source_key(typist->source, event->code, event->down);

		if (result == -EAGAIN)
			return result;
		if (result == -EHOSTDOWN) {
			/* Everything has been released; this character starts anew. */
			typist->event_count = 0;
			return result;
		}
		if (event->turns_caps) {
			caps_lock_tapped(&typist->caps);
			typist->caps_known = true;
			typist->caps_now = !typist->caps_now;
			typist->caps_turned = !typist->caps_turned;
		}
		typist->event_at++;
	}
	typist->event_count = 0;
	return 0;
}

size_t typist_step(struct typist *typist)
{
	size_t left;

	while (atomic_load(&typist->leds) != LEDS_UNKNOWN) {
		if (!typist->event_count && !plan(typist))
			break;
		if (send(typist))
			break;
		if (typist->at < typist->count)
			typist->at++;
	}
	left = typist->count - typist->at;
	return left ? left : typist->event_count > 0 || typist->caps_turned;
}

void typist_cancel(struct typist *typist)
{
	typist->at = typist->count;
	typist->event_count = 0;
	input_source_release_all(typist->source);
	typist_step(typist); /* Caps Lock, perhaps */
}

int typist_create(struct input_router *router, const struct keymap *keymap,
	void (*wake)(void *opaque), void *opaque, struct typist **out, struct error *err)
{
	struct typist *typist = calloc(1, sizeof(*typist));
	const struct input_source_listener listener = {
		.leds_changed = on_leds, .room = on_room, .opaque = typist
	};

	if (!typist)
		return error_set(err, ENOMEM, "typing: out of memory");
	typist->keymap = keymap;
	typist->wake = wake;
	typist->opaque = opaque;
	atomic_init(&typist->leds, LEDS_UNKNOWN);
	typist->source = input_source_create(router, "typist", &listener);
	if (!typist->source) {
		free(typist);
		return error_set(err, ENOMEM, "typing: out of memory");
	}
	*out = typist;
	return 0;
}

void typist_destroy(struct typist *typist)
{
	if (!typist)
		return;
	typist_cancel(typist);
	input_source_destroy(typist->source);
	free(typist->text);
	free(typist);
}

/* Types text: UTF-8 into key strokes of the guest's layout, one after the other, as fast as the
 * guest takes them. For pasting into a window, and for scripts.
 *
 * What a key gives with Shift, AltGr and Caps Lock as they are is what the layout says; if Caps
 * Lock is in the way of a character it is tapped, and tapped again in the end. A letter with a
 * combining mark after it is one character (é as macOS writes it).
 *
 * Threads: one thread owns a typist; it sends through an input source of its own, and never
 * blocks: it goes on when it is told (typist_step) that there is room again. */
#ifndef VMGUI_INPUT_TYPIST_H
#define VMGUI_INPUT_TYPIST_H

#include "input/keymap.h"
#include "input/router.h"

#define TYPIST_MAX_WAITING MIB(1) /* characters */

struct typist;

/* wake: the source has room again, or has learnt what it has to know before it begins: call
 * typist_step soon, in the owner's thread. Comes from any thread and must only signal. */
VMGUI_MUST_USE int typist_create(struct input_router *router, const struct keymap *keymap,
	void (*wake)(void *opaque), void *opaque, struct typist **typist, struct error *err);
/* Releases what it holds; the router must still be there. NULL is fine. */
void typist_destroy(struct typist *typist);
/* Appends to what is still to be typed. Newlines (CR LF is one) are Return, tabs Tab; other control
 * characters and what the layout cannot type are left out and counted in *skipped (characters;
 * NULL is fine). -EILSEQ: not UTF-8, nothing is taken; -EFBIG: more than TYPIST_MAX_WAITING would
 * wait; -ENOMEM. Sends nothing by itself. */
VMGUI_MUST_USE int typist_add(
	struct typist *typist, const char *text, size_t bytes, size_t *skipped);
/* Sends as much as there is room for. The number of characters still to be sent, at least 1 as long
 * as anything is left to do; 0: done. While the machine does not run nothing is sent and no wake
 * comes: call again when it does. */
size_t typist_step(struct typist *typist);
/* Forgets what is still to be typed; the character that is being typed may be lost. */
void typist_cancel(struct typist *typist);

#endif

/* Types text: UTF-8 into key strokes of the guest's layout, one after the other, as fast as the
 * guest takes them. For pasting into a window, and for scripts.
 *
 * Threads: one thread owns a typist; it sends through an input source of its own, and never
 * blocks: it goes on when it is told (typist_step) that there is room again. */
#ifndef VMGUI_INPUT_TYPIST_H
#define VMGUI_INPUT_TYPIST_H

#include "input/keymap.h"
#include "input/router.h"

struct typist;

/* wake: the source has room again, or the text is done: call typist_step soon, in the owner's
 * thread. Comes from any thread and must only signal. */
VMGUI_MUST_USE int typist_create(struct input_router *router, const struct keymap *keymap,
	void (*wake)(void *opaque), void *opaque, struct typist **typist, struct error *err);
/* Releases what it holds. NULL is fine. */
void typist_destroy(struct typist *typist);
/* Appends to what is still to be typed. Newlines are Return, tabs Tab; other control characters
 * and what the layout cannot type are left out and counted in *skipped (characters). -EILSEQ: not
 * UTF-8, nothing is taken; -EFBIG: more than a mebibyte would wait; -ENOMEM. */
VMGUI_MUST_USE int typist_add(
	struct typist *typist, const char *text, size_t bytes, size_t *skipped);
/* Sends as much as there is room for. The number of strokes still to be sent; 0: done. */
size_t typist_step(struct typist *typist);
void typist_cancel(struct typist *typist);

#endif

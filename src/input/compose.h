/* What a dead key and the letter after it make: the sequences of two keys that X's tables for UTF-8
 * locales (libX11, nls/en_US.UTF-8/Compose) and most other systems agree about. A table of our own,
 * so that the same keys are struck whatever this host has installed or its user configured.
 *
 * Threads: any; no state. */
#ifndef VMGUI_INPUT_COMPOSE_H
#define VMGUI_INPUT_COMPOSE_H

#include "core/util.h"

/* A dead key's X keysym (dead_acute). */
bool compose_is_dead(uint32_t keysym);
/* The character that the dead key and then this one make; 0: none. */
uint32_t compose(uint32_t dead, uint32_t character);
/* The accent standing alone: what the dead key struck twice makes; 0: nothing. */
uint32_t compose_twice(uint32_t dead);
/* The dead key for a combining mark (U+0301); 0: none. */
uint32_t compose_dead_of_mark(uint32_t mark);

/* What makes a character. second is a character, or 0 for the dead key itself, struck twice. */
struct compose_pair {
	uint32_t dead, second;
};
/* The index-th way to make it; false: there are no more. */
bool compose_find(uint32_t character, unsigned index, struct compose_pair *pair);

#endif

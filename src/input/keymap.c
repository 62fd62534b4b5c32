/* Looking things up in a layout; see keymap.h. The layouts are made by the module in xkb/. */
#include "input/keymap.h"

#include <errno.h>
#include <stdlib.h>

#include "core/module.h"
#include "input/compose.h"
#include "input/keymap_internal.h"

#define UNICODE_KEYSYM UINT32_C(0x01000000)
#define LEGACY_END     UINT32_C(0x2100)

int keymap_create(const char *name, struct keymap **keymap, struct error *err)
{
	union {
		void *address;
		keymap_compile_fn *function;
	} compile;
	struct module *module;
	int result;

	*keymap = NULL;
	result = module_open("keymap", &module, err);
	if (result)
		return result;
	result = module_symbol(module, "vmgui_keymap_compile", &compile.address, err);
	if (!result)
		result = compile.function(name, keymap, err);
	/* The layout is plain memory: libxkbcommon is not needed any more. */
	module_close(module);
	return result;
}

void keymap_destroy(struct keymap *keymap)
{
	if (!keymap)
		return;
	free(keymap->caps[false].symbols);
	free(keymap->caps[true].symbols);
	free(keymap->legacy);
	free(keymap);
}

const char *keymap_name(const struct keymap *keymap)
{
	return keymap->name;
}

bool keymap_has_altgr(const struct keymap *keymap)
{
	return keymap->altgr;
}

uint32_t keymap_keysym_of(uint32_t character)
{
	if (character < 0x20 || (character >= 0x7f && character < 0xa0) || character > 0x10ffff)
		return 0;
	return character < 0x100 ? character : UNICODE_KEYSYM | character;
}

static int compare_legacy(const void *key, const void *element)
{
	uint32_t keysym = *(const uint32_t *)key;
	const struct keymap_legacy *legacy = element;

	return (keysym > legacy->keysym) - (keysym < legacy->keysym);
}

uint32_t keymap_character_of(const struct keymap *keymap, uint32_t keysym)
{
	const struct keymap_legacy *legacy;

	if ((keysym & 0xff000000) == UNICODE_KEYSYM)
		keysym &= 0x00ffffff;
	else if (keysym >= LEGACY_END)
		return 0;
	else if (keysym >= 0x100) {
		legacy = bsearch(&keysym, keymap->legacy, keymap->legacy_count, sizeof(*legacy),
			compare_legacy);
		return legacy ? legacy->character : 0;
	}
	return keymap_keysym_of(keysym) ? keysym : 0;
}

static int compare_symbol(const void *key, const void *element)
{
	uint32_t keysym = *(const uint32_t *)key;
	const struct keymap_symbol *symbol = element;

	return (keysym > symbol->keysym) - (keysym < symbol->keysym);
}

bool keymap_find(const struct keymap *keymap, uint32_t keysym, bool caps, struct keymap_key *key)
{
	uint32_t character = keymap_character_of(keymap, keysym);
	const struct keymap_symbol *found;

	if (character)
		keysym = keymap_keysym_of(character);
	found = bsearch(&keysym, keymap->caps[caps].symbols, keymap->caps[caps].count,
		sizeof(*found), compare_symbol);
	if (found)
		*key = found->key;
	return found;
}

static bool find_in(
	const struct keymap *keymap, uint32_t keysym, bool caps, struct keymap_strokes *strokes)
{
	uint32_t character = keymap_character_of(keymap, keysym);
	struct compose_pair pair;

	strokes->caps = caps;
	strokes->count = 1;
	if (keymap_find(keymap, keysym, caps, &strokes->keys[0]))
		return true;
	strokes->count = 2;
	for (unsigned i = 0; character && compose_find(character, i, &pair); i++) {
		uint32_t second = pair.second ? keymap_keysym_of(pair.second) : pair.dead;

		if (keymap_find(keymap, pair.dead, caps, &strokes->keys[0]) &&
			keymap_find(keymap, second, caps, &strokes->keys[1]))
			return true;
	}
	return false;
}

bool keymap_find_strokes(
	const struct keymap *keymap, uint32_t keysym, bool caps, struct keymap_strokes *strokes)
{
	return find_in(keymap, keysym, caps, strokes) || find_in(keymap, keysym, !caps, strokes);
}

/* Kernel relocations: see reloc.h. Threads: one at a time. */
#include "core/boot/reloc.h"

#include <errno.h>
#include <string.h>

/* Where the word that an entry names lies in the image; anything outside gives a huge number. */
static uint64_t entry_offset(uint32_t entry, uint64_t image_start)
{
	uint64_t address = (uint64_t)(int64_t)(int32_t)entry;

	return address - RELOC_KERNEL_MAP - image_start;
}

static uint64_t word_bytes(enum reloc_kind kind)
{
	return kind == RELOC_64 ? 8 : 4;
}

int reloc_parse(struct reloc_table *table, const uint32_t *words, size_t count,
	uint64_t image_start, uint64_t image_bytes)
{
	static const enum reloc_kind with_inverse[] = { RELOC_64, RELOC_INVERSE_32, RELOC_32 };
	static const enum reloc_kind without_inverse[] = { RELOC_64, RELOC_32 };
	const enum reloc_kind *kinds;
	unsigned stops = 0, list = 0;

	memset(table, 0, sizeof(*table));
	/* No kernel needs a word at virtual address 0 relocated, so each 0 begins a list. */
	if (count == 0 || words[0] != 0)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		stops += words[i] == 0;
	if (stops == 3)
		kinds = with_inverse;
	else if (stops == 2)
		kinds = without_inverse;
	else
		return -EINVAL;

	for (size_t i = 0; i < count; i++) {
		struct reloc_list *current;

		if (words[i] == 0) {
			table->lists[kinds[list++]].entries = words + i + 1;
			continue;
		}
		current = &table->lists[kinds[list - 1]];
		current->count++;
		if (!range_fits(entry_offset(words[i], image_start), word_bytes(kinds[list - 1]),
			    image_bytes))
			return -EINVAL;
	}
	return 0;
}

void reloc_apply(const struct reloc_table *table, uint8_t *image, uint64_t image_start,
	uint64_t image_bytes, uint64_t offset)
{
	for (enum reloc_kind kind = RELOC_64; kind < RELOC_KINDS; kind++) {
		const struct reloc_list *list = &table->lists[kind];

		for (size_t i = 0; i < list->count; i++) {
			uint64_t at = entry_offset(list->entries[i], image_start);
			uint64_t word = 0;

			/* reloc_parse saw to it; this costs nothing and keeps the rule local. */
			if (!range_fits(at, word_bytes(kind), image_bytes))
				continue;
			memcpy(&word, image + at, word_bytes(kind));
			word = kind == RELOC_INVERSE_32 ? word - offset : word + offset;
			memcpy(image + at, &word, word_bytes(kind));
		}
	}
}

/* Hostile relocation tables over an image of exactly the announced size. */
#include <stdlib.h>
#include <string.h>

#include "core/boot/reloc.h"

#define START MIB(16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reloc_table table;
	uint32_t *words;
	uint8_t *image;
	size_t image_bytes, count;

	if (size < 2)
		return 0;
	image_bytes = data[0] | (size_t)data[1] << 8;
	count = (size - 2) / 4;
	words = malloc(count * 4 + 1);
	image = calloc(1, image_bytes + 1);
	if (!words || !image)
		abort();
	memcpy(words, data + 2, count * 4);
	if (reloc_parse(&table, words, count, START, image_bytes) == 0)
		reloc_apply(&table, image, START, image_bytes, MIB(34));
	if (image[image_bytes])
		abort();
	free(words);
	free(image);
	return 0;
}

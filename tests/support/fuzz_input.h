/* The bytes that libFuzzer gives, taken one after the other; zeros when they run out. */
#ifndef VMGUI_TESTS_FUZZ_INPUT_H
#define VMGUI_TESTS_FUZZ_INPUT_H

#include "core/util.h"

struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
	unsigned low = fuzz_u8(input);
	return (uint16_t)(low | (unsigned)fuzz_u8(input) << 8);
}

#endif

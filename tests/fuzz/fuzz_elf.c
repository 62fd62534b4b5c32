/* A hostile ELF kernel. */
#include "boot_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	boot_fuzz_run(data, size);
	return 0;
}

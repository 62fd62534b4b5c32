/* A hostile bzImage: the file itself; or, with a first byte that is odd, what its payload unpacks
 * to, in a sound image around it, so that the ELF and the relocation tables in it are reached. */
#include "boot_fuzz.h"
#include "kernel_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image packed = { NULL, 0 }, image = { NULL, 0 };

	if (size < 2)
		return 0;
	if (!(data[0] & 1)) {
		boot_fuzz_run(data + 1, size - 1);
		return 0;
	}
	build_gzip(&packed, data + 1, size - 1);
	build_bzimage(&image, packed.data, packed.size_bytes);
	boot_fuzz_run(image.data, image.size_bytes);
	image_free(&packed);
	image_free(&image);
	return 0;
}

/* Hostile compressed data: the first byte chooses the format, the second how much room there is. */
#include <stdlib.h>

#include "core/boot/unpack.h"
#include "core/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct unpack_module *unpack;
	struct unpack_job job;

	if (!unpack) {
		static struct module *module;
		void *symbol;

		if (module_open("unpack", &module, NULL) ||
			module_symbol(module, UNPACK_MODULE_SYMBOL, &symbol, NULL))
			abort();
		unpack = symbol;
	}
	if (size < 2)
		return 0;
	job = (struct unpack_job){
		.input = data + 2, .input_bytes = size - 2, .output_room = (size_t)data[1] * 64
	};
	job.output = malloc(job.output_room + 1);
	if (!job.output)
		abort();
	if (unpack->run((enum unpack_format)(data[0] % (UNPACK_FORMATS + 1)), &job) == 0 &&
		(job.consumed_bytes > job.input_bytes || job.output_bytes > job.output_room))
		abort();
	free(job.output);
	return 0;
}

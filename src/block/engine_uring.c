/* The engine on io_uring; see engine.h. */
#include "block/engine_internal.h"

#include <errno.h>

int engine_uring_create(struct engine **engine, struct error *err)
{
	(void)engine;
	return error_set(err, ENOSYS, "io_uring");
}

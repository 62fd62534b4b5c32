/* Makes a disk of an image and an engine; block_open does that, and tests with files of their own.
 */
#ifndef VMGUI_BLOCK_DISK_INTERNAL_H
#define VMGUI_BLOCK_DISK_INTERNAL_H

#include "block/engine.h"
#include "block/image.h"

/* Takes both over, on failure too. The image's files have been given the engine. name is copied. */
VMGUI_MUST_USE int disk_create(struct image *image, struct engine *engine, const char *name,
	struct block_disk **disk, struct error *err);

#endif

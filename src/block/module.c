/* The face of vmgui-block.so: exports block_open, see disk.h. Threads: none of its own. */
#include "block/disk.h"

#include "core/module.h"

MODULE_DEFINE();

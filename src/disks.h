/* The images that --disk names, opened before the guest is built. */
#ifndef VMGUI_DISKS_H
#define VMGUI_DISKS_H

#include "config.h"
#include "core/module.h"

struct disks {
	struct module *module;     /* vmgui-block; NULL: no disk was asked for */
	struct block_disk **disks; /* NULL where a device has taken one over */
	unsigned count;
};

/* Opens all of them, or none. -EBUSY: somebody else holds an image. user_error: the file or option
 * is wrong, rather than this machine. */
VMGUI_MUST_USE int disks_open(const struct config_disks *config, struct disks *disks,
	bool *user_error, struct error *err);
/* Closes those that no device has taken; all devices have been destroyed. */
void disks_close(struct disks *disks);

#endif

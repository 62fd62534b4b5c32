/* Becoming less than root: --user and --chroot. Once everything is open, before the guest runs. */
#ifndef VMGUI_PRIVILEGES_H
#define VMGUI_PRIVILEGES_H

#include "core/error.h"

/* Either may be NULL. Checks the names, for a clear message early, and closes the way back through
 * set-id programs. While there is one thread only. */
VMGUI_MUST_USE int privileges_check(const char *user, const char *root, struct error *err);
/* For the whole process, for good: groups, root folder, group and user. After privileges_check;
 * other threads may exist. */
VMGUI_MUST_USE int privileges_drop(const char *user, const char *root, struct error *err);

#endif

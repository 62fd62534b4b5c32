/* Becoming less than root: --user and --chroot. Once everything is open, before the guest runs. */
#ifndef VMGUI_PRIVILEGES_H
#define VMGUI_PRIVILEGES_H

#include "core/error.h"

/* Either may be NULL. Checks the names without changing anything: early, for a clear message. */
VMGUI_MUST_USE int privileges_check(const char *user, const char *root, struct error *err);
/* For the whole process, for good: groups, root folder, group and user, and no way back through
 * set-id programs. Only one thread, or threads that share credentials through libc. */
VMGUI_MUST_USE int privileges_drop(const char *user, const char *root, struct error *err);

#endif

/* The scan codes that VNC clients send in extended key events, as evdev codes: set 1, with the
 * prefix E0 folded into bit 7. Which keys have which code beyond those of a PC keyboard is what
 * Linux's raw keyboard mode made it; clients took it from there.
 *
 * Threads: none of its own, no state. */
#ifndef VMGUI_DISPLAY_VNC_XT_KEYS_H
#define VMGUI_DISPLAY_VNC_XT_KEYS_H

#include "core/util.h"

/* 0: there is no such key. */
unsigned vnc_evdev_of_xt(uint32_t scancode);

#endif

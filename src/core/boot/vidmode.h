/* The numbers of graphics modes: VBE's own, those that Bochs' and QEMU's video BIOS added, and the
 * same plus 0x200, as Linux's vga= and vmgui's --vidmode count. Threads: any. */
#ifndef VMGUI_CORE_BOOT_VIDMODE_H
#define VMGUI_CORE_BOOT_VIDMODE_H

#include "core/error.h"
#include "core/util.h"

struct vidmode {
	uint16_t number; /* of VBE: 0x100 and up */
	uint16_t width, height;
	uint8_t depth; /* 8, 15, 16, 24 or 32 bits a pixel */
};

/* number: 0x100.. or 0x300..; VBE's "linear framebuffer" bit (0x4000) makes no difference.
 * NULL: no such mode, or one that is text or planar. */
const struct vidmode *vidmode_find(unsigned number);
/* A decimal or 0x number, as after --vidmode; -EINVAL with a message that names it. */
VMGUI_MUST_USE int vidmode_parse(const char *text, const struct vidmode **mode, struct error *err);

#endif

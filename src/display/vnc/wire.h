/* What messages to a client are made of, in the protocol's byte order (RFC 6143, 7.6.1). Each
 * writes to `to` and returns where the next goes. */
#ifndef VMGUI_DISPLAY_VNC_WIRE_H
#define VMGUI_DISPLAY_VNC_WIRE_H

#include <stdint.h>

#include "display/surface.h"

#define VNC_UPDATE_BYTES 4  /* what an update begins with */
#define VNC_RECT_BYTES   12 /* and each rectangle of it */

static inline uint8_t *vnc_put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
	return to + 2;
}

static inline uint8_t *vnc_put32(uint8_t *to, uint32_t value)
{
	return vnc_put16(vnc_put16(to, value >> 16), value & 0xffff);
}

/* FramebufferUpdate, which is message type 0. */
static inline uint8_t *vnc_put_update(uint8_t *to, unsigned rects)
{
	return vnc_put16(vnc_put16(to, 0), rects);
}

static inline uint8_t *vnc_put_rect(uint8_t *to, const struct rect *rect, int32_t encoding)
{
	to = vnc_put16(to, rect->x);
	to = vnc_put16(to, rect->y);
	to = vnc_put16(to, rect->width);
	to = vnc_put16(to, rect->height);
	return vnc_put32(to, (uint32_t)encoding);
}

#endif

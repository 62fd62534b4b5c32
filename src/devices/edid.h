/* The identity block that a monitor gives to the guest: its name and the modes it likes. */
#ifndef VMGUI_DEVICES_EDID_H
#define VMGUI_DEVICES_EDID_H

#include "core/util.h"

#define EDID_BLOCK_BYTES 128
#define EDID_BYTES       (2 * EDID_BLOCK_BYTES)

struct edid_options {
	const char *name;       /* the monitor's, at most 13 characters are used */
	uint32_t width, height; /* the preferred mode; 1..4095 each */
	uint64_t max_pixels;    /* larger modes are not offered */
};

/* A complete EDID 1.4 base block, and a CTA-861 extension with the modes too wide for it. */
void edid_build(uint8_t edid[EDID_BYTES], const struct edid_options *options);

#endif

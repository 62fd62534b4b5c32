/* A byte stream between a character device (serial port, virtio console) and the host side
 * (terminal, socket), with back-pressure both ways so that no byte is lost.
 *
 * The device side calls host ops to send, the host side calls device ops to deliver. */
#ifndef VMGUI_CORE_CHAR_CHANNEL_H
#define VMGUI_CORE_CHAR_CHANNEL_H

#include "core/util.h"

/* The host's end, as the device sees it. Called with the device's lock held; never blocks. */
struct char_host {
	/* Takes up to length bytes, returns how many (0: full; `writable` follows when there is
	 * room). */
	size_t (*write)(void *opaque, const uint8_t *data, size_t length);
	/* The device has room for input again after it took less than it was given. */
	void (*resume_input)(void *opaque);
	void *opaque;
};

/* The device's end, as the host side sees it. Takes the device's lock itself. */
struct char_device {
	/* Bytes from the host; returns how many were taken (less than length: wait for
	 * resume_input). */
	size_t (*receive)(void *opaque, const uint8_t *data, size_t length);
	/* The host has room again. */
	void (*writable)(void *opaque);
	/* The line's break condition (SysRq over serial). */
	void (*receive_break)(void *opaque);
	/* The host's terminal has this size, in characters. NULL: the line cannot tell. */
	void (*resized)(void *opaque, unsigned cols, unsigned rows);
	void *opaque;
};

#endif

/* One serial line of the guest, several people on it: the terminal that vmgui was started from, and
 * tabs of windows.
 *
 *     serial port --> hub --> primary host (a terminal: it may hold the guest back)
 *                      |----> tap, tap ... (each reads a history at its own pace; late ones lose
 *                      <----  the oldest bytes rather than hold up the guest)
 *
 * What any of them types goes to the guest; nothing of it is lost, the hub says how much it took.
 *
 * Locks: the hub's own, taken inside the device's (the device calls write with its lock held) and
 * never held while the device is called. Taps: any thread. */
#ifndef VMGUI_CORE_CONSOLE_HUB_H
#define VMGUI_CORE_CONSOLE_HUB_H

#include "core/char_channel.h"
#include "core/error.h"

#define CONSOLE_HUB_HISTORY_BYTES (256u * 1024)

struct console_hub;
struct console_tap;

/* device outlives the hub; primary: the terminal's end, NULL for none, outlives the device's use of
 * the hub. */
VMGUI_MUST_USE int console_hub_create(const struct char_device *device,
	const struct char_host *primary, struct console_hub **hub, struct error *err);
/* With the device quiet, and after its taps. NULL is fine. */
void console_hub_destroy(struct console_hub *hub);
/* What the device is to be given as its host. */
const struct char_host *console_hub_char_host(struct console_hub *hub);

/* wake: there is output to read, or room to type again; from any thread, must only signal. NULL:
 * out of memory. */
struct console_tap *console_tap_create(
	struct console_hub *hub, void (*wake)(void *opaque), void *opaque);
void console_tap_destroy(struct console_tap *tap); /* no wake runs any more when it returns */
/* The next bytes of the guest's output, oldest first, beginning with the history. *lost: bytes that
 * were overwritten before they were read. 0: nothing now. */
size_t console_tap_read(struct console_tap *tap, uint8_t *data, size_t bytes, size_t *lost);
/* Types; returns how many the guest's port took (less: try again after wake). */
size_t console_tap_write(struct console_tap *tap, const uint8_t *data, size_t bytes);

#endif

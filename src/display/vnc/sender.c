/* Keys and buttons to the router; see sender.h. */
#include "display/vnc/sender.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "core/log.h"

static int send_once(struct vnc_sender *sender, unsigned code, bool down)
{
	if (code >= BTN_MOUSE && code <= BTN_TASK)
		return input_source_button(sender->source, code, down);
	return input_source_key(sender->source, code, down);
}

void vnc_send(struct vnc_sender *sender, unsigned code, bool down)
{
	int result = send_once(sender, code, down);

	while (result == -EAGAIN && !sender->given_up && sender->wait) {
		sender->given_up = !sender->wait(sender->opaque);
		result = send_once(sender, code, down);
	}
	/* Nobody expects a paused machine to take what is typed (-EHOSTDOWN). */
	if (result && result != -EHOSTDOWN)
		log_guest("vnc", "%s: key %u does not reach the guest: %s", sender->name, code,
			strerror(-result));
}

/* The password of --vnc-password-file, and what it is good for: VNC Authentication (RFC 6143,
 * section 7.2.2), a challenge encrypted with DES. Eight bytes count and no more; the connection
 * itself is neither encrypted nor protected. It keeps out whoever passes by, and no one else.
 *
 * Threads: any; a password is a value. */
#ifndef VMGUI_DISPLAY_VNC_PASSWORD_H
#define VMGUI_DISPLAY_VNC_PASSWORD_H

#include "core/error.h"
#include "core/util.h"

#define VNC_PASSWORD_BYTES  8
#define VNC_CHALLENGE_BYTES 16

struct vnc_password {
	char text[VNC_PASSWORD_BYTES + 1]; /* "": there is none */
};

/* The file's first line. -EINVAL and a line: it cannot be read, or is empty. Warns of a password of
 * which a part does not count. */
VMGUI_MUST_USE int vnc_password_read(
	const char *path, struct vnc_password *password, struct error *err);
/* Whether the response is the challenge encrypted with this password; takes as long for any wrong
 * one. */
bool vnc_password_matches(const struct vnc_password *password,
	const uint8_t challenge[VNC_CHALLENGE_BYTES], const uint8_t response[VNC_CHALLENGE_BYTES]);

#endif

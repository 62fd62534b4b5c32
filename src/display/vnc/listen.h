/* Where the VNC server listens: the value of --vnc, and the sockets for it. Loopback and Unix
 * sockets unless more is allowed: the protocol as served here encrypts nothing.
 *
 * Threads: the VNC backend's. */
#ifndef VMGUI_DISPLAY_VNC_LISTEN_H
#define VMGUI_DISPLAY_VNC_LISTEN_H

#include <netinet/in.h>

#include "core/error.h"
#include "core/unix_listener.h"
#include "core/util.h"

#define VNC_FIRST_PORT   5900u
#define VNC_MAX_DISPLAYS 100u /* how many are tried when any will do */

struct vnc_address {
	int family; /* AF_INET, AF_INET6 or AF_UNIX */
	bool any_display;
	unsigned display;
	struct in_addr ipv4;
	struct in6_addr ipv6;
	char path[UNIX_LISTENER_PATH_BYTES];
};

/* allow_remote: addresses that other machines reach are fine, too.
 * argument: NULL (the first free display on 127.0.0.1), "ADDR:DISPLAY", "ADDR" or "unix:PATH", with
 * ADDR an IPv4 address, an IPv6 address (in brackets if a display follows), localhost, or empty for
 * 127.0.0.1. -EINVAL. */
VMGUI_MUST_USE int vnc_address_parse(
	const char *argument, bool allow_remote, struct vnc_address *address, struct error *err);
/* Whether other machines may reach it. */
bool vnc_address_is_remote(const struct vnc_address *address);

struct vnc_listener {
	int fd;
	char where[160];             /* "127.0.0.1:5901 (display 1)" or "unix:/run/x.sock" */
	struct unix_listener socket; /* its fd is the same; -1 for TCP */
};

VMGUI_MUST_USE int vnc_listener_open(
	struct vnc_listener *listener, const struct vnc_address *address, struct error *err);
void vnc_listener_close(struct vnc_listener *listener);

#endif

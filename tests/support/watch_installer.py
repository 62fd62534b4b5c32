#!/usr/bin/env python3
"""Tells what Debian's installer shows on its way to the first page, and takes a picture of that page."""

import argparse
import os
import sys
import time

import installer_screen
from rfb import RfbClient, RfbError


def stage(image):
    """What stands on the screen, in words."""
    if installer_screen.is_language_page(image):
        return "the language page"
    if installer_screen.is_installer(image):
        return "the installer's background"
    if any(image.data):
        return "the kernel's text console"
    return "a black screen"


def alive(pid):
    """Whether that process still runs."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="VNC server on 127.0.0.1")
    parser.add_argument("--screenshot", metavar="FILE.png", required=True)
    parser.add_argument("--pid", type=int, required=True, help="give up when this process ends")
    parser.add_argument("--limit", type=int, default=600, help="seconds to wait for the page")
    options = parser.parse_args()

    start = time.monotonic()
    client, shown, told = None, None, start
    while True:
        elapsed = time.monotonic() - start
        try:
            if client is None:
                client = RfbClient(port=options.port, timeout=1)
                client.refresh()
            changed = client.poll(1)
        except (OSError, RfbError):
            client, changed = None, False
        now = stage(client.image()) if client and (changed or shown is None) else shown
        if now != shown:
            shown, told = now, time.monotonic()
            print(f"demo: {elapsed:4.0f} s: {shown}", flush=True)
        elif time.monotonic() - told > 15:
            told = time.monotonic()
            print(f"demo: {elapsed:4.0f} s: still {shown or 'no VNC server'}", flush=True)
        if shown == "the language page":
            # The page is drawn in several steps; the picture is of the whole.
            while client.poll(1.5):
                pass
            client.image().save(options.screenshot)
            return 0
        if not alive(options.pid):
            print("demo: the guest's program has ended", file=sys.stderr)
            return 1
        if elapsed > options.limit:
            print(f"demo: no language page within {options.limit} s", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())

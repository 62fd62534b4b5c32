#!/usr/bin/env python3
"""Time, VM exits, memory and idle cost of Debian's graphical installer under vmgui and QEMU, on the KVM where this runs.

tests/bench/run starts it in the lab. Prints one JSON object a line, one for each run of the guest.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import installer_guest
from rfb import RfbClient

IDLE_SECONDS = 10


def vm_exits():
    """Exits of all virtual machines that run now, or None where debugfs is not mounted."""
    try:
        with open("/sys/kernel/debug/kvm/exits", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return None


def cpu_seconds(pid):
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib(pid):
    """The most memory that a process had resident."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def measure(name, command, display, cache, limit):
    """One boot to the language page, and a look at the idle guest after that."""
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        client = stack.enter_context(RfbClient(port=5900 + display, timeout=60))
        installer_guest.wait_for_language_page(client, process, limit)
        result = {
            "name": name,
            "seconds": round(time.monotonic() - start, 1),
            "exits": vm_exits(),
            "peak_kib": peak_kib(process.pid),
            "screen": f"{client.width}x{client.height}",
            "vnc_bytes": client.bytes_received,
        }
        client.poll(5)
        bytes_before, cpu_before, exits_before = client.bytes_received, cpu_seconds(process.pid), vm_exits()
        client.poll(IDLE_SECONDS)
        result["idle_vnc_bytes"] = client.bytes_received - bytes_before
        result["idle_cpu_percent"] = round((cpu_seconds(process.pid) - cpu_before) / IDLE_SECONDS * 100, 2)
        if exits_before is not None:
            result["idle_exits_per_second"] = round((vm_exits() - exits_before) / IDLE_SECONDS)
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", required=True)
    parser.add_argument("--without-qemu", action="store_true")
    parser.add_argument("--limit", type=int, default=600, help="seconds to wait for the page")
    options = parser.parse_args()
    missing = installer_guest.missing_images()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    display = installer_guest.free_display()
    vmgui = installer_guest.vmgui_command(options.vmgui, display)
    with tempfile.TemporaryDirectory() as cache:
        runs = [("vmgui, first start", vmgui), ("vmgui", vmgui)]
        if not options.without_qemu:
            runs.append(("qemu, tuned", installer_guest.qemu_command(display)))
            runs.append(("qemu", installer_guest.plain_qemu_command(display)))
        for name, command in runs:
            print(json.dumps(measure(name, command, display, cache, options.limit)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

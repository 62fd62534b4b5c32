#!/usr/bin/env python3
"""What somebody meets in the first minutes, and at the end: errors that answer, on stderr and in a dialog; no desktop session;
a window that goes when the guest goes, and one that stays (--keep-open).

Runs the test card on this machine's KVM under Xvfb. Exits with 77 without Xvfb, xdotool, xwd or /dev/kvm.
"""

import argparse
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from demo import check, say, wait
from desktop import Desktop
from image import Image

# Guests' names are one machine's, and somebody may run these tests twice.
NAME = f"minutes-{os.getpid()}"


def text_of(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()


class Run:
    """vmgui on the desktop, its output and its window."""

    def __init__(self, desktop, vmgui, log, *options):
        self.desktop, self.log = desktop, log
        self.process = desktop.start([vmgui, *options], log)

    def text(self):
        return text_of(self.log)

    def ended(self, timeout=60):
        return self.process.wait(timeout)


class OnTerminal:
    """vmgui with a terminal of its own, as a shell starts it."""

    def __init__(self, desktop, vmgui, *options):
        self._text = b""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [vmgui, *options],
            env=desktop.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def send(self, data):
        os.write(self._ours, data)

    def said(self, words):
        """Whether the terminal has got these words by now."""
        while select.select([self._ours], [], [], 0)[0]:
            self._text += os.read(self._ours, 4096)
        return words in self._text

    def is_cooked(self):
        """Whether Ctrl-C is a signal."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ISIG)


def signal_taken(process, number):
    """Sends a signal, until the process has taken it, or has ended by it, and what waits then waits for ever: one that waits
    swallows the next."""
    process.send_signal(number)

    def taken():
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
            status = file.read()
        pending = re.search(r"^ShdPnd:\t([0-9a-f]+)$", status, re.MULTILINE)
        return "\nState:\tZ" in status or not pending or not int(pending.group(1), 16) >> (number - 1) & 1

    wait(taken, "the signal is taken")


def answers_on_stderr(vmgui, artefacts):
    """One line each, with what to do in brackets."""
    no_kernel = os.path.join(artefacts, "not-a-kernel")
    with open(no_kernel, "w", encoding="utf-8") as file:
        file.write("this is not a kernel\n" * 100)
    a_disk = os.path.join(artefacts, "system.qcow2")
    with open(a_disk, "wb") as file:
        file.write(b"QFI\xfb" + bytes(508))
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    for options, status, words in (
        (["/nowhere/vmlinuz"], 2, "No such file"),
        ([no_kernel], 2, "not-a-kernel"),
        ([a_disk], 2, "qcow2 disk image"),
        (["--disk", a_disk], 2, "no firmware"),
        ([artefacts], 2, "directory"),
        (["--sdl", "--sdl"], 2, "twice"),
        (["--dev", "/nowhere/kvm"], 2, "/nowhere/kvm"),
        (["--dev", "/dev/null"], 2, "/dev/null"),
        (["--sdl"], 1, "desktop session"),
        (["--fullscren"], 2, "--fullscreen"),
    ):
        done = subprocess.run(
            [vmgui, *options], env=environment, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        lines = done.stderr.splitlines()
        check(
            done.returncode == status and len(lines) == 1 and words in lines[0] and "(" in lines[0],
            f"{' '.join(options)}: status {done.returncode}, {done.stderr.strip()}",
        )


def falls_back_to_vnc(vmgui, artefacts):
    log = os.path.join(artefacts, "no-desktop.log")
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with open(log, "wb") as out:
        process = subprocess.Popen([vmgui], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait(lambda: "VNC server on" in text_of(log), "VNC is served")
        check("no desktop session" in text_of(log), "without a desktop session VNC is served, and that is said")
    finally:
        process.kill()
        process.wait()


def silent_session_bus(desktop, vmgui, artefacts):
    """Toolkits would wait for it for ever, and nobody takes signals meanwhile."""
    path = os.path.join(artefacts, "silent-bus")
    if os.path.exists(path):
        os.remove(path)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen(8)
        environment = dict(desktop.environment, DBUS_SESSION_BUS_ADDRESS=f"unix:path={path}")
        done = subprocess.run(
            [vmgui, "--sdl"], env=environment, capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL
        )
    check(done.returncode == 1 and "session bus" in done.stderr, f"a session bus that says nothing: {done.stderr.strip()}")


def complete_dialog(desktop):
    """Its picture, once it stands still. A desktop without windows is black."""
    last = []

    def stands():
        time.sleep(1)
        last.append(desktop.picture())
        return any(last[-1].data) and last[-2:-1] == last[-1:] and last[-1]

    return wait(stands, "a dialog")


def dialog(desktop, vmgui, artefacts):
    run = Run(desktop, vmgui, os.path.join(artefacts, "dialog.log"), "--error-dialog", "/nowhere/vmlinuz")
    picture = complete_dialog(desktop)
    picture.save(os.path.join(artefacts, "dialog.png"))
    check(run.process.poll() is None, "the dialog waits until it is read")
    rows = [y for y in range(picture.height) if any(picture.row(y))]
    row = picture.row((rows[0] + rows[-1]) // 2)
    columns = [x for x in range(picture.width) if any(row[x * 3 : x * 3 + 3])]
    desktop.xdotool("mousemove", (columns[0] + columns[-1]) // 2, rows[-1] - 25, "sleep", 0.5, "click", 1)
    check(run.ended() == 2, "then vmgui ends with its status")
    check("/nowhere/vmlinuz" in run.text(), "the error is on stderr as well")


def told_to_end_in_the_dialog(desktop, vmgui, artefacts):
    run = Run(desktop, vmgui, os.path.join(artefacts, "dialog-told.log"), "--error-dialog", "/nowhere/vmlinuz")
    complete_dialog(desktop)
    run.process.send_signal(signal.SIGTERM)
    check(run.ended() == 2, "told to end while the dialog is open, vmgui ends with its status")


def goes_with_the_guest(desktop, vmgui, artefacts):
    with OnTerminal(desktop, vmgui, "--sdl", "--name", NAME) as run:
        desktop.window(NAME)
        wait(lambda: run.said(b"card: ready"), "the test card listens")
        run.send(b"poweroff\n")
        check(run.process.wait(60) == 0, "the window goes when the guest goes")
    check(not desktop.windows(NAME), "and is not there any more")


def saved_picture(text):
    """The screenshot's path that vmgui tells, if it does."""
    told = re.search(r"screenshot: (\S+\.png)", text)
    return told and told.group(1)


def stays_open(desktop, vmgui, artefacts, display):
    """Shows the last picture, until it is closed or vmgui is told to end."""
    log = os.path.join(artefacts, f"stays-{display}.log")
    for how in ("told to end", "closed"):
        run = Run(desktop, vmgui, log, f"--{display}", "--name", NAME, "--timeout", "3", "--keep-open")
        window = desktop.window(f"{NAME}.* time was up")
        time.sleep(1)
        check(run.process.poll() is None, f"--keep-open, {display}: vmgui stays when the guest has ended")
        desktop.picture(window).save(os.path.join(artefacts, f"stays-{display}.png"))
        title = desktop.xdotool("getwindowname", window).strip()
        check("releases" not in title, f"its title says so: {title}")
        desktop.xdotool("windowfocus", "--sync", window, "sleep", 0.5, "key", "ctrl+alt+s")
        name = wait(lambda run=run: saved_picture(run.text()), "a screenshot")
        check(Image.load(f"/proc/{run.process.pid}/cwd/{name}").width == 1024, f"a screenshot of the last picture: {name}")
        if how == "closed":
            desktop.ask_to_close(window)
        else:
            run.process.send_signal(signal.SIGTERM)
        check(run.ended() == 4, f"{how}: it ends with the guest's status")


def on_a_terminal(desktop, vmgui, display):
    """Kept open, vmgui has given the terminal back, and Ctrl-C there ends it."""
    with OnTerminal(desktop, vmgui, f"--{display}", "--name", NAME, "--timeout", "3", "--keep-open") as run:
        desktop.window(f"{NAME} - (ended|the guest's time)")
        wait(run.is_cooked, "the terminal is as it was")
        time.sleep(1)
        check(run.process.poll() is None, f"--keep-open, {display}: on a terminal, too")
        run.send(b"\x03")
        check(run.process.wait(60) == 4, "Ctrl-C ends it with the guest's status")


def told_to_end_twice(desktop, vmgui, artefacts, display):
    run = Run(desktop, vmgui, os.path.join(artefacts, f"told-{display}.log"), f"--{display}", "--name", NAME, "--keep-open")
    desktop.window(NAME)
    signal_taken(run.process, signal.SIGTERM)
    run.process.send_signal(signal.SIGTERM)
    check(run.ended() == 0, f"--keep-open, {display}: two signals are enough")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", required=True)
    parser.add_argument("--artefacts", required=True)
    parser.add_argument("--displays", default="sdl", help="windows to try, with commas between")
    options = parser.parse_args()
    missing = [tool for tool in ("Xvfb", "xdotool", "xwd") if not shutil.which(tool)]
    if missing:
        say(f"skipped: not installed: {' '.join(missing)}")
        return 77
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("skipped: no usable /dev/kvm on this machine")
        return 77
    options.vmgui = os.path.abspath(options.vmgui)
    options.artefacts = os.path.abspath(options.artefacts)
    os.makedirs(options.artefacts, exist_ok=True)
    answers_on_stderr(options.vmgui, options.artefacts)
    falls_back_to_vnc(options.vmgui, options.artefacts)
    with Desktop() as desktop:
        silent_session_bus(desktop, options.vmgui, options.artefacts)
        dialog(desktop, options.vmgui, options.artefacts)
        told_to_end_in_the_dialog(desktop, options.vmgui, options.artefacts)
        goes_with_the_guest(desktop, options.vmgui, options.artefacts)
        for display in options.displays.split(","):
            stays_open(desktop, options.vmgui, options.artefacts, display)
            on_a_terminal(desktop, options.vmgui, display)
            told_to_end_twice(desktop, options.vmgui, options.artefacts, display)
    return 0


if __name__ == "__main__":
    sys.exit(main())

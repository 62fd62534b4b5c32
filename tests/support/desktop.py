"""An X desktop without a monitor: Xvfb, windows in it, xdotool as the hand and xwd as the eye.

Programs are started on it as on any desktop, so what a test sees and does is what a person at that desktop would.
"""

import ctypes
import os
import struct
import subprocess
import tempfile
import time

from image import Image


class DesktopError(Exception):
    """The X server, a tool or a window is not there."""


def read_xwd(data):
    """The picture in an X window dump (what xwd writes): 32 bits a pixel, or 24 where it had to join windows of several kinds."""
    fields = struct.unpack(">25I", data[:100])
    header_size, depth, width, height = fields[0], fields[3], fields[4], fields[5]
    little_endian, bits_per_pixel, bytes_per_line, colours = fields[7] == 0, fields[11], fields[12], fields[19]
    if bits_per_pixel not in (24, 32) or depth not in (24, 32):
        raise DesktopError(f"a window dump of {bits_per_pixel} bits a pixel")
    start, size = header_size + colours * 12, bits_per_pixel // 8
    pixels = b"".join(
        data[start + y * bytes_per_line : start + y * bytes_per_line + width * size] for y in range(height)
    )
    rgb = bytearray(width * height * 3)
    for channel in range(3):
        rgb[channel::3] = pixels[2 - channel if little_endian else channel + size - 3 :: size]
    return Image(width, height, rgb)


class Desktop:
    """One X server and the programs on it; closing it ends them."""

    def __init__(self, width=1400, height=1000):
        self._programs = []
        self._directory = tempfile.mkdtemp(prefix="desktop.")
        receive, send = os.pipe()
        # Xvfb finds a free display number by itself and tells it through the pipe.
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(send), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"],
            pass_fds=[send],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(send)
        with os.fdopen(receive) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise DesktopError("Xvfb did not start")
        self.display = f":{number}"
        self.size = (width, height)
        self.environment = {**os.environ, "DISPLAY": self.display, "HOME": self._directory, "SDL_VIDEODRIVER": "x11"}
        # GTK would start an accessibility bus, which outlives the test.
        self.environment["NO_AT_BRIDGE"] = "1"
        for name in ("WAYLAND_DISPLAY", "XDG_STATE_HOME"):
            self.environment.pop(name, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, command, log):
        """Runs a program on this desktop; its output goes to the file named log."""
        with open(log, "wb") as out:
            program = subprocess.Popen(
                command, env=self.environment, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self._programs.append(program)
        return program

    def xdotool(self, *arguments):
        """Runs xdotool; its output."""
        done = subprocess.run(
            ["xdotool", *map(str, arguments)], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise DesktopError(f"xdotool {' '.join(map(str, arguments))}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def window(self, title, timeout=60, by="name"):
        """Waits for a visible window whose title matches, or whose class, with by="class"; its id."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                return self.xdotool("search", "--onlyvisible", f"--{by}", title).split()[-1]
            except (DesktopError, IndexError):
                time.sleep(0.2)
        raise DesktopError(f"no window called {title} within {timeout} s")

    def windows(self, title):
        """The visible windows whose titles match."""
        done = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", title], env=self.environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        return done.stdout.split()

    def geometry(self, window):
        """A window's place and size on the screen: (x, y, width, height)."""
        said = self.xdotool("getwindowgeometry", "--shell", window)
        fields = dict(line.split("=") for line in said.split())
        return tuple(int(fields[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def layout(self, layout, variant="", model="pc105"):
        """The X server's keyboard layout."""
        subprocess.run(
            ["setxkbmap", "-rules", "evdev", "-model", model, "-layout", layout, "-variant", variant],
            env=self.environment, check=True, timeout=60,
        )  # fmt: skip

    def picture(self, window=None):
        """What stands in a window (without it: on the whole desktop)."""
        what = ["-id", window] if window else ["-root"]
        for _ in range(50):
            done = subprocess.run(
                ["xwd", "-silent", *what], env=self.environment, capture_output=True, timeout=120, check=False
            )
            if not done.returncode:
                return read_xwd(done.stdout)
            # It asks where the windows are and then for what stands there; some have moved or gone meanwhile.
            time.sleep(0.1)
        raise DesktopError(f"xwd: {done.stderr.decode(errors='replace').strip()}")

    def ask_to_close(self, window):
        """What a window manager does when somebody clicks a window's cross (ICCCM, WM_DELETE_WINDOW)."""
        xlib = ctypes.CDLL("libX11.so.6")
        xlib.XOpenDisplay.restype = ctypes.c_void_p
        xlib.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(xlib.XOpenDisplay(self.display.encode()))
        if not display:
            raise DesktopError("no connection to the X server")
        atoms = [xlib.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
        # An XClientMessageEvent (33) of format 32; an XEvent has 24 longs.
        event = struct.pack("=i4xQi4xQQQi4x5q", 33, 0, 1, display.value, int(window), atoms[0], 32, atoms[1], 0, 0, 0, 0)
        xlib.XSendEvent(display, ctypes.c_ulong(int(window)), 0, ctypes.c_long(0), event.ljust(24 * 8, b"\0"))
        xlib.XCloseDisplay(display)

    def kill_server(self):
        """The X server goes away under its programs."""
        self._server.terminate()
        self._server.wait()

    def close(self):
        """Ends every program and the X server."""
        for program in self._programs:
            program.terminate()
        for program in self._programs:
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self._server.terminate()
        self._server.wait()
        subprocess.run(["rm", "-rf", self._directory], check=False)

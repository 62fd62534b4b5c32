"""A Wayland desktop without a monitor: sway on its headless backend, grim as the eye, and a hand of our own.

The hand speaks Wayland's wire protocol itself (virtual-keyboard-unstable-v1, wlr-virtual-pointer-unstable-v1), so that a key
has the evdev code that a test wants it to have, and the pointer is where it should be.
"""

import json
import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import time

from image import Image

TOOLS = ("sway", "swaymsg", "grim")
CONFIG = """output HEADLESS-1 resolution {width}x{height} scale {scale} position 0 0
default_border none
default_floating_border none
focus_follows_mouse no
for_window [app_id=".*"] floating enable
for_window [class=".*"] floating enable
{more}
"""
KEYMAP = """xkb_keymap {{
xkb_keycodes {{ include "evdev+aliases(qwerty)" }};
xkb_types {{ include "complete" }};
xkb_compat {{ include "complete" }};
xkb_symbols {{ include "pc+{layout}+inet(evdev)" }};
}};
"""
# evdev code: bit in xkb's modifier mask
HELD = {42: 1, 54: 1, 29: 4, 97: 4, 56: 8, 125: 64, 126: 64}
LOCKS = {58: 2, 69: 16}
LEFT, RIGHT, MIDDLE, SIDE, EXTRA = 0x110, 0x111, 0x112, 0x113, 0x114


class WaylandError(Exception):
    """The compositor, a tool or a window is not there."""


class Hand:
    """A Wayland client that only types and points."""

    def __init__(self, path, width, height, layout="us"):
        self._size = (width, height)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._next_id = 2
        self._buffer = b""
        self._mods = self._locked = 0
        registry = self._new(1, 1)  # wl_display.get_registry
        self._globals = {}
        self.sync(registry)
        seat = self._bind(registry, "wl_seat")
        keyboards = self._bind(registry, "zwp_virtual_keyboard_manager_v1")
        pointers = self._bind(registry, "zwlr_virtual_pointer_manager_v1")
        self._keyboard = self._new(keyboards, 0, struct.pack("=I", seat))
        self._pointer = self._new(pointers, 0, struct.pack("=I", seat))
        keymap = KEYMAP.format(layout=layout).encode() + b"\0"
        with tempfile.TemporaryFile() as file:
            file.write(keymap)
            file.flush()
            self._send(self._keyboard, 0, struct.pack("=II", 1, len(keymap)), file.fileno())
        self.sync()

    def _send(self, target, opcode, data=b"", fd=None):
        message = struct.pack("=IHH", target, opcode, 8 + len(data)) + data
        if fd is None:
            self._socket.sendall(message)
        else:
            socket.send_fds(self._socket, [message], [fd])

    def _new(self, target, opcode, before=b"", after=b""):
        new = self._next_id
        self._next_id += 1
        self._send(target, opcode, before + struct.pack("=I", new) + after)
        return new

    def _bind(self, registry, interface):
        if interface not in self._globals:
            raise WaylandError(f"the compositor has no {interface}")
        name = interface.encode() + b"\0"
        text = struct.pack("=I", len(name)) + name.ljust((len(name) + 3) // 4 * 4, b"\0")
        return self._new(registry, 0, struct.pack("=I", self._globals[interface]) + text + struct.pack("=I", 1))

    def sync(self, registry=0):
        """Until the compositor has seen all that was sent."""
        callback = self._new(1, 0)
        while True:
            while len(self._buffer) < 8 or len(self._buffer) < struct.unpack_from("=H", self._buffer, 6)[0]:
                data = self._socket.recv(65536)
                if not data:
                    raise WaylandError("the compositor has closed the connection")
                self._buffer += data
            source, opcode, size = struct.unpack_from("=IHH", self._buffer)
            body, self._buffer = self._buffer[8:size], self._buffer[size:]
            if source == 1 and opcode == 0:
                raise WaylandError(f"protocol error: {body!r}")
            if source == registry and opcode == 0:
                name, length = struct.unpack_from("=II", body)
                self._globals[body[8 : 8 + length - 1].decode()] = name
            if source == callback:
                return

    @staticmethod
    def _now():
        return int(time.monotonic() * 1000) & 0xFFFFFFFF

    def key(self, code, down):
        """A key by its evdev code."""
        self._send(self._keyboard, 1, struct.pack("=III", self._now(), code, 1 if down else 0))
        if code in HELD:
            self._mods = self._mods | HELD[code] if down else self._mods & ~HELD[code]
        elif code in LOCKS and down:
            self._locked ^= LOCKS[code]
        if code in HELD or code in LOCKS:
            self._send(self._keyboard, 2, struct.pack("=IIII", self._mods, 0, self._locked, 0))
        self.sync()

    def press(self, *codes, hold=0.02):
        """A combination: all of them down, then up again."""
        for code in codes:
            self.key(code, True)
        time.sleep(hold)
        for code in reversed(codes):
            self.key(code, False)

    def move(self, x, y):
        """The pointer to a place of the output, in its units: to the unit's middle."""
        width, height = self._size
        self._send(
            self._pointer, 1, struct.pack("=IIIII", self._now(), int(x) * 2 + 1, int(y) * 2 + 1, width * 2, height * 2)
        )
        self._frame()

    def nudge(self, dx, dy):
        """The pointer by that much."""
        self._send(self._pointer, 0, struct.pack("=Iii", self._now(), int(dx * 256), int(dy * 256)))
        self._frame()

    def button(self, code, down):
        """A button by its evdev code."""
        self._send(self._pointer, 2, struct.pack("=III", self._now(), code, 1 if down else 0))
        self._frame()

    def click(self, code=LEFT):
        self.button(code, True)
        time.sleep(0.05)
        self.button(code, False)

    def wheel(self, axis, steps):
        """axis 0: down positive; 1: right positive."""
        self._send(self._pointer, 5, struct.pack("=I", 0))
        self._send(self._pointer, 7, struct.pack("=IIii", self._now(), axis, steps * 15 * 256, steps))
        self._frame()

    def _frame(self):
        self._send(self._pointer, 4)
        self.sync()


class WaylandDesktop:
    """One compositor and the programs on it; closing it ends them."""

    def __init__(self, width=1400, height=1000, scale=1, layout="us", more=""):
        self._programs = []
        self._directory = tempfile.mkdtemp(prefix="wayland.")
        self.scale = scale
        os.chmod(self._directory, 0o700)
        config = os.path.join(self._directory, "sway.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(width=width, height=height, scale=scale, more=more))
        environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": self._directory,
            "HOME": self._directory,
            "WLR_BACKENDS": "headless",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "WLR_RENDERER": "pixman",
        }
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SWAYSOCK"):
            environment.pop(name, None)
        command = ["sway", "-c", config]
        self._as_owner, self._prefix = [], []
        if os.geteuid() == 0:  # sway does not want to be root's
            nobody = pwd.getpwnam("nobody")
            os.chown(self._directory, nobody.pw_uid, nobody.pw_gid)
            self._as_owner = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            command = self._as_owner + command
        with open(os.path.join(self._directory, "sway.log"), "wb") as log:
            self._server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            display = self._wait_for("wayland-", lambda name: not name.endswith(".lock"))
            self._ipc = os.path.join(self._directory, self._wait_for("sway-ipc.", lambda name: name.endswith(".sock")))
        except WaylandError:
            self.close()
            raise
        environment["WAYLAND_DISPLAY"] = display
        self.environment = self._environment = environment
        deadline = time.monotonic() + 20
        while True:
            try:
                self.hand = Hand(os.path.join(self._directory, display), int(width / scale), int(height / scale), layout)
                break
            except ConnectionError:
                if time.monotonic() > deadline:
                    self.close()
                    raise
                time.sleep(0.1)

    @staticmethod
    def missing():
        """The tools that are not installed."""
        return [tool for tool in TOOLS if not shutil.which(tool)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _wait_for(self, prefix, good):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._server.poll() is None:
            for name in os.listdir(self._directory):
                if name.startswith(prefix) and good(name):
                    return name
            time.sleep(0.05)
        raise WaylandError("sway did not start")

    def lets_run(self, program):
        """Whether the desktop's owner, who is not root, reaches that program (and the modules beside it)."""
        return subprocess.run([*self._as_owner, "test", "-x", os.path.abspath(program)], check=False).returncode == 0

    def x11(self):
        """Programs from here on are X clients, on the Xwayland that sway starts for the first of them."""
        path = os.path.join(self._directory, "display")
        self.message("exec", f"echo $DISPLAY > {path}.new && mv {path}.new {path}")
        deadline = time.monotonic() + 20
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                raise WaylandError("no X server's name from sway")
            time.sleep(0.05)
        with open(path, encoding="utf-8") as file:
            display = file.read().strip()
        if not display:
            raise WaylandError("sway has no Xwayland")
        self.environment = {**self.environment, "DISPLAY": display, "SDL_VIDEODRIVER": "x11"}
        self.environment.pop("WAYLAND_DISPLAY")
        self._prefix = self._as_owner  # nobody else is let in

    def start(self, command, log):
        """Runs a program on this desktop; its output goes to the file named log."""
        with open(log, "wb") as out:
            program = subprocess.Popen(
                self._prefix + command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self._programs.append(program)
        return program

    def message(self, *arguments):
        """swaymsg's answer."""
        done = subprocess.run(
            ["swaymsg", "-s", self._ipc, "-r", *arguments], env=self.environment, capture_output=True, timeout=30, check=False
        )
        if done.returncode:
            raise WaylandError(f"swaymsg {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def windows(self):
        """The windows, as sway describes them."""
        found = []

        def walk(node):
            if node.get("pid"):
                found.append(node)
            for child in node["nodes"] + node["floating_nodes"]:
                walk(child)

        walk(self.message("-t", "get_tree"))
        return found

    def window(self, title, timeout=60):
        """Waits for a window whose title begins so."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for window in self.windows():
                if (window["name"] or "").startswith(title):
                    return window
            time.sleep(0.1)
        raise WaylandError(f"no window called {title} within {timeout} s: {[w['name'] for w in self.windows()]}")

    def picture(self, rect=None):
        """What stands on the desktop, or in a rectangle of it ({x, y, width, height}, output units), in output pixels."""
        area = ["-g", f"{rect['x']},{rect['y']} {rect['width']}x{rect['height']}"] if rect else []
        done = subprocess.run(
            ["grim", "-t", "ppm", "-s", str(self.scale), *area, "-"],
            env=self._environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise WaylandError(f"grim: {done.stderr.decode(errors='replace').strip()}")
        magic, size, most, data = done.stdout.split(b"\n", 3)
        if magic != b"P6" or most != b"255":
            raise WaylandError("grim's picture is not what was asked for")
        width, height = map(int, size.split())
        return Image(width, height, bytearray(data))

    def end_server(self):
        """The compositor goes away under its programs."""
        self._server.terminate()
        self._server.wait()

    def close(self):
        """Ends every program and the compositor."""
        for program in self._programs + [self._server]:
            if program.poll() is None:
                program.terminate()
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        subprocess.run(["rm", "-rf", self._directory], check=False)

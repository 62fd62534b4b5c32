"""A small VNC client for the tests: RFB 3.8 (RFC 6143), no security, raw encoding, any server.

It keeps the whole picture, sends pointer and key events, and counts the bytes that the server sent, so that a test can tell
a quiet server from a busy one. When told so it offers extensions: QEMU's keys (-258), pointer (-257) and lights (-261), and
VMware's lights.
"""

import select
import socket
import struct
import time

from image import Image

ENCODING_RAW = 0
ENCODING_DESKTOP_SIZE = -223
POINTER_MOTION = -257  # QEMU: the server tells whether it wants places or steps
EXTENDED_KEYS = -258  # QEMU: keys come with their scan codes
QEMU_LEDS = -261
EXTENDED_BUTTONS = -316  # more than eight
VMWARE_LEDS = 0x574D5668
STEP_ZERO = 0x7FFF  # in relative mode, what a coordinate is for no step

KEYSYMS = {
    "BackSpace": 0xFF08, "Tab": 0xFF09, "Return": 0xFF0D, "Escape": 0xFF1B, "Home": 0xFF50, "Left": 0xFF51,
    "Up": 0xFF52, "Right": 0xFF53, "Down": 0xFF54, "Page_Up": 0xFF55, "Page_Down": 0xFF56, "End": 0xFF57,
    "Shift_L": 0xFFE1, "Control_L": 0xFFE3, "Alt_L": 0xFFE9, "Delete": 0xFFFF, "space": 0x20,
    **{f"F{n}": 0xFFBD + n for n in range(1, 25)},
}  # fmt: skip


class RfbError(Exception):
    """The server broke the protocol, refused us or went away."""


class RfbClient:
    """One connection. Only the owner's thread may use it."""

    encodings = (ENCODING_RAW,)

    def __init__(self, host="127.0.0.1", port=5900, timeout=30, extensions=()):
        """extensions: pseudo-encodings to offer, of those above."""
        self.extensions = tuple(extensions)
        self.agreed = set()  # those that the server has answered to
        self.relative = False  # the server wants steps
        self.leds = []  # every state that the server sent: 1 scroll, 2 num, 4 caps
        self.bytes_received = 0
        self.updates = 0
        self._update_asked = False
        self._pixels_since_refresh = 0
        self._held = []
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._socket = socket.create_connection((host, port), 30)
                self._handshake()
                return
            except (OSError, RfbError) as error:
                # A relay accepts before the server behind it listens, so a hang-up is worth another try as well.
                if time.monotonic() > deadline:
                    raise RfbError(f"no VNC server at {host}:{port}: {error}") from error
                time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Hangs up."""
        self._socket.close()

    def fileno(self):
        """For select()."""
        return self._socket.fileno()

    # ---- bytes ----

    def _receive(self, count):
        data = bytearray()
        while len(data) < count:
            part = self._socket.recv(min(count - len(data), 1 << 20))
            if not part:
                raise RfbError("the server hung up")
            data += part
        self.bytes_received += count
        return bytes(data)

    def _unpack(self, layout):
        return struct.unpack(layout, self._receive(struct.calcsize(layout)))

    def _send(self, layout, *values):
        self._socket.sendall(struct.pack(layout, *values))

    # ---- handshake ----

    def _handshake(self):
        self._socket.settimeout(60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        version = self._receive(12)
        if not version.startswith(b"RFB 003."):
            raise RfbError(f"not a VNC server: {version!r}")
        self._socket.sendall(b"RFB 003.008\n")
        (count,) = self._unpack(">B")
        if count == 0:
            raise RfbError(self._receive(self._unpack(">I")[0]).decode(errors="replace"))
        kinds = self._receive(count)
        if 1 not in kinds:
            raise RfbError(f"the server wants a password (security types {list(kinds)})")
        self._send(">B", 1)
        (result,) = self._unpack(">I")
        if result != 0:
            raise RfbError(self._receive(self._unpack(">I")[0]).decode(errors="replace"))
        self._send(">B", 1)
        self.width, self.height = self._unpack(">HH")
        self._receive(16)
        self.name = self._receive(self._unpack(">I")[0]).decode(errors="replace")
        # 32 bits a pixel, little endian, blue first: what every server has without converting.
        self._send(">Bxxx BBBB HHH BBB xxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        encodings = (*self.encodings, ENCODING_DESKTOP_SIZE, *self.extensions)
        self._send(f">BxH {len(encodings)}i", 2, len(encodings), *encodings)
        self._pixels = bytearray(self.width * self.height * 4)

    # ---- the picture ----

    def _ask(self, incremental):
        self._send(">BBHHHH", 3, int(incremental), 0, 0, self.width, self.height)
        self._update_asked = True

    def _rectangle(self):
        """Reads one rectangle; True when it was pixels, False when the size changed, None for what is neither."""
        x, y, width, height, encoding = self._unpack(">HHHHi")
        if encoding == ENCODING_DESKTOP_SIZE:
            self.width, self.height = width, height
            self._pixels = bytearray(width * height * 4)
            return False
        if encoding in self.extensions:
            self.agreed.add(encoding)
            if encoding == POINTER_MOTION:
                self.relative = x == 0
            elif encoding == QEMU_LEDS:
                self.leds.append(self._unpack(">B")[0])
            elif encoding == VMWARE_LEDS:
                self.leds.append(self._unpack(">I")[0])
            return None
        if encoding != ENCODING_RAW or x + width > self.width or y + height > self.height:
            raise RfbError(f"a rectangle {width}x{height}+{x}+{y}, encoding {encoding}, on {self.width}x{self.height}")
        data = self._receive(width * height * 4)
        for line in range(height):
            start = ((y + line) * self.width + x) * 4
            self._pixels[start : start + width * 4] = data[line * width * 4 : (line + 1) * width * 4]
        self._pixels_since_refresh += width * height
        return True

    def _message(self):
        """Reads one message; "pixels", "size" or None tells what it brought."""
        (kind,) = self._unpack(">B")
        if kind == 0:
            self._update_asked = False
            (count,) = self._unpack(">xH")
            brought = [self._rectangle() for _ in range(count)]
            self.updates += 1
            return "size" if False in brought else "pixels" if True in brought else None
        if kind == 1:
            _, count = self._unpack(">xHH")
            self._receive(count * 6)
        elif kind == 3:
            self._receive(self._unpack(">xxxI")[0])
        elif kind != 2:
            raise RfbError(f"message {kind} is unknown")
        return None

    def poll(self, seconds):
        """Takes in what the server sends within that time; True when pixels changed hands."""
        changed = False
        deadline = time.monotonic() + seconds
        while True:
            if not self._update_asked:
                self._ask(incremental=True)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return changed
            brought = self._message()
            if brought == "size":
                self._ask(incremental=False)
            changed = changed or brought is not None

    def refresh(self, timeout=60):
        """Asks for the whole picture and waits until it is here, and not just the answer to what was asked before."""
        deadline = time.monotonic() + timeout
        self._pixels_since_refresh = 0
        self._ask(incremental=False)
        while self._pixels_since_refresh < self.width * self.height:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise RfbError("the server sent no picture")
            if self._message() == "size":
                self._pixels_since_refresh = 0
                self._ask(incremental=False)

    def image(self):
        """A copy of the picture as it is now."""
        data = bytearray(self.width * self.height * 3)
        for channel in range(3):
            data[channel::3] = self._pixels[2 - channel :: 4]
        return Image(self.width, self.height, data)

    def pixel(self, x, y):
        """One pixel of it, 0xRRGGBB."""
        at = (y * self.width + x) * 4
        return int.from_bytes(self._pixels[at : at + 3], "little")

    # ---- input ----

    def pointer(self, x, y, buttons=0):
        """Moves the pointer; buttons is RFB's mask (1 left, 2 middle, 4 right, 8 to 64 the wheels: up, down, left, right; then
        back and forward, for a server that has agreed to more than eight)."""
        if EXTENDED_BUTTONS in self.agreed:
            self._send(">BBHHB", 5, buttons & 0x7F | 0x80, x, y, buttons >> 7)
        else:
            self._send(">BBHH", 5, buttons, x, y)

    def step(self, dx, dy, buttons=0):
        """Moves the pointer by that much; only when the server wants steps."""
        self.pointer(STEP_ZERO + dx, STEP_ZERO + dy, buttons)

    def wait_for(self, condition, what, timeout=60):
        """Reads on until condition() holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise RfbError(f"not within {timeout} s: {what}")
            self.poll(0.05)

    def click(self, x, y, button=1, hold=0.1):
        """Presses and releases a button there."""
        self.pointer(x, y)
        time.sleep(hold)
        self.pointer(x, y, button)
        time.sleep(hold)
        self.pointer(x, y)

    def key(self, name, down):
        """One key event: a name from KEYSYMS, or a character of Latin-1."""
        self._send(">BBxxI", 4, int(down), KEYSYMS[name] if name in KEYSYMS else ord(name))

    def keysym(self, keysym, down):
        """One key event by its keysym."""
        self._send(">BBxxI", 4, int(down), keysym)

    def scan(self, code, down, keysym=0):
        """One extended key event: set 1's code, with 80h in place of the prefix E0."""
        self._send(">BBHII", 255, 0, int(down), keysym, code)

    def send_raw(self, data):
        """Bytes as they are: many events at once."""
        self._socket.sendall(data)

    def press(self, name, hold=0.05):
        """Presses and releases a key."""
        self.key(name, True)
        time.sleep(hold)
        self.key(name, False)

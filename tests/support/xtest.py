"""A user's hands at an X server: the XTEST extension, by way of ctypes. As xdotool, but key codes only, and at any speed."""

import ctypes
import ctypes.util

USE_CORE_KEYBOARD = 0x100


class XTestError(Exception):
    """No X server, or not the libraries."""


class _XkbState(ctypes.Structure):
    _fields_ = [(field, ctypes.c_ubyte) for field in ("group", "locked_group")]
    _fields_ += [(field, ctypes.c_ushort) for field in ("base_group", "latched_group")]
    _fields_ += [(field, ctypes.c_ubyte) for field in ("mods", "base_mods", "latched_mods", "locked_mods")]
    _fields_ += [("rest", ctypes.c_ubyte * 32)]


class XTest:
    """One connection to an X server. Each call has been carried out by the server when it returns, but for the *_later ones."""

    def __init__(self, display):
        try:
            self._x = ctypes.CDLL("libX11.so.6")
            self._test = ctypes.CDLL("libXtst.so.6")
        except OSError as error:
            raise XTestError(str(error)) from error
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(display.encode()))
        if not self._display:
            raise XTestError(f"no connection to the X server {display}")

    def close(self):
        """Hangs up."""
        self._x.XCloseDisplay(self._display)

    def sync(self):
        """Until the server has done everything."""
        self._x.XSync(self._display, 0)

    def key_later(self, code, down):
        """A key by its evdev code."""
        self._test.XTestFakeKeyEvent(self._display, ctypes.c_uint(code + 8), int(down), ctypes.c_ulong(0))

    def key(self, code, down):
        """A key by its evdev code."""
        self.key_later(code, down)
        self.sync()

    def press(self, code):
        """Press and release."""
        self.key(code, True)
        self.key(code, False)

    def move(self, x, y):
        """The pointer, to a place on the screen."""
        self._test.XTestFakeMotionEvent(self._display, -1, x, y, ctypes.c_ulong(0))
        self.sync()

    def step(self, dx, dy):
        """The pointer, by that much, without acceleration."""
        self._test.XTestFakeRelativeMotionEvent(self._display, dx, dy, ctypes.c_ulong(0))
        self.sync()

    def button(self, number, down):
        """1 left, 2 middle, 3 right, 4 to 7 the wheels (up, down, left, right), 8 and 9 back and forward."""
        self._test.XTestFakeButtonEvent(self._display, number, int(down), ctypes.c_ulong(0))
        self.sync()

    def click(self, number):
        """Press and release."""
        self.button(number, True)
        self.button(number, False)

    def focus(self, window):
        """Gives a window the focus; None: takes it from all."""
        self._x.XSetInputFocus(self._display, ctypes.c_ulong(int(window or 0)), 2, ctypes.c_ulong(0))
        self.sync()

    def locks(self):
        """The locked modifiers: bit 1 Caps Lock, bit 4 Num Lock (Mod2) on the usual layouts."""
        state = _XkbState()
        self._x.XkbGetState(self._display, USE_CORE_KEYBOARD, ctypes.byref(state))
        return state.locked_mods

    def caps(self):
        """Whether Caps Lock is on here."""
        return bool(self.locks() & 2)

    def unlock(self):
        """All locks off, as nobody had pressed a key."""
        self._x.XkbLockModifiers(self._display, USE_CORE_KEYBOARD, 0xFF, 0)
        self.sync()

    def lock_caps(self, on):
        """Caps Lock without a key."""
        self._x.XkbLockModifiers(self._display, USE_CORE_KEYBOARD, 2, 2 if on else 0)
        self.sync()

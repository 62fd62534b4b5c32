"""What a guest makes of the keys that reach it: libxkbcommon, by way of ctypes.

This is how a Wayland desktop or X in the guest would read them, so a test learns from the guest's side whether a symbol has
arrived, without asking vmgui's own tables. Needs libxkbcommon.so.0 and the layouts of xkb-data.
"""

import ctypes
import os

OFFSET = 8  # X keycode = evdev code + 8
NO_SYMBOL = 0
LEVELS = {0: (), 1: ("shift",), 2: ("altgr",), 3: ("shift", "altgr")}

COMPOSING, COMPOSED, CANCELLED = 1, 2, 3


class _Names(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")]


def _library():
    xkb = ctypes.CDLL("libxkbcommon.so.0")
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    for name, result, *arguments in (
        ("xkb_context_new", pointer, ctypes.c_int),
        ("xkb_keymap_new_from_names", pointer, pointer, ctypes.POINTER(_Names), ctypes.c_int),
        ("xkb_keymap_unref", None, pointer),
        ("xkb_keymap_num_levels_for_key", number, pointer, number, number),
        ("xkb_keymap_key_get_syms_by_level", ctypes.c_int, pointer, number, number, number, pointer),
        ("xkb_state_new", pointer, pointer),
        ("xkb_state_unref", None, pointer),
        ("xkb_state_update_key", ctypes.c_int, pointer, number, ctypes.c_int),
        ("xkb_state_key_get_one_sym", number, pointer, number),
        ("xkb_state_serialize_mods", number, pointer, ctypes.c_int),
        ("xkb_keysym_get_name", ctypes.c_int, number, ctypes.c_char_p, ctypes.c_size_t),
        ("xkb_keysym_from_name", number, ctypes.c_char_p, ctypes.c_int),
        ("xkb_keysym_to_utf32", number, number),
        ("xkb_compose_table_new_from_locale", pointer, pointer, ctypes.c_char_p, ctypes.c_int),
        ("xkb_compose_state_new", pointer, pointer, ctypes.c_int),
        ("xkb_compose_state_feed", ctypes.c_int, pointer, number),
        ("xkb_compose_state_reset", None, pointer),
        ("xkb_compose_state_get_status", ctypes.c_int, pointer),
        ("xkb_compose_state_get_one_sym", number, pointer),
    ):
        function = getattr(xkb, name)
        function.restype, function.argtypes = result, arguments
    return xkb


_xkb = _library()
_context = _xkb.xkb_context_new(0)
_compose_table = _xkb.xkb_compose_table_new_from_locale(_context, b"en_US.UTF-8", 0)


def name(keysym):
    """For messages: "adiaeresis"."""
    text = ctypes.create_string_buffer(64)
    _xkb.xkb_keysym_get_name(keysym, text, len(text))
    return text.value.decode()


def keysym(text):
    """The keysym of that name."""
    return _xkb.xkb_keysym_from_name(text.encode(), 0)


def character(sym):
    """The code point that a keysym stands for; 0: none."""
    return _xkb.xkb_keysym_to_utf32(sym)


def same(one, other):
    """Whether two keysyms are one symbol."""
    return one == other or (character(one) != 0 and character(one) == character(other))


def canonical(sym):
    """For comparisons: some characters have an old keysym and one of their code point. The character, or the name."""
    return chr(character(sym)) if character(sym) else name(sym)


def is_modifier(sym):
    """Shift and its like, the locks, level and group shifts."""
    return 0xFFE1 <= sym <= 0xFFEE or 0xFE01 <= sym <= 0xFE13 or sym in (0xFF7E, 0xFF7F, 0xFF14)


def is_dead(sym):
    """A dead key's."""
    return 0xFE50 <= sym <= 0xFE93


class Layout:
    """A compiled layout of 105 keys, with those that the layout's own keyboards have beside them."""

    def __init__(self, layout, variant="", model="pc105"):
        names = _Names(b"evdev", model.encode(), layout.encode(), variant.encode(), b"")
        self.keymap = _xkb.xkb_keymap_new_from_names(_context, ctypes.byref(names), 0)
        if not self.keymap:
            raise RuntimeError(f"libxkbcommon has no layout {layout}({variant})")

    def symbols(self, codes):
        """{keysym: [(code, level)]} of the levels that Shift and AltGr reach."""
        found = {}
        reached = len(LEVELS) if self._has_altgr() else 2
        for code in codes:
            count = _xkb.xkb_keymap_num_levels_for_key(self.keymap, code + OFFSET, 0)
            for level in range(min(count, reached)):
                sym = self._symbol(code, level)
                if sym:
                    found.setdefault(sym, []).append((code, level))
        return found

    def _symbol(self, code, level):
        syms = ctypes.c_void_p()
        number = _xkb.xkb_keymap_key_get_syms_by_level(self.keymap, code + OFFSET, 0, level, ctypes.byref(syms))
        return ctypes.cast(syms, ctypes.POINTER(ctypes.c_uint32))[0] if number == 1 else NO_SYMBOL

    def _has_altgr(self):
        return self._symbol(100, 0) == keysym("ISO_Level3_Shift")


class Guest:
    """A guest's keyboard state and its input method (the Compose file, dead keys)."""

    def __init__(self, layout):
        self._layout = layout  # keeps the keymap
        self._state = _xkb.xkb_state_new(layout.keymap)
        self._compose = _xkb.xkb_compose_state_new(_compose_table, 0)

    def key(self, code, down):
        """What a press types before the input method sees it: a keysym, or None for modifiers and releases."""
        sym = _xkb.xkb_state_key_get_one_sym(self._state, code + OFFSET)
        _xkb.xkb_state_update_key(self._state, code + OFFSET, int(down))
        return None if not down or sym == NO_SYMBOL or is_modifier(sym) else sym

    def modifiers(self):
        """The real modifiers that are held or latched (bits 0 Shift, 1 Lock, 2 Control, 3 to 7 Mod1 to Mod5)."""
        held = _xkb.xkb_state_serialize_mods(self._state, 3)
        return held & 0xFF

    def compose(self, syms):
        """What these symbols become: dead keys and letters together."""
        typed = []
        _xkb.xkb_compose_state_reset(self._compose)
        for sym in syms:
            _xkb.xkb_compose_state_feed(self._compose, sym)
            status = _xkb.xkb_compose_state_get_status(self._compose)
            if status == COMPOSED:
                typed.append(_xkb.xkb_compose_state_get_one_sym(self._compose))
                _xkb.xkb_compose_state_reset(self._compose)
            elif status != COMPOSING:
                typed.append(sym)
        return typed


def available():
    """Why there are no layouts here; None if there are."""
    if not os.path.isdir("/usr/share/X11/xkb"):
        return "no keyboard layouts (xkb-data) in /usr/share/X11/xkb"
    return None

"""The keys of a PC keyboard, as each party knows them.

A key is its code in Linux (linux/input-event-codes.h). The scan codes are set 1's (IBM PS/2 Hardware Interface Technical
Reference, "Keyboard (101- and 102-key)"), an X server's keycode is the code and 8, and RFB's extended key event has set 1 with
80h in place of the prefix E0.
"""

X_OFFSET = 8

ESC, LEFTSHIFT, RIGHTSHIFT, LEFTCTRL, LEFTALT, RIGHTALT = 1, 42, 54, 29, 56, 100
CAPSLOCK, NUMLOCK, SCROLLLOCK, PRINT, PAUSE = 58, 69, 70, 99, 119
KP_COMMA = 121  # also Brazil's keypad point

# X keysyms of keys that have no character, on every layout.
NAMED = {
    0xFF1B: 1, 0xFF08: 14, 0xFF09: 15, 0xFF0D: 28,  # Escape, BackSpace, Tab, Return
    0xFFE1: 42, 0xFFE2: 54, 0xFFE3: 29, 0xFFE4: 97, 0xFFE9: 56, 0xFFEA: 100,  # Shift, Control, Alt
    0xFFEB: 125, 0xFFEC: 126, 0xFF67: 127, 0xFE03: 100,  # Super, Menu, AltGr
    0xFF61: 99, 0xFF13: 119,  # Print, Pause
    0xFF63: 110, 0xFFFF: 111, 0xFF50: 102, 0xFF57: 107, 0xFF55: 104, 0xFF56: 109,  # the grey block
    0xFF51: 105, 0xFF52: 103, 0xFF53: 106, 0xFF54: 108,  # arrows
    0xFFAF: 98, 0xFFAA: 55, 0xFFAD: 74, 0xFFAB: 78, 0xFF8D: 96,  # keypad: / * - + Enter
    0xFF95: 71, 0xFF97: 72, 0xFF9A: 73, 0xFF96: 75, 0xFF9D: 76, 0xFF98: 77,  # keypad without Num Lock: 7 to 6
    0xFF9C: 79, 0xFF99: 80, 0xFF9B: 81, 0xFF9E: 82, 0xFF9F: 83,  # 1 to 3, 0, point
    0xFFB7: 71, 0xFFB8: 72, 0xFFB9: 73, 0xFFB4: 75, 0xFFB5: 76, 0xFFB6: 77,  # and with it
    0xFFB1: 79, 0xFFB2: 80, 0xFFB3: 81, 0xFFB0: 82, 0xFFAE: 83,
    **{0xFFBE + n: 59 + n for n in range(10)}, 0xFFC8: 87, 0xFFC9: 88,  # F1 to F12
    **{0xFFCA + n: 183 + n for n in range(12)},  # F13 to F24
}  # fmt: skip
LOCKS = {0xFF14: SCROLLLOCK, 0xFF7F: NUMLOCK, 0xFFE5: CAPSLOCK}
LIGHTS = {SCROLLLOCK: 1, NUMLOCK: 2, CAPSLOCK: 4}  # the card's and QEMU's masks

# The first level of the US layout.
US = {
    "`": 41, "1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11, "-": 12, "=": 13,
    "q": 16, "w": 17, "e": 18, "r": 19, "t": 20, "y": 21, "u": 22, "i": 23, "o": 24, "p": 25, "[": 26, "]": 27,
    "a": 30, "s": 31, "d": 32, "f": 33, "g": 34, "h": 35, "j": 36, "k": 37, "l": 38, ";": 39, "'": 40, "\\": 43,
    "z": 44, "x": 45, "c": 46, "v": 47, "b": 48, "n": 49, "m": 50, ",": 51, ".": 52, "/": 53, " ": 57,
}  # fmt: skip
US_SHIFTED = {
    "~": 41, "!": 2, "@": 3, "#": 4, "$": 5, "%": 6, "^": 7, "&": 8, "*": 9, "(": 10, ")": 11, "_": 12, "+": 13,
    "{": 26, "}": 27, ":": 39, '"': 40, "|": 43, "<": 51, ">": 52, "?": 53, "A": 30, "Q": 16, "Z": 44,
}  # fmt: skip

# What the 105 keys have beside 1 to 83 (which are 83 keys with 55 the keypad's *), 86 to 88.
SCAN_E0 = {
    96: 0x1C, 97: 0x1D, 98: 0x35, 100: 0x38, 102: 0x47, 103: 0x48, 104: 0x49, 105: 0x4B, 106: 0x4D, 107: 0x4F,
    108: 0x50, 109: 0x51, 110: 0x52, 111: 0x53, 125: 0x5B, 126: 0x5C, 127: 0x5D,
}  # fmt: skip
PC_KEYS = [*range(1, 84), 86, 87, 88, *SCAN_E0, PRINT, PAUSE]
assert len(PC_KEYS) == 105

# Japanese and Brazilian keyboards: Ro (on Brazil's: /), Katakana-Hiragana, Henkan, Muhenkan, Yen, the keypad's comma or point.
EXTRA = {89: 0x73, 93: 0x70, 92: 0x79, 94: 0x7B, 124: 0x7D, KP_COMMA: 0x7E}


def scans(code):
    """The sequences of bytes that a key sends, in set 1: those of its press and those of its release."""
    if code == PRINT:
        return [b"\xe0\x2a", b"\xe0\x37"], [b"\xe0\xb7", b"\xe0\xaa"]
    if code == PAUSE:
        return [b"\xe1\x1d\x45", b"\xe1\x9d\xc5"], []
    if code in SCAN_E0:
        return [bytes((0xE0, SCAN_E0[code]))], [bytes((0xE0, SCAN_E0[code] | 0x80))]
    base = EXTRA.get(code, code)
    return [bytes((base,))], [bytes((base | 0x80,))]


def rfb_code(code):
    """What the extended key event has for it."""
    special = {PRINT: 0xB7, PAUSE: 0xC6, NUMLOCK: 0x45}
    return special.get(code) or (0x80 | SCAN_E0[code] if code in SCAN_E0 else EXTRA.get(code, code))


def us_keysym(code):
    """The keysym that a US keyboard has on the key without Shift and Num Lock; None for the key that it lacks."""
    for character, other in US.items():
        if other == code:
            return ord(character)
    for keysym, other in (*NAMED.items(), *LOCKS.items()):
        if other == code:
            return keysym
    return None

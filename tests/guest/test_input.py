"""Keys, buttons, motion and lights: what a VNC client does, and what the guest's keyboard and mouse then say."""

import random

import guest
from rfb import KEYSYMS

# X keysyms of a US keyboard of 104 keys, and the evdev codes of the keys that they are on.
CHARACTERS = {
    "`": 41, "1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11, "-": 12, "=": 13,
    "q": 16, "w": 17, "e": 18, "r": 19, "t": 20, "y": 21, "u": 22, "i": 23, "o": 24, "p": 25, "[": 26, "]": 27,
    "a": 30, "s": 31, "d": 32, "f": 33, "g": 34, "h": 35, "j": 36, "k": 37, "l": 38, ";": 39, "'": 40, "\\": 43,
    "z": 44, "x": 45, "c": 46, "v": 47, "b": 48, "n": 49, "m": 50, ",": 51, ".": 52, "/": 53, " ": 57,
}  # fmt: skip
SHIFTED = {
    "~": 41, "!": 2, "@": 3, "#": 4, "$": 5, "%": 6, "^": 7, "&": 8, "*": 9, "(": 10, ")": 11, "_": 12, "+": 13,
    "{": 26, "}": 27, ":": 39, '"': 40, "|": 43, "<": 51, ">": 52, "?": 53, "A": 30, "Q": 16, "Z": 44,
}  # fmt: skip
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
LOCKS = {0xFF14: (70, 1), 0xFF7F: (69, 2), 0xFFE5: (58, 4)}  # Scroll, Num, Caps: code and light
KEYSYMS.update({keysym: keysym for keysym in (*NAMED, *LOCKS)})

KEY = r"key (\d+) (down|up|repeat) (\S+)"
MOUSE = r"mouse (-?\d+) (-?\d+) (\d+) (-?\d+) (\d+) (\d+)"

LEFT, RIGHT, MIDDLE, SIDE = 1, 2, 4, 8  # the card's
VNC_BUTTONS = {1: LEFT, 2: MIDDLE, 4: RIGHT}
VNC_WHEEL_UP, VNC_WHEEL_DOWN = 8, 16


class Keys(guest.GuestTest):
    def setUp(self):
        self.card_ = self.card(vnc=True)
        self.client = self.card_.client()
        self.end = 0

    def keys_until_fence(self):
        """(code, state) of every key event so far. The serial port and the keyboard are not one stream: Escape ends it."""
        self.client.press(0xFF1B, hold=0)
        found = self.card_.collect(KEY, r"key 1 up Esc")
        return [(int(match[1]), match[2]) for match in found][:-2]

    def test_it_found_a_keyboard_and_a_wheel_mouse_with_five_buttons(self):
        card = self.guest()
        card.expect("devices keyboard 1 mouse 1 wheel 1 buttons 5 absolute [01]")

    def test_each_key_arrives_pressed_and_released_once(self):
        for symbol, code in (*CHARACTERS.items(), *NAMED.items()):
            if code == 1:
                continue
            with self.subTest(keysym=symbol):
                self.client.press(symbol, hold=0)
                self.assertEqual(self.keys_until_fence(), [(code, "down"), (code, "up")])

    def test_symbols_come_with_the_shift_that_they_need(self):
        for symbol, code in SHIFTED.items():
            with self.subTest(symbol=symbol):
                wanted = [(42, "down"), (code, "down"), (code, "up"), (42, "up")]
                self.client.key(0xFFE1, True)
                self.client.press(symbol, hold=0)
                self.client.key(0xFFE1, False)
                self.assertEqual(self.keys_until_fence(), wanted)
                # A client whose layout needs no Shift for it.
                self.client.press(symbol, hold=0)
                found = self.keys_until_fence()
                self.assertEqual([event for event in found if event[0] != 42], wanted[1:3])
                self.assertEqual([event for event in found if event[0] == 42], [wanted[0], wanted[3]])

    def test_lights_follow_the_lock_keys(self):
        leds = 0
        for _ in range(2):
            for symbol, (code, light) in LOCKS.items():
                with self.subTest(code=code):
                    leds ^= light
                    self.client.press(symbol, hold=0)
                    self.card_.expect(f"key {code} down .*")
                    self.card_.expect(f"leds {leds}")
                    self.card_.expect(f"key {code} up .*")

    def test_chords_keep_their_order(self):
        chord = (0xFFE3, 0xFFE9, 0xFFFF)
        for symbol in chord:
            self.client.key(symbol, True)
        for symbol in reversed(chord):
            self.client.key(symbol, False)
        codes = [NAMED[symbol] for symbol in chord]
        wanted = [(code, "down") for code in codes] + [(code, "up") for code in reversed(codes)]
        self.assertEqual(self.keys_until_fence(), wanted)

    def test_fast_typing_loses_nothing(self):
        rng = random.Random(3)
        text = [rng.choice(list(CHARACTERS)) for _ in range(300)]
        for symbol in text:
            self.client.press(symbol, hold=0)
        wanted = [(CHARACTERS[symbol], state) for symbol in text for state in ("down", "up")]
        self.assertEqual(self.keys_until_fence(), wanted)

    def test_a_held_key_repeats_until_it_is_released(self):
        self.client.key("x", True)
        self.card_.expect("key 45 down X")
        for _ in range(3):
            self.card_.expect("key 45 repeat X")
        self.client.key("x", False)
        self.card_.expect("key 45 up X")
        self.assertEqual(self.keys_until_fence(), [])

    def test_a_client_that_leaves_lets_go_of_its_keys(self):
        other = self.card_.client()
        other.key(0xFFE3, True)
        self.card_.expect("key 29 down LeftCtrl")
        other.close()
        self.card_.expect("key 29 up LeftCtrl")
        self.client.press("b", hold=0)
        self.card_.expect("key 48 down B")

    def test_the_card_names_the_key_on_its_screen(self):
        before = self.card_.sum()
        self.client.press("k", hold=0)
        self.card_.expect("key 37 up K")
        after = self.card_.sum()
        self.assertNotEqual(before, after)
        self.assert_shows(self.client, after, 32)


class Mouse(guest.GuestTest):
    def setUp(self):
        self.card_ = self.card(vnc=True)
        self.client = self.card_.client()

    def test_the_pointer_goes_where_the_client_points(self):
        rng = random.Random(4)
        places = [(512, 384), (0, 0), (1023, 767), (0, 767), (1023, 0), (1, 1), (513, 384)]
        places += [(rng.randrange(1024), rng.randrange(768)) for _ in range(50)]
        for x, y in places:
            with self.subTest(x=x, y=y):
                self.client.pointer(x, y)
                self.card_.expect(rf"mouse -?\d+ -?\d+ 0 0 {x} {y}")
        self.assert_shows(self.client, self.card_.sum(), 32)

    def test_small_steps_are_not_lost(self):
        self.client.pointer(300, 300)
        self.card_.expect(rf"mouse .* 300 300")
        for step in range(1, 201):
            self.client.pointer(300 + step, 300 + step % 2)
        self.card_.expect(rf"mouse .* 500 300")

    def test_each_button_arrives(self):
        self.client.pointer(100, 100)
        self.card_.expect(r"mouse .* 0 0 100 100")
        for button, wanted in VNC_BUTTONS.items():
            with self.subTest(button=button):
                self.client.pointer(100, 100, button)
                self.card_.expect(f"mouse 0 0 {wanted} 0 100 100")
                self.client.pointer(100, 100)
                self.card_.expect("mouse 0 0 0 0 100 100")

    def test_buttons_are_held_together_and_while_moving(self):
        self.client.pointer(100, 100, 1)
        self.card_.expect(rf"mouse -?\d+ -?\d+ {LEFT} 0 100 100")
        self.client.pointer(100, 100, 5)
        self.card_.expect(f"mouse 0 0 {LEFT | RIGHT} 0 100 100")
        self.client.pointer(140, 90, 5)
        self.card_.expect(f"mouse 40 -10 {LEFT | RIGHT} 0 140 90")
        self.client.pointer(140, 90)
        self.card_.expect("mouse 0 0 0 0 140 90")

    def test_the_wheel_turns_a_detent_a_click(self):
        self.client.pointer(100, 100)
        self.card_.expect(r"mouse .* 100 100")
        for button, wanted in ((VNC_WHEEL_UP, 1), (VNC_WHEEL_DOWN, -1)):
            for _ in range(5):
                self.client.pointer(100, 100, button)
                self.client.pointer(100, 100)
            turned = 0
            while turned != 5 * wanted:
                match = self.card_.expect(MOUSE)
                self.assertEqual(match.group(1, 2, 3), ("0", "0", "0"))
                turned += int(match[4])
                self.assertLessEqual(abs(turned), 5)

    def test_a_client_that_leaves_lets_go_of_its_buttons(self):
        other = self.card_.client()
        other.pointer(200, 200, 1)
        self.card_.expect(rf"mouse -?\d+ -?\d+ {LEFT} 0 200 200")
        other.close()
        self.card_.expect("mouse 0 0 0 0 200 200")

    def test_it_works_after_a_reset(self):
        for kind in ("kbd", "acpi"):
            self.card_.send(f"reset {kind}")
            self.card_.ready()
            self.client.pointer(0, 0)
            self.client.pointer(321, 123, 1)
            self.card_.expect(rf"mouse .* {LEFT} 0 321 123")
            self.client.pointer(321, 123)
            self.card_.expect(r"mouse 0 0 0 0 321 123")


if __name__ == "__main__":
    guest.main()

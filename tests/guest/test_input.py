"""Keys, buttons, motion and lights: what a VNC client does, and what the guest's keyboard and mouse then say."""

import random

import guest
import keys
from rfb import KEYSYMS

LOCKS = {keysym: (code, keys.LIGHTS[code]) for keysym, code in keys.LOCKS.items()}
KEYSYMS.update({keysym: keysym for keysym in (*keys.NAMED, *keys.LOCKS)})

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
        """(code, state) of every key event so far, but for repeats, which come whenever the machine stands still for half a
        second with a key down. The serial port and the keyboard are not one stream: Escape ends it."""
        self.client.press(0xFF1B, hold=0)
        found = self.card_.collect(KEY, r"key 1 up Esc")
        return [(int(match[1]), match[2]) for match in found if match[2] != "repeat"][:-2]

    def test_it_found_a_keyboard_and_a_wheel_mouse_with_five_buttons(self):
        card = self.guest()
        card.expect("devices keyboard 1 mouse 1 wheel 1 buttons 5 absolute [01]")

    def test_each_key_arrives_pressed_and_released_once(self):
        for symbol, code in (*keys.US.items(), *keys.NAMED.items()):
            if code == 1:
                continue
            with self.subTest(keysym=symbol):
                self.client.press(symbol, hold=0)
                self.assertEqual(self.keys_until_fence(), [(code, "down"), (code, "up")])

    def test_symbols_come_with_the_shift_that_they_need(self):
        for symbol, code in keys.US_SHIFTED.items():
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
        codes = [keys.NAMED[symbol] for symbol in chord]
        wanted = [(code, "down") for code in codes] + [(code, "up") for code in reversed(codes)]
        self.assertEqual(self.keys_until_fence(), wanted)

    def test_fast_typing_loses_nothing(self):
        rng = random.Random(3)
        text = [rng.choice(list(keys.US)) for _ in range(300)]
        for symbol in text:
            self.client.press(symbol, hold=0)
        wanted = [(keys.US[symbol], state) for symbol in text for state in ("down", "up")]
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
    """The PS/2 mouse; test_pointer.py has the absolute pointer."""

    def setUp(self):
        self.card_ = self.card("-p", "testcard.run=pointer,relative", vnc=True)
        self.card_.expect("pointer relative")
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
            self.card_.expect("pointer relative")
            self.client.pointer(0, 0)
            self.client.pointer(321, 123, 1)
            self.card_.expect(rf"mouse .* {LEFT} 0 321 123")
            self.client.pointer(321, 123)
            self.card_.expect(r"mouse 0 0 0 0 321 123")


if __name__ == "__main__":
    guest.main()

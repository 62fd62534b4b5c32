"""Every key of a keyboard through every way there is to a guest, as the guest itself reports it.

The ways: the windows (on an X server, by XTEST), TigerVNC's and gtk-vnc's viewers, and a bare VNC client that sends scan codes
or symbols. What has to arrive comes from tables and from libxkbcommon here, not from vmgui's.
"""

import random
import re
import signal
import struct
import threading
import time

import guest
import keys
import rfb
import xkb
from hands import ScanFingers, SymbolFingers, XFingers, record_sum, rollover
from viewers import VIEWERS, WINDOWS, DeskTest

KEY = r"key (\d+) (down|up|repeat) \S+"
ESCAPE_UP = "key 1 up Esc"

# vmgui's name of the layout, libxkbcommon's layout and variant.
LAYOUTS = {
    "us": ("us", ""), "gb": ("gb", ""), "de": ("de", ""), "fr": ("fr", ""), "es": ("es", ""), "it": ("it", ""),
    "jp": ("jp", ""), "br": ("br", ""), "dvorak": ("us", "dvorak"),
}  # fmt: skip
SHIFT_L, LEVEL3 = 0xFFE1, 0xFE03
KEYPAD_SYMBOLS = range(0xFF80, 0xFFBE)
CONTROL, MOD1, MOD4 = 0x04, 0x08, 0x40

# For thousands of keys.
LONG_PATIENCE = 5 * guest.PATIENCE
# A guest that waits this long before each byte is slowed more than tenfold: by itself it needs some 40 microseconds for one.
SLOW_MICROSECONDS = 400
TYPED = 300 if guest.SHORT else 10000


def events_of(lines, repeats=False):
    """(code, state) of each key among the card's lines; state is down, up or repeat. Repeats only when asked for: whenever the
    machine stands still for half a second with a key down, the keyboard repeats it."""
    found = (re.fullmatch(KEY, line) for line in lines if line)
    return [(int(match[1]), match[2]) for match in found if match and (repeats or match[2] != "repeat")]


def recorded_by(card):
    """(code, state) of each key that the card has recorded, but for repeats."""
    card.send("record show")
    words = [word for match in card.collect("recorded (.*)", "record shown .*", LONG_PATIENCE) for word in match[1].split()]
    return [(int(word[:-1]), {"+": "down", "-": "up"}[word[-1]]) for word in words if word[-1] != "*"]


def strokes(*codes):
    """What pressing and releasing these, one after the other, has to be."""
    return [(code, state) for code in codes for state in ("down", "up")]


def story_of(code):
    """The card's lines, without names, for a key that is struck after `scan on`."""
    down, up = keys.scans(code)
    lines = [f"scan {sequence.hex(' ')}" for sequence in (*down, *up)]
    # The key is said after the sequence that makes it: Print's own is inside of shifts, Pause says all at its press.
    made, broken = {keys.PRINT: (2, 3)}.get(code, (1, 2))
    lines.insert(broken, f"key {code} up")
    lines.insert(made, f"key {code} down")
    return lines


class KeyboardTest(DeskTest):
    """What the card says of its keys."""

    def lines_until_escape(self, card, fingers, timeout=guest.PATIENCE):
        """The card's lines since the last call, up to an Escape that is struck now."""
        start = card.position
        fingers.press(keys.ESC)
        card.expect(ESCAPE_UP, timeout)
        return card.lines[start : card.position]

    def keys_until_escape(self, card, fingers, repeats=False):
        """(code, state) of the keys since the last call, but for that Escape."""
        found = events_of(self.lines_until_escape(card, fingers), repeats)
        if repeats:
            found = [event for event in found if event != (keys.ESC, "repeat")]
        self.assertEqual(found[-2:], strokes(keys.ESC))
        return found[:-2]

    def scan_client(self, card, *others):
        """A VNC client that sends scan codes, once the server has agreed to that."""
        client = card.client(extensions=(rfb.EXTENDED_KEYS, *others))
        client.wait_for(lambda: rfb.EXTENDED_KEYS in client.agreed, "the server agrees to scan codes")
        return client


class EveryKey(KeyboardTest):
    """105 keys and those of other countries, one after the other, as fast as they go."""

    def check(self, card, fingers, extra=()):
        codes = [code for code in (*keys.PC_KEYS, *extra) if code not in (*fingers.without, *keys.LIGHTS, keys.ESC)]
        # Twice, so that the lights are out afterwards.
        codes += list(keys.LIGHTS) * 2
        card.ask("scan on", "scans on")
        for _ in range(5):
            fingers.type(codes)
            lines = self.lines_until_escape(card, fingers)
            # Where the machine has stood still with a key down, the keyboard has repeated it.
            if not any(re.fullmatch(r"key \d+ repeat .*", line) for line in lines):
                break
        found = [re.sub(r"^(key \d+ \w+) .*", r"\1", line) for line in lines if line.startswith(("key", "scan"))]
        wanted = [line for code in (*codes, keys.ESC) for line in story_of(code)]
        self.assertEqual(found, wanted)
        self.assertEqual([line for line in lines if line.startswith("leds")][-1], "leds 0")

    def test_through_a_vnc_client_that_sends_symbols(self):
        card = self.card(vnc=True)
        self.check(card, SymbolFingers(card.client()))

    def test_through_a_vnc_client_that_sends_scan_codes(self):
        card = self.card(vnc=True)
        self.check(card, ScanFingers(self.scan_client(card)), keys.EXTRA)

    def test_through_a_window(self):
        for kind in WINDOWS:
            with self.subTest(window=kind):
                desktop = self.desk()
                card = self.window_card(kind, desktop)
                self.check(card, XFingers(kind, desktop.xtest), keys.EXTRA)

    def test_through_viewers(self):
        for name in VIEWERS:
            with self.subTest(viewer=name):
                desktop = self.desk()
                card = self.card(vnc=True)
                self.viewer(name, card, desktop)
                self.check(card, XFingers(name, desktop.xtest), keys.EXTRA)

    def test_the_layouts_of_the_two_sides_do_not_matter_to_scan_codes(self):
        for theirs, ours in (("fr", "de"), ("de", "fr")):
            with self.subTest(viewer=theirs, guest=ours):
                desktop = self.desk(theirs)
                card = self.card("--keymap", ours, vnc=True)
                self.viewer("xtigervncviewer", card, desktop)
                self.check(card, XFingers(theirs, desktop.xtest), keys.EXTRA)


class Symbols(KeyboardTest):
    """A VNC client that knows symbols only, and guests of several layouts: the guest gets each symbol, not just a key."""

    def setUp(self):
        reason = xkb.available()
        if reason:
            self.skipTest(reason)

    def type(self, card, client, symbols, held=()):
        """Types the symbols, with these keysyms held all the time. The guest's keys, as (code, state)."""
        card.ask("record on", "record on .*")
        story = [(modifier, 1) for modifier in held]
        for symbol in symbols:
            story += [(symbol, 1), (symbol, 0)]
        story += [(modifier, 0) for modifier in reversed(held)] + [(0xFF1B, 1), (0xFF1B, 0)]
        client.send_raw(b"".join(struct.pack(">BBxxI", 4, down, keysym) for keysym, down in story))
        card.expect("record off .*", LONG_PATIENCE)
        return recorded_by(card)[:-2]

    def read(self, layout, events, locks=()):
        """What a guest of that layout takes these keys for, before its input method: [(symbol, the modifiers with it)]."""
        state = xkb.Guest(layout)
        for code in locks:
            state.key(code, True)
            state.key(code, False)
        at_first = state.modifiers()
        typed, down = [], set()
        for code, what in events:
            self.assertEqual(code in down, what == "up", f"key {code} twice")
            (down.add if what == "down" else down.remove)(code)
            symbol = state.key(code, what == "down")
            if symbol is not None:
                typed.append((symbol, state.modifiers()))
        self.assertEqual(down, set(), "keys are stuck")
        self.assertEqual(state.modifiers(), at_first, "a modifier is stuck")
        return typed

    def check(self, layout, symbols, events, locks=(), compose=False):
        """These symbols have arrived, in that order, as themselves and not as shortcuts."""
        typed = self.read(layout, events, locks)
        shortcuts = [xkb.name(symbol) for symbol, held in typed if held & (CONTROL | MOD1 | MOD4)]
        self.assertEqual(shortcuts, [])
        got = [symbol for symbol, _ in typed]
        if compose:
            got = xkb.Guest(layout).compose(got)
        self.assertEqual([xkb.canonical(symbol) for symbol in got], [xkb.canonical(symbol) for symbol in symbols])

    def on_keys(self, layout):
        """What has a place on the layout's keys: characters and dead keys."""
        found = layout.symbols((*range(2, 54), 57, 86, 89, 124))
        return [
            symbol
            for symbol in found
            if symbol not in KEYPAD_SYMBOLS and (xkb.character(symbol) >= 0x20 or xkb.is_dead(symbol))
            if xkb.character(symbol) != 0x7F
        ]

    def composed(self, layout, direct):
        """Letters of Latin-1 and Latin Extended-A that the layout has by a dead key only."""
        state = xkb.Guest(layout)
        have = {xkb.character(symbol) for symbol in direct}
        dead = [symbol for symbol in direct if xkb.is_dead(symbol)]
        bases = [symbol for symbol in direct if not xkb.is_dead(symbol)]
        found = {}
        for accent in dead:
            for base in bases:
                got = state.compose([accent, base])
                character = xkb.character(got[0]) if len(got) == 1 else 0
                if 0xA0 < character < 0x180 and character not in have:
                    found.setdefault(character, got[0])
        return list(found.values())

    def test_each_symbol_of_each_layout(self):
        for name in ("us", "de", "jp") if guest.SHORT else LAYOUTS:
            with self.subTest(layout=name):
                layout = xkb.Layout(*LAYOUTS[name])
                card = self.card("--keymap", name, vnc=True)
                client = card.client()
                symbols = self.on_keys(layout)
                self.assertGreater(len(symbols), 90)
                # Whatever the client's own layout needs for it.
                for held in ((), (SHIFT_L,), (LEVEL3,)):
                    with self.subTest(held=[xkb.name(keysym) for keysym in held]):
                        self.check(layout, symbols, self.type(card, client, symbols, held))
                with self.subTest("dead keys"):
                    symbols = self.composed(layout, symbols)
                    self.check(layout, symbols, self.type(card, client, symbols), compose=True)
                card.close()

    def test_caps_lock_turns_nothing_round(self):
        for name in ("de",) if guest.SHORT else ("us", "de", "fr"):
            with self.subTest(layout=name):
                layout = xkb.Layout(*LAYOUTS[name])
                card = self.card("--keymap", name, vnc=True)
                client = card.client(extensions=(rfb.QEMU_LEDS,))
                client.keysym(0xFFE5, True)
                client.keysym(0xFFE5, False)
                client.wait_for(lambda: client.leds[-1:] == [keys.LIGHTS[keys.CAPSLOCK]], "the lock's light")
                card.expect("key 58 up .*")
                symbols = [symbol for symbol in self.on_keys(layout) if not xkb.is_dead(symbol)]
                for held in ((), (SHIFT_L,)):
                    found = self.type(card, client, symbols, held)
                    self.check(layout, symbols, found, locks=(keys.CAPSLOCK,), compose=True)
                card.close()

    def test_what_the_layout_lacks_presses_nothing(self):
        card = self.card("--keymap", "us", vnc=True)
        client = card.client()
        # ж, €, ü, a character beyond the first plane, and nonsense.
        self.assertEqual(self.type(card, client, [0x6CA, 0x20AC, 0xFC, 0x101F600, 0x12345678, 0]), [])

    def test_a_client_with_another_layout(self):
        """A French keyboard at a German guest: the client's user sees a symbol on a key, and the guest gets that symbol."""
        french, german = xkb.Layout("fr"), xkb.Layout("de")
        card = self.card("--keymap", "de", vnc=True)
        client = card.client()
        shared = {symbol for symbol in self.on_keys(german) if not xkb.is_dead(symbol)}
        for level, modifiers in xkb.LEVELS.items():
            symbols = [
                symbol
                for symbol, places in french.symbols(range(2, 58)).items()
                if symbol in shared and places[0][1] == level
            ]
            held = [{"shift": SHIFT_L, "altgr": LEVEL3}[modifier] for modifier in modifiers]
            self.check(german, symbols, self.type(card, client, symbols, held))


class Lights(KeyboardTest):
    """Lock lights: the guest's are everybody's."""

    def test_both_encodings_tell_the_guests_lights(self):
        card = self.card(vnc=True)
        clients = [card.client(extensions=(encoding,)) for encoding in (rfb.QEMU_LEDS, rfb.VMWARE_LEDS)]
        for client in clients:
            client.wait_for(lambda: client.leds == [0], "the lights at first")  # pylint: disable=cell-var-from-loop
        for lights in (4, 6, 7, 1, 0):
            card.ask(f"leds {lights}", f"leds {lights}")
            for client in clients:
                client.wait_for(lambda: client.leds[-1] == lights, f"lights {lights}")  # pylint: disable=cell-var-from-loop

    def test_a_viewers_caps_lock_is_the_guests(self):
        """And what the guest changes by itself is not turned back (TigerVNC 1.12 does not follow lights)."""
        desktop = self.desk()
        card = self.card(vnc=True)
        self.viewer("xtigervncviewer", card, desktop)
        fingers = XFingers("xtigervncviewer", desktop.xtest)
        for lights in (4, 0):
            fingers.press(keys.CAPSLOCK)
            card.expect(f"leds {lights}")
            card.expect("key 58 up .*")
            fingers.press(30)
            self.assertEqual(self.keys_until_escape(card, fingers), strokes(30))
        card.ask("leds 4", "leds 4")
        for _ in range(3):
            fingers.press(30)
        start = card.position
        self.keys_until_escape(card, fingers)
        lines = card.lines[start : card.position]
        self.assertEqual([line for line in lines if line.startswith("leds")], [])
        self.assertEqual(events_of(lines)[:-2], strokes(30, 30, 30))

    def test_two_clients_do_not_fight(self):
        card = self.card(vnc=True)
        desktop = self.desk()
        self.viewer("xtigervncviewer", card, desktop)
        clients = [card.client(extensions=(rfb.QEMU_LEDS,)), self.scan_client(card, rfb.VMWARE_LEDS)]
        fingers = [SymbolFingers(clients[0]), ScanFingers(clients[1]), XFingers("viewer", desktop.xtest)]
        self.keys_until_escape(card, fingers[2])
        start = card.position
        lights = 0
        for turn in range(12):
            lights ^= 4
            fingers[turn % 3].press(keys.CAPSLOCK)
            card.expect(f"leds {lights}")
            for client in clients:
                client.wait_for(lambda: client.leds[-1:] == [lights], "everybody has it")  # pylint: disable=cell-var-from-loop
        for finger in fingers:
            finger.press(30)
            self.lines_until_escape(card, finger)
        found = [event for event in events_of(card.lines[start : card.position]) if event[0] != keys.ESC]
        self.assertEqual(found, strokes(*[keys.CAPSLOCK] * 12, 30, 30, 30))

    def test_clients_whose_locks_differ_do_not_fight(self):
        """One types capitals for Caps Lock, the other small letters; only a change of one's own mind turns the guest's."""
        card = self.card(vnc=True)
        capitals, small = self.scan_client(card), self.scan_client(card)
        for _ in range(5):
            for client, keysym in ((capitals, "A"), (small, "a")):
                client.scan(30, True, ord(keysym))
                client.scan(30, False, ord(keysym))
                card.expect("key 30 up A")
        card.fence()
        found = [event for event in events_of(card.lines) if event[0] == keys.CAPSLOCK]
        self.assertLessEqual(len(found), 4)

    def test_a_window_that_gets_the_focus_brings_its_locks(self):
        for kind in WINDOWS:
            for choice in ("sync", "guest"):
                with self.subTest(window=kind, choice=choice):
                    desktop = self.desk()
                    card = self.window_card(kind, desktop, "--lock-keys", choice)
                    fingers = XFingers(kind, desktop.xtest)
                    self.keys_until_escape(card, fingers)
                    desktop.xtest.focus(None)
                    desktop.xtest.lock_caps(True)
                    desktop.xtest.focus(card.window)
                    if choice == "sync":
                        card.expect("leds 4")
                    found = self.keys_until_escape(card, fingers)
                    wanted = strokes(keys.CAPSLOCK) if choice == "sync" else []
                    self.assertIn(found, (wanted, wanted[-1:]))
                    card.close()


    def test_a_window_says_what_is_locked_in_the_guest(self):
        """Whoever has done it: the desktop's own locks belong to all its windows, and stay as they are."""
        desktop = self.desk()
        card = self.window_card("sdl", desktop)
        for lights, told in ((4, True), (2, False), (7, True), (0, False)):
            card.ask(f"leds {lights}", f"leds {lights}")
            deadline = time.monotonic() + guest.PATIENCE
            while (" - Caps Lock" in desktop.xdotool("getwindowname", card.window)) != told:
                self.assertLess(time.monotonic(), deadline, f"lights {lights}: {desktop.xdotool('getwindowname', card.window)}")
                time.sleep(0.05)
        fingers = XFingers("sdl", desktop.xtest)
        fingers.press(30)
        self.assertEqual(self.keys_until_escape(card, fingers), strokes(30))


class Held(KeyboardTest):
    """No key stays down that nobody holds."""

    HELD = (keys.LEFTCTRL, keys.LEFTSHIFT, 45, 106)

    def assert_released(self, card, what):
        """All of HELD come up, each once, and nothing goes down."""
        left = set(self.HELD)
        while left:
            match = card.expect(KEY)
            if match[2] != "repeat":
                self.assertEqual(match[2], "up", what)
                self.assertIn(int(match[1]), left, what)
                left.remove(int(match[1]))

    def hold(self, card, fingers):
        for code in self.HELD:
            fingers.key(code, True)
        for code in self.HELD:
            card.expect(f"key {code} down .*")

    def let_go(self, fingers):
        for code in self.HELD:
            fingers.key(code, False)

    def test_when_a_window_loses_the_focus(self):
        for kind in WINDOWS:
            with self.subTest(window=kind):
                desktop = self.desk()
                card = self.window_card(kind, desktop)
                fingers = XFingers(kind, desktop.xtest)
                self.hold(card, fingers)
                desktop.xtest.focus(None)
                self.assert_released(card, kind)
                self.let_go(fingers)
                desktop.xtest.focus(card.window)
                self.prime(card, desktop)
                fingers.press(48)
                self.assertEqual(self.keys_until_escape(card, fingers), strokes(48))

    def test_when_a_client_goes(self):
        card = self.card(vnc=True)
        watcher = SymbolFingers(card.client())
        for make in (card.client, lambda: self.scan_client(card)):
            client = make()
            fingers = ScanFingers(client) if client.agreed else SymbolFingers(client)
            with self.subTest(fingers.name):
                self.hold(card, fingers)
                client.close()
                self.assert_released(card, fingers.name)
                self.assertEqual(self.keys_until_escape(card, watcher), [])

    def test_when_a_viewer_is_killed(self):
        desktop = self.desk()
        card = self.card(vnc=True)
        program, _ = self.viewer("xtigervncviewer", card, desktop)
        self.hold(card, XFingers("viewer", desktop.xtest))
        program.kill()
        self.assert_released(card, "killed")

    def test_when_the_guest_is_paused(self):
        card = self.card(vnc=True)
        client = self.scan_client(card)
        fingers = ScanFingers(client)
        self.hold(card, fingers)
        card.pause()
        fingers.press(48)
        # Once the server has seen these it answers what was asked after them.
        client.refresh()
        card.pause()
        self.assert_released(card, "paused")
        self.let_go(fingers)
        self.assertEqual(self.keys_until_escape(card, fingers), [])
        fingers.press(48)
        self.assertEqual(self.keys_until_escape(card, fingers), strokes(48))


class Typing(KeyboardTest):
    """Thousands of keys as fast as they go, at a guest slowed more than tenfold: all arrive, in order, and none is stuck."""

    def slow_card(self, *arguments, **options):
        card = self.card(*arguments, **options)
        self.slow(card)
        return card

    def slow(self, card):
        card.ask(f"slow {SLOW_MICROSECONDS}", "slow .*")
        card.ask("record on", "record on .*")

    def codes(self, seed, count=TYPED):
        """Keys without a meaning of their own, none twice in a row."""
        rng = random.Random(seed)
        found = []
        while len(found) < count:
            code = rng.choice(list(keys.US.values()))
            if not found or code != found[-1]:
                found.append(code)
        return found

    def expect_record(self, card, events):
        """The card's record is these and an Escape."""
        events = [*events, (keys.ESC, True), (keys.ESC, False)]
        match = card.expect(r"record off (\d+) (\w+)", LONG_PATIENCE)
        if (int(match[1]), int(match[2], 16)) != (len(events), record_sum(events)):
            card.ask("slow 0", "slow 0")
            wanted = [(code, "down" if down else "up") for code, down in events]
            self.assertEqual(recorded_by(card), wanted)

    def send(self, fingers, events):
        for code, down in events:
            fingers.key(code, down)
        fingers.press(keys.ESC)

    def test_ten_thousand_keys_each_way(self):
        """All ways at once, each at a guest of its own: these sleep most of the time."""
        desktop = self.desk()
        by_scans, by_symbols = self.card(vnc=True), self.card(vnc=True)
        window = self.window_card("sdl", desktop)
        ways = [
            (by_scans, ScanFingers(self.scan_client(by_scans))),
            (by_symbols, SymbolFingers(by_symbols.client())),
            (window, XFingers("sdl", desktop.xtest)),
        ]
        threads = []
        for seed, (card, fingers) in enumerate(ways):
            self.slow(card)
            # A window's keys come one after the other: XTEST has its own idea of a key that is pressed twice.
            codes = self.codes(seed)
            if isinstance(fingers, XFingers):
                events = [(code, down) for code in codes for down in (True, False)]
                threads.append(threading.Thread(target=fingers.type, args=([*codes, keys.ESC],)))
            else:
                events = rollover(codes)
                threads.append(threading.Thread(target=self.send, args=(fingers, events)))
            ways[seed] = (card, events)
        for thread in threads:
            thread.start()
        for card, events in ways:
            with self.subTest(window=bool(card.desktop)):
                self.expect_record(card, events)
        for thread in threads:
            thread.join()

    def test_a_guest_slowed_a_hundredfold(self):
        card = self.card(vnc=True)
        card.ask("slow 10000", "slow .*")
        card.ask("record on", "record on .*")
        events = rollover(self.codes(7, 50 if guest.SHORT else 150))
        self.send(ScanFingers(self.scan_client(card)), events)
        self.expect_record(card, events)

    def assert_whole(self, found, sent, what):
        """Each key that went down came up before the next, and all were sent, in that order."""
        self.assertEqual([state for _, state in found], ["down", "up"] * (len(found) // 2), what)
        self.assertEqual([code for code, state in found if state == "up"], [code for code, state in found if state == "down"])
        rest = iter(sent)
        self.assertTrue(all(code in rest for code, state in found if state == "down"), f"{what}: another order")

    def test_a_pause_in_the_middle(self):
        """What is typed at a guest that stands still is not kept for later; what it had taken before is not torn."""
        card = self.slow_card(vnc=True)
        fingers = ScanFingers(self.scan_client(card))
        before, during, after = self.codes(1, 600), self.codes(2, 100), self.codes(3, 200)
        fingers.type(before)
        card.pause()
        fingers.type(during)
        fingers.client.refresh()
        card.pause()
        card.ask("slow 0", "slow 0", LONG_PATIENCE)
        fingers.client.refresh()
        fingers.type(after)
        fingers.press(keys.ESC)
        card.expect("record off .*", LONG_PATIENCE)
        found = recorded_by(card)[:-2]
        self.assertEqual(found[-2 * len(after) :], strokes(*after))
        self.assert_whole(found[: -2 * len(after)], before + during, "before")

    def test_a_client_that_goes_in_the_middle(self):
        card = self.slow_card(vnc=True)
        other = SymbolFingers(card.client())
        for extensions in ((), (rfb.EXTENDED_KEYS,)):
            with self.subTest(extensions=extensions):
                client = self.scan_client(card) if extensions else card.client()
                sent = self.codes(5, 600)
                fingers = ScanFingers(client) if extensions else SymbolFingers(client)
                fingers.type(sent)
                fingers.key(keys.LEFTSHIFT, True)
                fingers.key(45, True)
                client.close()
                # It has a while for its last keys (they wait until the guest has room), then it is gone.
                self.wait_for_one_client(card)
                card.ask("slow 0", "slow 0", LONG_PATIENCE)
                other.press(keys.ESC)
                card.expect("record off .*", LONG_PATIENCE)
                found = recorded_by(card)[:-2]
                held = [event for event in found if event[0] == keys.LEFTSHIFT]
                self.assertIn(held, ([], strokes(keys.LEFTSHIFT)))
                self.assertEqual(
                    sorted(code for code, state in found if state == "down"),
                    sorted(code for code, state in found if state == "up"),
                )
                typed = [event for event in found if event[1] == "down" and event[0] != keys.LEFTSHIFT]
                self.assertEqual([code for code, _ in typed], [*sent, 45][: len(typed)])
                self.slow(card)

    def wait_for_one_client(self, card):
        """Until only one client has a thread of its own."""
        deadline = time.monotonic() + LONG_PATIENCE
        while sum(name.startswith("vnc-in") for name, _ in card.system_calls()) > 1:
            self.assertLess(time.monotonic(), deadline, "the client's thread stays")
            time.sleep(0.05)


class Repeat(KeyboardTest):
    """A key that is held repeats because the guest's keyboard does it, and for no other reason."""

    def test_a_clients_own_repetition_is_nothing(self):
        card = self.card(vnc=True)
        for fingers in (SymbolFingers(card.client()), ScanFingers(self.scan_client(card))):
            with self.subTest(fingers.name):
                start = time.monotonic()
                for _ in range(300):
                    fingers.key(45, True)
                fingers.key(45, False)
                found = self.keys_until_escape(card, fingers, repeats=True)
                # What the keyboard itself may have done meanwhile: after half a second, 11 a second.
                most = max(0, (time.monotonic() - start - 0.4) * 12)
                self.assertEqual([event for event in found if event[1] != "repeat"], strokes(45))
                self.assertLessEqual(len(found) - 2, most)

    def test_a_window_repeats_at_the_keyboards_pace(self):
        for kind in WINDOWS:
            with self.subTest(window=kind):
                desktop = self.desk()
                # X repeats 25 times a second after 660 ms by itself.
                card = self.window_card(kind, desktop)
                fingers = XFingers(kind, desktop.xtest)
                self.keys_until_escape(card, fingers)
                start = time.monotonic()
                fingers.key(45, True)
                for _ in range(6):
                    card.expect("key 45 repeat X")
                fingers.key(45, False)
                found = self.keys_until_escape(card, fingers, repeats=True)
                most = (time.monotonic() - start - 0.4) * 12
                self.assertEqual([event for event in found if event[1] != "repeat"], [(45, "up")])
                self.assertLessEqual(6 + len(found) - 1, max(6, most))


if __name__ == "__main__":
    guest.main()

"""Keys and buttons that are held while the machine is paused, starts anew, or changes its pointer: nothing stays down."""

import guest
import rfb

KEY = r"key (\d+) (down|up|repeat) (\S+)"
# Set 1 and evdev have the same codes for these.
ESCAPE, A, S, D, F, SHIFT, C, B = 1, 30, 31, 32, 33, 42, 46, 48


class Hold(guest.GuestTest):
    def setUp(self):
        self.card_ = self.card(vnc=True)
        self.client = self.new_client()

    def new_client(self):
        """One that sends the keys themselves, not their symbols."""
        return self.card_.client(extensions=(rfb.EXTENDED_KEYS,))

    def stroke(self, code):
        """A key pressed and let go."""
        self.client.scan(code, True)
        self.client.scan(code, False)

    def keys_until_fence(self):
        """(code, state) of every key event but repeats, up to a stroke of Escape."""
        self.stroke(ESCAPE)
        found = self.card_.collect(KEY, r"key 1 up Esc")
        return [(int(match[1]), match[2]) for match in found if match[2] != "repeat"][:-2]

    def test_pause_lets_go_and_takes_nothing(self):
        self.client.scan(A, True)
        self.card_.expect("key 30 down A")
        self.card_.pause()
        self.stroke(B)
        self.client.pointer(3, 3, 1)
        self.client.pointer(3, 3, 0)
        # Once the server has seen these it answers what was asked after them.
        self.client.refresh()
        self.card_.pause()
        self.card_.expect("key 30 up A")
        # The client has not noticed; what it lets go of now is not held any more.
        self.client.scan(A, False)
        self.stroke(C)
        self.assertEqual(self.keys_until_fence(), [(46, "down"), (46, "up")])

    def test_a_new_guest_holds_nothing(self):
        self.client.scan(SHIFT, True)
        self.client.scan(A, True)
        self.card_.expect("key 42 down .*")
        self.card_.expect("key 30 down .*")
        self.card_.send("reset kbd")
        self.card_.ready()
        self.stroke(B)
        self.assertEqual(self.keys_until_fence(), [(48, "down"), (48, "up")])
        self.client.scan(A, False)
        self.client.scan(SHIFT, False)
        self.client.scan(SHIFT, True)
        self.client.scan(SHIFT, False)
        self.assertEqual(self.keys_until_fence(), [(42, "down"), (42, "up")])

    def test_a_storm_of_resets_and_keys_leaves_nothing_down(self):
        for _ in range(5):
            for code in (A, S, D, F):
                self.client.scan(code, True)
            self.card_.send("reset kbd")
            for code in (A, S, D, F):
                self.client.scan(code, False)
                self.client.scan(code, True)
            self.card_.ready()
            for code in (A, S, D, F):
                self.client.scan(code, False)
        down = set()
        for code, state in self.keys_until_fence():
            (down.add if state == "down" else down.discard)(code)
        self.assertEqual(down, set())

    def test_a_button_is_not_carried_to_another_pointer(self):
        for kind, other in (("relative", "mouse"), ("absolute", "absolute")):
            client, watcher = self.card_.client(), self.card_.client(extensions=(rfb.POINTER_MOTION,))
            client.pointer(100, 100, 0)
            client.pointer(100, 100, 1)
            self.card_.expect(r"(?:absolute|mouse) \S+ \S+ 1 .*")
            self.card_.ask(f"pointer {kind}", f"pointer {kind}")
            watcher.wait_for(
                lambda: watcher.agreed and watcher.relative == (kind == "relative"),  # pylint: disable=cell-var-from-loop
                "vmgui has seen which pointer the guest uses",
            )
            # The finger is still on it.
            client.pointer(150, 120, 1)
            place = self.card_.expect(rf"{other} (.*)")[1].split()
            self.assertEqual(place[2], "0", place)
            client.pointer(150, 120, 0)
            client.pointer(150, 120, 1)
            self.card_.expect(rf"{other} \S+ \S+ 1 .*")
            client.pointer(150, 120, 0)
            self.card_.expect(rf"{other} \S+ \S+ 0 .*")
            client.close()
            watcher.close()

    def test_two_clients_hold_one_key(self):
        other = self.new_client()
        self.client.scan(SHIFT, True)
        self.card_.expect("key 42 down .*")
        other.scan(SHIFT, True)
        other.scan(C, True)  # the two connections are no one stream
        self.card_.expect("key 46 down .*")
        other.scan(C, False)
        self.card_.expect("key 46 up .*")
        self.client.scan(SHIFT, False)
        self.stroke(B)
        self.assertEqual(self.keys_until_fence(), [(48, "down"), (48, "up")])
        other.close()
        self.card_.expect("key 42 up .*")


if __name__ == "__main__":
    guest.main()

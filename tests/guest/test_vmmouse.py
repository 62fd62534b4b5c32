"""The VMware pointer on a real KVM: the backdoor's registers, and a VNC client's pointer as the guest (virtio/pointer.c) sees it."""

import os
import random
import re

import guest

MAGIC = 0x564D5868
RECORD = r"record (\d+) (\d+) (\d+) (\d+)"
WIDTH, HEIGHT = 1024, 768
LEFT, RIGHT, MIDDLE, RELATIVE = 0x20, 0x10, 0x08, 0x10000


class Vmmouse(guest.GuestTest):
    def pointer(self, mode="absolute"):
        pointer = self.guest(
            "-m", "64M", "-c", "1", "-k", os.environ["BARE_POINTER"], "-p", mode, command=(), vnc=True
        )  # fmt: skip
        self.backdoor = [int(n) for n in pointer.expect(r"backdoor (.*)")[1].split()]
        self.assertEqual(int(pointer.expect(r"waiting (\d+)")[1]), 1)
        self.assertEqual(int(pointer.expect(r"identity (\d+)")[1]), 0x3442554A)
        pointer.expect("on")
        pointer.size = (WIDTH, HEIGHT)
        return pointer

    def next(self, pointer):
        """The record's flags, the pixel that it stands for, as libinput and X compute it, and its wheel."""
        flags, x, y, wheel = (int(n) for n in pointer.expect(RECORD).groups())
        return flags, x * WIDTH // 65536, y * HEIGHT // 65536, wheel

    def test_registers_carry_arguments_and_answers(self):
        self.pointer()
        self.assertEqual(
            self.backdoor, [6, MAGIC, 4, 0xDDDDDDDDDDDD5658, 0x5151515151515151, 0xD1D1D1D1D1D1D1D1]
        )  # fmt: skip

    def test_a_client_points_at_the_very_pixel(self):
        pointer = self.pointer()
        client = pointer.client()
        rng = random.Random(5)
        grid = [(x, y) for x in (0, 1, 341, 512, 1022, 1023) for y in (0, 1, 255, 384, 766, 767)]
        grid += [(rng.randrange(WIDTH), rng.randrange(HEIGHT)) for _ in range(100)]
        rng.shuffle(grid)
        for x, y in grid:
            client.pointer(x, y)
            self.assertEqual(self.next(pointer), (0, x, y, 0))

    def test_buttons_and_wheel_are_where_the_pointer_is(self):
        pointer = self.pointer()
        client = pointer.client()
        client.pointer(10, 20)
        self.assertEqual(self.next(pointer), (0, 10, 20, 0))
        for mask, flags in ((1, LEFT), (2, MIDDLE), (4, RIGHT)):
            client.pointer(10, 20, mask)
            self.assertEqual(self.next(pointer), (flags, 10, 20, 0))
            client.pointer(30, 20, mask)
            self.assertEqual(self.next(pointer), (flags, 30, 20, 0))
            client.pointer(30, 20)
            self.assertEqual(self.next(pointer), (0, 30, 20, 0))
            client.pointer(10, 20)
            self.assertEqual(self.next(pointer), (0, 10, 20, 0))
        for mask, wheel in ((8, 0xFF), (16, 1)):
            client.pointer(10, 20, mask)
            self.assertEqual(self.next(pointer), (0, 10, 20, wheel))
            client.pointer(10, 20)

    def test_a_storm_ends_at_the_last_place(self):
        pointer = self.pointer()
        client = pointer.client()
        for i in range(3000):
            client.pointer(i % WIDTH, i % HEIGHT, i // 7 % 2)
        client.pointer(333, 444, 4)
        client.pointer(333, 444, 0)
        flags = []
        while True:
            record = self.next(pointer)
            flags.append(record[0])
            if record == (0, 333, 444, 0) and flags[-2] == RIGHT:
                break
        # Each press and each release has come.
        changes = [new for old, new in zip([0, *flags], flags) if old != new]
        self.assertEqual(changes, [LEFT, 0] * (3000 // 14) + [RIGHT, 0])

    def test_switching_off_gives_the_ps2_mouse_back(self):
        pointer = self.pointer()
        client = pointer.client()
        client.pointer(5, 5)
        self.assertEqual(self.next(pointer), (0, 5, 5, 0))
        pointer.send("0")
        pointer.expect("switched")
        pointer.expect("switched")  # the line's end is a character, too
        client.pointer(50, 60, 1)
        client.pointer(50, 60, 0)
        pointer.send("1")
        pointer.expect("waiting 1")
        pointer.expect("identity .*")
        pointer.expect("switched")
        pointer.expect("switched")
        with pointer.arrived:
            self.assertFalse([line for line in pointer.lines[pointer.position :] if re.fullmatch(RECORD, line)])


if __name__ == "__main__":
    guest.main()

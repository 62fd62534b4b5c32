"""All processors start, and the MADT names each."""

import guest


class Processors(guest.GuestTest):
    def test_one_to_four_start(self):
        for cpus in range(1, 5):
            with self.subTest(cpus=cpus):
                card = self.card("--cpus", str(cpus))
                match = card.ask("smp", r"smp cpus (\d+) madt (\d+) missing (\d+) ids (.*)")
                self.assertEqual(match.groups()[:3], (str(cpus), str(cpus), "0"))
                self.assertEqual(len(set(match[4].split())), cpus)
                # They can be started more than once.
                match = card.ask("smp", r"smp cpus (\d+) madt \d+ missing (\d+) .*")
                self.assertEqual(match.groups(), (str(cpus), "0"))
                card.send("poweroff")
                self.assertEqual(card.wait(), 0)

    def test_other_processors_do_not_keep_a_guest_from_ending(self):
        card = self.card("--cpus", "4", "--exit-port", "-p", "testcard.run=smp;exit,9")
        self.assertEqual(card.wait(), 9)


if __name__ == "__main__":
    guest.main()

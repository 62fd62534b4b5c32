"""How a guest ends, starts again and idles: exit status, resets, power, timeout."""

import os
import signal
import subprocess
import tempfile
import time

import guest
import images

RESETS = ("kbd", "port92", "cf9", "acpi", "triple")


class Ending(guest.GuestTest):
    def test_exit_port_gives_the_status(self):
        for status in (0, 7, 255):
            with self.subTest(status=status):
                card = self.guest("--exit-port", "-p", f"testcard.run=exit,{status}")
                card.ready()
                self.assertEqual(card.wait(), status)

    def test_exit_port_is_closed_unless_asked_for(self):
        card = self.card("-p", "testcard.run=exit,7")
        card.expect("error exit 7: no exit port")
        card.fence()

    def test_s5_ends_with_0(self):
        card = self.card()
        card.send("poweroff")
        self.assertEqual(card.wait(), 0)

    def test_sigterm_presses_the_power_button(self):
        card = self.card()
        card.terminate()
        card.expect("power button")
        self.assertEqual(card.wait(), 0)

    def test_sigterm_before_there_is_a_guest_ends_at_once(self):
        def ask():
            # Pending signals survive an exec, as if this had come while a kernel was being unpacked.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            os.kill(os.getpid(), signal.SIGTERM)

        result = subprocess.run(
            [guest.VMGUI, "--headless"], stdin=subprocess.DEVNULL, capture_output=True, timeout=guest.PATIENCE,
            check=False, preexec_fn=ask,
        )  # fmt: skip
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""))

    def test_timeout_ends_with_4(self):
        card = self.guest("--timeout", "2")
        self.assertEqual(card.wait(), 4)
        self.assertGreaterEqual(time.monotonic() - card.started, 2)

    def test_a_panic_ends_with_3_though_a_reset_follows_at_once(self):
        # 1 to the pvpanic port, fe to the keyboard controller's, then a halt
        code = bytes.fromhex("66ba0505 b001 ee b0fe e664 fa f4 ebfd")
        with tempfile.TemporaryDirectory(prefix="vmgui-test-") as folder:
            kernel = os.path.join(folder, "kernel")
            with open(kernel, "wb") as file:
                file.write(images.elf(code))
            for _ in range(5):
                status, _, errors = guest.run("--headless", "--no-reboot", "--timeout", str(guest.PATIENCE), kernel)
                self.assertEqual((status, errors), (3, "vmgui: warning: the guest's kernel panicked\n"))

    def test_init_of_the_boot_processor_is_a_reset(self):
        # The local APIC's command register: INIT, to APIC 0; then a halt
        code = bytes.fromhex("bf0003e0fe c7471000000000 c70700450000 f4 ebfd")
        with tempfile.TemporaryDirectory(prefix="vmgui-test-") as folder:
            kernel = os.path.join(folder, "kernel")
            with open(kernel, "wb") as file:
                file.write(images.elf(code))
            status, _, errors = guest.run("--headless", "--no-reboot", "-c", "1", "--timeout", str(guest.PATIENCE), kernel)
        self.assertEqual((status, errors), (0, ""))

    def test_a_reader_of_messages_that_goes_takes_nobody_with_it(self):
        gone, errors = os.pipe()
        os.close(gone)
        try:
            result = subprocess.run(
                [guest.VMGUI, "--headless", "--debug", "--exit-port", "-p", "testcard.run=exit,7"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, timeout=guest.PATIENCE, check=False,
            )  # fmt: skip
        finally:
            os.close(errors)
        self.assertEqual(result.returncode, 7)

    def test_closed_standard_descriptors_are_not_taken_for_the_console(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed=closed):
                # A guest that resets itself makes work for the machine's own descriptors.
                command = f'exec "$0" --headless --exit-port -p "testcard.run=reset,kbd" --timeout 1 {closed}'
                result = subprocess.run(
                    ["sh", "-c", command, guest.VMGUI], capture_output=True, stdin=subprocess.DEVNULL,
                    timeout=guest.PATIENCE, check=False,
                )  # fmt: skip
                self.assertEqual(result.returncode, 4)
                if "2>" not in closed:
                    self.assertEqual(result.stderr.decode(), "vmgui: --timeout 1: the guest has not ended by itself\n")

    def test_nothing_but_the_console_is_printed(self):
        status, output, errors = guest.run("testcard", "--headless", "--exit-port", "-p", "testcard.run=exit,0")
        self.assertEqual(status, 0)
        self.assertEqual(errors, "")
        self.assertTrue(all(line.startswith(("devices ", "card: ready ")) for line in output.splitlines()), output)


class Reset(guest.GuestTest):
    def test_each_kind_starts_the_guest_again_in_place(self):
        card = self.card()
        for kind in RESETS:
            with self.subTest(kind=kind):
                card.send(f"reset {kind}")
                card.ready()
                card.fence()
        card.send("poweroff")
        self.assertEqual(card.wait(), 0)

    def test_many_resets_in_a_row(self):
        card = self.card("-c", "2")
        for _ in range(10):
            card.send("reset kbd")
            card.ready()
        self.assertEqual(card.ask("smp", r"smp cpus (\d+) madt 2 missing 0 .*")[1], "2")

    def test_everything_is_back_in_its_first_state(self):
        card = self.guest(vnc=True)
        name = card.ready()
        client = card.client()
        first = card.sum()
        card.ask("mode 800 600 16", "mode 800x600x16")
        card.ask("leds 5", "leds 5")
        card.ask("fps 50", "fps 50")
        card.send("reset port92")
        self.assertEqual(card.ready(), name)
        self.assertEqual(card.sum(), first)
        self.assert_shows(client, first, 32)
        client.press("a")
        card.expect("key 30 down A")
        card.expect("key 30 up A")

    def test_no_reboot_ends_instead(self):
        for kind in RESETS:
            with self.subTest(kind=kind):
                card = self.card("--no-reboot")
                card.send(f"reset {kind}")
                self.assertEqual(card.wait(), 3 if kind == "triple" else 0)

    def test_a_crashed_guest_starts_again_or_ends_with_3(self):
        card = self.card()
        card.send("crash")
        card.expect("exception 14 error 6 rip [0-9a-f]+ address 7fffdead0000")
        card.ready()
        card = self.card("--no-reboot")
        card.send("crash")
        self.assertEqual(card.wait(), 3)


class Idle(guest.GuestTest):
    SECONDS = 4
    # A busy machine takes longer to come to rest.
    TRIES = 10

    def assert_idles(self, card):
        time.sleep(1)
        for _ in range(self.TRIES):
            before = card.cpu_seconds()
            time.sleep(self.SECONDS)
            used = (card.cpu_seconds() - before) / self.SECONDS
            if used < 0.005:
                break
        self.assertLess(used, 0.005)

    def test_a_guest_that_halts_costs_no_processor_time(self):
        self.assert_idles(self.card())

    def test_nor_does_one_whose_static_screen_somebody_watches(self):
        card = self.card(vnc=True)
        client = card.client()
        client.refresh()
        client.poll(0.5)
        self.assert_idles(card)


if __name__ == "__main__":
    guest.main()

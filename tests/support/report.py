"""What the tests with real guests say, by the time since their start, and what they found wrong."""

import time

START = time.monotonic()
FAILED = []


def say(text):
    print(f"{time.monotonic() - START:6.1f} s  {text}", flush=True)


def check(condition, text, why=""):
    """One thing that the test is about."""
    if condition:
        say(f"ok: {text}")
    else:
        FAILED.append(text)
        say(f"FAILED: {text}" + (f" ({why})" if why else ""))
    return bool(condition)

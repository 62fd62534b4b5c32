"""Reads the screen of Debian's graphical installer: which page stands, which row is selected, where the pointer is.

The installer lays its pages out from the edges, so nothing here depends on the resolution. Colours are compared exactly where
the theme paints flat areas: a display that swaps channels or shifts rows is found out.
"""

import os

from image import Image

BANNER = (5, 71, 92)
BACKGROUND = (237, 233, 227)
WHITE = (255, 255, 255)

# The page's title starts here, below the banner; the reference picture was cut out at this place.
TITLE_X, TITLE_Y = 12, 84

# The buttons are anchored to the right bottom corner.
CONTINUE_FROM_RIGHT, BUTTON_FROM_BOTTOM = 61, 25


def _reference_title():
    return Image.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "language-title.png"))


LANGUAGE_TITLE = _reference_title()


def is_installer(image):
    """True when some page of the installer (or its empty background) stands."""
    return (
        image.width >= 640
        and image.height >= 400
        and image.pixel(2, 20) == BANNER
        and image.pixel(2, TITLE_Y) == BACKGROUND
        and image.pixel(2, image.height - 2) == BACKGROUND
    )


def title(image):
    """The picture of the page's title."""
    return image.crop(TITLE_X, TITLE_Y, LANGUAGE_TITLE.width, LANGUAGE_TITLE.height)


def has_continue_button(image):
    """The button is there: lighter than the background above and below it."""
    x, y = image.width - 15, image.height - BUTTON_FROM_BOTTOM
    return image.pixel(x, y) != BACKGROUND and image.pixel(x, y - 22) == BACKGROUND


def is_language_page(image):
    """True when the "Select a language" page stands, complete with list, selection and button."""
    return (
        is_installer(image)
        and title(image) == LANGUAGE_TITLE
        and has_continue_button(image)
        and selection(image) is not None
    )


def is_other_page(image):
    """True when a page with a title and a Continue button stands, and it is not the language page."""
    heading = title(image)
    blank = bytes(BACKGROUND) * (heading.width * heading.height)
    return is_installer(image) and has_continue_button(image) and heading.data != blank and heading != LANGUAGE_TITLE


def selection(image):
    """(top, height) of the selected row of the list, or None."""
    # A column near the list's right end, where there is no text and seldom the pointer.
    x = image.width - 60
    rows = [
        y
        for y in range(110, image.height - 50)
        if _close(image.pixel(x, y), (41, 128, 121), 12)
    ]
    if not rows or rows[-1] - rows[0] > 40:
        return None
    return rows[0], rows[-1] - rows[0] + 1


def same_row(one, other):
    """Whether two selections are the same row; its edges are drawn a pixel off at times."""
    return one is not None and other is not None and abs(one[0] - other[0]) <= 3


def continue_button(image):
    """The middle of the Continue button."""
    return image.width - CONTINUE_FROM_RIGHT, image.height - BUTTON_FROM_BOTTOM


def pointer(image):
    """Where the tip of X's arrow is, or None while it is hidden, cut off by an edge or of another shape."""
    # The arrow's eighth row is its widest: a white edge, eight black pixels, a white edge.
    widest = b"\xff" * 3 + b"\0" * 24 + b"\xff" * 3
    start = 0
    stride = image.width * 3
    while (found := image.data.find(widest, start)) >= 0:
        start = found + 1
        if found % 3:
            continue
        x, y = found // 3 % image.width + 1, found // stride
        if x + 8 <= image.width and y >= 7 and all(
            image.row(y - 7 + n, x, n + 1) == b"\0" * (3 * (n + 1)) for n in range(7)
        ):
            return x, y - 7
    return None


def _close(colour, wanted, tolerance):
    return all(abs(a - b) <= tolerance for a, b in zip(colour, wanted))

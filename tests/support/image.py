"""Pictures for the tests: a plain RGB image with PNG reading and writing, on Python's standard library alone.

Pictures of screens are compared exactly, so the format is fixed: 8 bits for each of red, green and blue, rows top to bottom,
no padding.
"""

import struct
import zlib


class Image:
    """Width x height pixels; data holds three bytes for each."""

    def __init__(self, width, height, data=None):
        self.width = width
        self.height = height
        self.data = bytearray(width * height * 3) if data is None else data
        if len(self.data) != width * height * 3:
            raise ValueError(f"{len(self.data)} bytes for {width}x{height} pixels")

    def pixel(self, x, y):
        """The (red, green, blue) of one pixel."""
        start = (y * self.width + x) * 3
        return tuple(self.data[start : start + 3])

    def row(self, y, x=0, width=None):
        """The bytes of a part of one row."""
        start = (y * self.width + x) * 3
        return bytes(self.data[start : start + 3 * (self.width - x if width is None else width)])

    def crop(self, x, y, width, height):
        """A copy of a rectangle, cut off at the picture's edges."""
        width = max(0, min(width, self.width - x))
        height = max(0, min(height, self.height - y))
        data = bytearray()
        for line in range(y, y + height):
            data += self.row(line, x, width)
        return Image(width, height, data)

    def count(self, colour, tolerance=0):
        """How many pixels have that colour; with a tolerance, each channel may be off by as much."""
        if not tolerance:
            return len(self.select(lambda red, green, blue: (red, green, blue) == colour))
        return len(
            self.select(lambda *found: all(abs(a - b) <= tolerance for a, b in zip(found, colour)))
        )

    def select(self, wanted):
        """The (x, y) of each pixel for which wanted(red, green, blue) holds."""
        data = self.data
        verdict = {}
        found = []
        for index in range(0, len(data), 3):
            colour = (data[index], data[index + 1], data[index + 2])
            if colour not in verdict:
                verdict[colour] = bool(wanted(*colour))
            if verdict[colour]:
                found.append((index // 3 % self.width, index // 3 // self.width))
        return found

    def differing_rows(self, other):
        """The numbers of the rows that differ; every row when the sizes do."""
        if (self.width, self.height) != (other.width, other.height):
            return list(range(self.height))
        return [y for y in range(self.height) if self.row(y) != other.row(y)]

    def __eq__(self, other):
        return (
            isinstance(other, Image)
            and (self.width, self.height) == (other.width, other.height)
            and self.data == other.data
        )

    __hash__ = None

    def save(self, path):
        """Writes a PNG."""

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        rows = b"".join(b"\0" + self.row(y) for y in range(self.height))
        with open(path, "wb") as out:
            out.write(b"\x89PNG\r\n\x1a\n")
            out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)))
            out.write(chunk(b"IDAT", zlib.compress(rows, 6)))
            out.write(chunk(b"IEND", b""))

    @classmethod
    def load(cls, path):
        """Reads a PNG of 8 bits a channel, with or without alpha, or with a palette; not interlaced."""
        with open(path, "rb") as file:
            content = file.read()
        if content[:8] != b"\x89PNG\r\n\x1a\n":
            raise ValueError(f"{path}: not a PNG")
        position, header, palette, packed = 8, None, b"", b""
        while position + 12 <= len(content):
            length, kind = struct.unpack_from(">I4s", content, position)
            body = content[position + 8 : position + 8 + length]
            position += 12 + length
            if kind == b"IHDR":
                header = struct.unpack(">IIBBBBB", body)
            elif kind == b"PLTE":
                palette = body
            elif kind == b"IDAT":
                packed += body
            elif kind == b"IEND":
                break
        channels = {2: 3, 6: 4, 3: 1, 0: 1}.get(header[3]) if header else None
        if channels is None or header[2] != 8 or header[6] != 0:
            raise ValueError(f"{path}: a kind of PNG that the tests do not read")
        return cls(header[0], header[1], _rgb(_unfilter(zlib.decompress(packed), header, channels), header[3], palette))


def _unfilter(raw, header, channels):
    """Undoes PNG's five row filters; returns all rows without their filter bytes."""
    width, height = header[:2]
    stride = width * channels
    previous = bytearray(stride)
    result = bytearray()
    for y in range(height):
        start = y * (stride + 1)
        kind, line = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride) if kind else ():
            left = line[i - channels] if i >= channels else 0
            up = previous[i]
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) // 2
            else:
                corner = previous[i - channels] if i >= channels else 0
                estimate = left + up - corner
                guess = min((left, up, corner), key=lambda value: abs(estimate - value))
            line[i] = (line[i] + guess) & 0xFF
        result += line
        previous = line
    return result


def _rgb(pixels, colour_type, palette):
    if colour_type == 2:
        return pixels
    out = bytearray(len(pixels) // (4 if colour_type == 6 else 1) * 3)
    if colour_type == 6:
        for channel in range(3):
            out[channel::3] = pixels[channel::4]
    elif colour_type == 3:
        for channel in range(3):
            out[channel::3] = bytes(palette[value * 3 + channel] for value in pixels)
    else:
        for channel in range(3):
            out[channel::3] = pixels
    return out

"""VNC clients that have their updates compressed, as people's do, and count them without looking into them."""

from rfb import ENCODING_DESKTOP_SIZE, ENCODING_RAW, RfbClient, RfbError

ENCODING_TIGHT = 7
ENCODING_ZRLE = 16
COMPRESSION_LEVEL_2, JPEG_QUALITY_8 = -254, -24  # what TigerVNC's viewer asks for

TIGHT_FILL, TIGHT_JPEG, TIGHT_FILTER = 8, 9, 4
FILTER_PALETTE = 1
TIGHT_PIXEL = 3  # bytes, of 32 bits with 8 for each colour
TIGHT_PLAIN = 12  # shorter data comes as it is


class TightClient(RfbClient):
    """Has no picture."""

    encodings = (ENCODING_TIGHT, ENCODING_RAW, COMPRESSION_LEVEL_2, JPEG_QUALITY_8)

    def _compact_length(self):
        length = 0
        for shift in (0, 7, 14):
            (byte,) = self._receive(1)
            length |= (byte & (0xFF if shift == 14 else 0x7F)) << shift
            if not byte & 0x80:
                break
        return length

    def _tight(self, width, height):
        kind = self._receive(1)[0] >> 4
        if kind == TIGHT_FILL:
            self._receive(TIGHT_PIXEL)
            return
        if kind == TIGHT_JPEG:
            self._receive(self._compact_length())
            return
        if kind > TIGHT_JPEG:
            raise RfbError(f"Tight's compression {kind} is unknown")
        size = width * height * TIGHT_PIXEL
        if kind & TIGHT_FILTER and self._receive(1)[0] == FILTER_PALETTE:
            colours = self._receive(1)[0] + 1
            self._receive(colours * TIGHT_PIXEL)
            size = (width + 7) // 8 * height if colours == 2 else width * height
        self._receive(size if size < TIGHT_PLAIN else self._compact_length())

    def _rectangle(self):
        _x, _y, width, height, encoding = self._unpack(">HHHHi")
        if encoding == ENCODING_DESKTOP_SIZE:
            self.width, self.height = width, height
            return False
        if encoding == ENCODING_RAW:
            self._receive(width * height * 4)
        elif encoding == ENCODING_ZRLE:
            self._receive(self._unpack(">I")[0])
        elif encoding == ENCODING_TIGHT:
            self._tight(width, height)
        else:
            raise RfbError(f"encoding {encoding} was not asked for")
        self._pixels_since_refresh += width * height
        return True


class ZrleClient(TightClient):
    """The same with ZRLE."""

    encodings = (ENCODING_ZRLE, ENCODING_RAW, COMPRESSION_LEVEL_2)

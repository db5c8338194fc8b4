"""How a secret is known wherever it stands: by a mark that is put into it, or by its shape."""

from __future__ import annotations

import base64
import re

MARK = "cAnArY"  # in the alphabets of base64, of base64url and of passwords
HEX_MARK = MARK.encode().hex()  # the same in secrets written in hexadecimal
RAW_MARK = base64.b64decode(f"{MARK}cA")  # secret bytes begin with it, and their base64 with MARK
ENCRYPTION_KEY = base64.b64encode(RAW_MARK.ljust(32, b"k")).decode()  # 32 bytes


def _within_base64(mark: bytes) -> list[bytes]:
    """Return how a mark looks somewhere in what was encoded once more, as in `Authorization: Basic`."""
    found = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + mark + bytes(3))
        found.append(encoded[-(-before * 8 // 6) : (before + len(mark)) * 8 // 6])
    return found


_MARKS = [
    MARK.encode(), HEX_MARK.encode(), HEX_MARK.upper().encode(), RAW_MARK, RAW_MARK.hex().encode(),
    repr(RAW_MARK)[2:-1].encode(), *_within_base64(MARK.encode()),
]  # fmt: skip
_SHAPES = [
    rb"eyJ[\w-]{8,}\.eyJ",  # somebody's access token
    rb"eyJ4Ij[\w-]{8,}\.[\w-]{20}",  # a signed link: its text begins with {"x":
    rb"X-Amz-Signature=\w{8}",  # a link into a bucket
]
SECRET = re.compile(b"|".join([*map(re.escape, _MARKS), *_SHAPES]))

"""Looking into files: what they are, whether they are whole, and how they look.

Every file is hostile until measured. The first bytes and the outline are read by our own few lines; what
needs a real parser happens in a child process with limits, without network and without our secrets.
"""

from app.media.abilities import Abilities, abilities
from app.media.convert import Room, convert
from app.media.layout import Layout, ReadAt, inspect_layout, read_at_path
from app.media.measure import measure
from app.media.pictures import MAX_IMAGE_BYTES, THUMBNAIL_PIXELS, best_moment, image, thumbnail
from app.media.sniff import CONTENT_TYPES, EXTENSIONS, SNIFF_BYTES, Container, sniff

__all__ = [
    "CONTENT_TYPES",
    "EXTENSIONS",
    "MAX_IMAGE_BYTES",
    "SNIFF_BYTES",
    "THUMBNAIL_PIXELS",
    "Abilities",
    "Container",
    "Layout",
    "ReadAt",
    "Room",
    "abilities",
    "best_moment",
    "convert",
    "image",
    "inspect_layout",
    "measure",
    "read_at_path",
    "sniff",
    "thumbnail",
]

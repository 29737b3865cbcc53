"""Everything about picture files under one name: find, read, scale, name, write.

`read` gives a `Picture` (8-bit pixels, upright); `write` puts one back, atomically, with its alpha and colour profile.
"""

from unlearnable.images.find import find, sources, summary, target, unaccepted
from unlearnable.images.formats import is_lossless, lost, output_format, output_name
from unlearnable.images.limits import Limits
from unlearnable.images.picture import Picture, content_hash
from unlearnable.images.read import read, size_within, within
from unlearnable.images.write import mode_of, write

__all__ = [
    "Limits",
    "Picture",
    "content_hash",
    "find",
    "is_lossless",
    "lost",
    "mode_of",
    "output_format",
    "output_name",
    "read",
    "size_within",
    "sources",
    "summary",
    "target",
    "unaccepted",
    "within",
    "write",
]

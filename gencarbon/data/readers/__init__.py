"""Files of others as they are on disk: one small file per source. All end as the same fields (`base.py`)."""

from gencarbon.data.readers.base import Reader
from gencarbon.data.readers.find import READERS, open_source, read, reader_of

__all__ = ["READERS", "Reader", "open_source", "read", "reader_of"]

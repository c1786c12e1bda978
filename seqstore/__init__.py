"""Personal genomes as a chunked, labelled store of haplotype windows."""

from seqstore.accessor import SequenceAccessor
from seqstore.errors import CorruptChunkError, InputError
from seqstore.reader import HaplotypeReader
from seqstore.splits import open_split, write_split
from seqstore.store import open_store, open_variants

__all__ = [
    "CorruptChunkError",
    "HaplotypeReader",
    "InputError",
    "SequenceAccessor",
    "open_split",
    "open_store",
    "open_variants",
    "write_split",
]

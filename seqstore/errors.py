"""What is raised where a command cannot do what it was asked for."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the file, the key or the coordinate, and says what to do.
    Command lines print it without a traceback and exit with status 2.
    """


class LostWorkersError(InputError):
    """Workers or their scheduler are gone; nothing is wrong with what they worked on, and it can be gone on with."""


class CorruptChunkError(InputError, ValueError):
    """The bytes of a chunk of windows are not those that were written."""

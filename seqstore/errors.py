"""The one exception a user's mistake raises."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the file, the key or the coordinate, and says what to do.
    Command lines print it without a traceback and exit with status 2.
    """

"""Where a store lies: a folder of this machine, or a URL that fsspec knows, such as ``s3://bucket/cohort.zarr``.

zarr and xarray take either; here is what is different about them otherwise. Endpoints and credentials come from
the environment and fsspec's configuration files (docs/build.md), which worker processes read too.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import fsspec

from seqstore.errors import InputError
from seqstore.outputs import check_folder

#: The environment variable that names the folder in which files of a store at a URL are kept.
CACHE_VARIABLE = "SEQSTORE_CACHE"
#: What a system says where nothing more can be written, whatever wrote.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Packages whose exceptions tell of a network, an account or a server, though they are no OSError.
_TRANSPORT = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "adlfs", "azure")
_ARCHIVES = ("zip://", "tar://", "libarchive://")
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def place_of(path: str | Path) -> str:
    """A path or URL in the one form that everything else takes.

    A local path is not spelled as a URL, starts with no ``~``, and has a name of its own, which is no link's.

    Raises:
        InputError: it is empty, or in an archive.
    """
    text = str(path).strip()
    if not text:
        raise InputError("store: is empty; give the path or the URL of a store")
    for scheme in ("file:", "local:"):
        if text.startswith(scheme):
            text = text.removeprefix(scheme).removeprefix("//")
    if "::" in text or text.lower().startswith(_ARCHIVES):
        raise InputError(
            f"{text}: a store lies in a folder or at a URL such as s3://bucket/cohort.zarr, not in an archive or "
            f"behind a cache, and has no :: in its name; unpack it, and let {CACHE_VARIABLE} name a folder for copies"
        )
    if is_url(text):
        return text if text.endswith("://") else text.rstrip("/")
    text = os.path.expanduser(text.rstrip("/") or "/")
    is_named = os.path.basename(text) not in ("", ".", "..") and not os.path.islink(text)
    return text if is_named else os.path.realpath(text)


def is_url(place: str) -> bool:
    """Whether a place is a URL, and so perhaps no folder of this machine."""
    return "://" in place


def exists(place: str) -> bool:
    """Whether anything stands at a place."""
    if not is_url(place):
        return os.path.lexists(place)
    files, root = _file_system(place)
    return bool(files.exists(root))


def check_writable(place: str) -> None:
    """Refuse a place where nothing can be written; leaves nothing there.

    Raises:
        InputError: it cannot.
    """
    if not is_url(place):
        check_folder(Path(place).parent)
        return
    probe = f"{place}.probe-{uuid.uuid4().hex}"
    with failures_named(place):
        create(probe, b"")
        remove(probe)


def read(place: str) -> bytes | None:
    """The content of a file; None if there is none."""
    files, root = _file_system(place)
    try:
        return bytes(files.cat_file(root))
    except _NOT_THERE:
        return None


def create(place: str, content: bytes) -> bool:
    """Write a file unless there is one; whether it was written."""
    try:
        if is_url(place):
            files, root = _file_system(place)
            files.pipe_file(root, content, mode="create")
        else:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            with open(place, "xb") as file:
                file.write(content)
    except FileExistsError:
        return False
    return True


def overwrite(place: str, content: bytes) -> None:
    """Write a file, whole or not at all."""
    if is_url(place):
        files, root = _file_system(place)
        files.pipe_file(root, content)
    else:
        aside = f"{place}.{uuid.uuid4().hex}.partial"
        Path(aside).parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(aside).write_bytes(content)
            os.replace(aside, place)
        finally:
            Path(aside).unlink(missing_ok=True)


def files_below(place: str) -> dict[str, int]:
    """The size of every file below a place, by its path from there."""
    files, root = _file_system(place)
    found = files.find(root, detail=True)
    return {name[len(root) :].lstrip("/"): int(info["size"]) for name, info in found.items()}


def remove(place: str) -> None:
    """Remove a file, or a folder and all that is in it; nothing happens where there is nothing."""
    files, root = _file_system(place)
    try:
        files.rm(root, recursive=True)
    except FileNotFoundError:
        if not is_url(place) and os.path.isdir(place):  # a file of it went away meanwhile
            raise


def remove_partial_files(place: str) -> None:
    """Remove what a kill left of files that were being written, and folders that hold nothing else.

    At a URL there is none of either: a file is there whole or not at all.
    """
    if is_url(place):
        return
    for folder, _, names in os.walk(place, topdown=False):
        for name in names:
            if name.endswith(".partial"):
                os.unlink(os.path.join(folder, name))
        if folder != place and not os.listdir(folder):
            os.rmdir(folder)


def rename_group(source: str, target: str) -> None:
    """Give a Zarr group another name, under which it is there whole or not at all."""
    if not is_url(source):
        os.rename(source, target)
        return
    # Where folders cannot be renamed: the file that makes it a group comes last.
    files, root = _file_system(target)
    origin = _file_system(source)[1]
    for name in sorted(files_below(source), key="zarr.json".__eq__):
        files.cp_file(f"{origin}/{name}", f"{root}/{name}")
    remove(source)


@contextmanager
def failures_named(place: str) -> Iterator[None]:
    """Turn what goes wrong with a place, and is no fault of this program, into an InputError of one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        said = _what_failed(place, error)
        if said is None:
            raise
        raise InputError(said) from error


def _what_failed(place: str, error: Exception) -> str | None:
    """What an exception says about a place; None if it is about something else."""
    local = not is_url(place)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = error.filename or (place if local else "a disk of this machine")
        return f"{where}: {str(error.strerror).lower()}; make room and run the same command again to go on"
    if local:
        within = os.path.abspath(str(getattr(error, "filename", ""))).startswith(os.path.abspath(place))
        if isinstance(error, PermissionError) and within:
            return (
                f"{error.filename}: {str(error.strerror).lower()}; choose another output, or see who owns it"
            )
        return None
    protocol = place.partition("://")[0]
    if isinstance(error, ImportError):
        return f"{place}: {error}; seqstore[s3] has what s3:// needs"
    if isinstance(error, ValueError) and str(error).startswith("Protocol not known"):
        return f"{place}: {protocol}:// is no kind of URL that fsspec knows"
    is_of_server = isinstance(error, OSError) and error.filename is None
    if is_of_server or type(error).__module__.partition(".")[0] in _TRANSPORT:
        return f"{place}: cannot be used ({error}); its endpoint and credentials are those that fsspec finds"
    return None


class LocalFiles:
    """The files of a store as files of this machine: themselves, or copies of those at a URL.

    Copies stay in the folder ``cache``, by default the one that the environment variable SEQSTORE_CACHE names,
    under ``version``: what that names never changes. Without either they go to a temporary folder, which goes
    with this object. Nothing is thrown out before: they take up what the files read do.
    """

    def __init__(self, place: str, version: str, cache: str | Path | None = None) -> None:
        self.are_copies = is_url(place)
        self._place = place
        self._version = version
        self._cache = cache or os.environ.get(CACHE_VARIABLE) or None
        self._folder: Path | None = None if is_url(place) else Path(place)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | ({"_folder": None} if self.are_copies else {})

    def path(self, name: str) -> Path:
        """Where a file is, given its path in the store; it must have been fetched."""
        return self._root() / name

    def fetch(self, names: Sequence[str], *, anew: bool = False) -> None:
        """Make sure that files are on this machine; those that the store has not are left out.

        With ``anew`` those that are here are replaced.

        Raises:
            InputError: the URL cannot be reached.
        """
        if not self.are_copies:
            return
        missing = [name for name in names if anew or not self.path(name).exists()]
        if not missing:
            return
        files, root = _file_system(self._place)
        with failures_named(self._place):
            contents = files.cat([f"{root}/{name}" for name in missing], on_error="return")
            for name in missing:
                content = contents[f"{root}/{name}"]
                if isinstance(content, bytes):
                    self._keep(name, content)
                elif not isinstance(content, FileNotFoundError):
                    raise content

    def _keep(self, name: str, content: bytes) -> None:
        try:
            overwrite(str(self.path(name)), content)
        except OSError as error:
            raise InputError(
                f"{self._root()}: chunk files of the store cannot be kept here ({error.strerror}); name another "
                f"folder in {CACHE_VARIABLE}"
            ) from error

    def _root(self) -> Path:
        if self._folder is None:
            if self._cache is not None:
                self._folder = Path(self._cache).expanduser() / self._version
            else:
                self._folder = Path(tempfile.mkdtemp(prefix="seqstore-"))
                # Unlike one of weakref's, it is called at the end of multiprocessing's processes too.
                Finalize(self, _remove_own, (self._folder, os.getpid()), exitpriority=0)
        return self._folder


def _remove_own(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not the folder of the process that this one was forked from
        shutil.rmtree(folder, ignore_errors=True)


def _file_system(place: str) -> tuple[Any, str]:
    """The file system of a place, which forgets what other processes may have changed; the path in it."""
    files, root = fsspec.url_to_fs(place)
    if is_url(place):
        files.invalidate_cache()
        fsspec.url_to_fs(place, asynchronous=True)[0].invalidate_cache()  # the one that zarr uses
    return files, root

"""How a command line ends."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from seqstore import commands


def test_an_interrupt_is_not_lost_in_the_garbage_collector(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(interrupt)
        signal.raise_signal(signal.SIGINT)

    def wait() -> None:
        """Work that Ctrl-C should end."""
        gc.callbacks.append(interrupt)
        gc.collect(0)  # drops what is raised in its callbacks
        time.sleep(20)

    # In the background of a shell, Ctrl-C is ignored.
    before, started = signal.signal(signal.SIGINT, signal.default_int_handler), time.monotonic()
    with pytest.raises(SystemExit) as ended:
        commands.run("wait", wait, [])
    signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert interrupt not in gc.callbacks
    assert time.monotonic() - started < 10
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"


@dataclass(frozen=True)
class Config:
    """Keys of some kinds."""

    size: int
    kind: Literal["one", "other"] = "one"
    names: list[str] = field(default_factory=list)
    maybe: list[str] | None = None


def command(config: Config) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: many", "size: expected a whole number; got many"),
        ("size: 1\nkind: third", "kind: expected one of 'one', 'other'; got third"),
        ("size: 1\nnames: a", "names: expected a list such as [one, two]; got a"),
        ("size: 1\nmaybe: a", "maybe: expected a list such as [one, two]; got a"),
        ("kind: one", "the following arguments are required: size"),
        ("", "the config is empty, or no YAML of keys and values"),
        ("some\ttable\nof\tours", "the config is empty, or no YAML of keys and values"),
    ],
)
def test_what_the_parser_refuses_is_said_in_plain_words(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    for commands_of, arguments in ((command, []), ({"do": command}, ["do"])):
        with pytest.raises(SystemExit) as ended:
            commands.run("do", commands_of, [*arguments, "--config", str(path)])
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"error: {message} (config: {path})\n"


def test_a_config_in_another_encoding_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("# Zürich\nsize: 1".encode("latin-1"))
    with pytest.raises(SystemExit) as ended:
        commands.run("do", command, ["--config", str(path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {path}: byte 3 is not UTF-8; save the file in that encoding\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    script = "from seqstore.commands import run\nrun('yes', lambda: print('y\\n' * 1_000_000))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(2)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141

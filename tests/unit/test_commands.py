"""How a command line ends."""

from __future__ import annotations

import gc
import signal
import time

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

    before, started = signal.getsignal(signal.SIGINT), time.monotonic()
    with pytest.raises(SystemExit) as ended:
        commands.run("wait", wait, [])
    signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert interrupt not in gc.callbacks
    assert time.monotonic() - started < 10
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"

"""The command that a message names after Ctrl-C or a signal."""

from __future__ import annotations

import os
import signal

import pytest

from ciplug.errors import Interrupted
from ciplug.steps.interruption import resumed_by


def test_the_outer_command_counts_and_the_signal_gives_the_exit_code() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as stopped, resumed_by("the whole"), resumed_by("a part"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert (stopped.value.hint, stopped.value.exit_code) == ("go on: the whole", 128 + signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(Interrupted) as stopped, resumed_by("the whole"):
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with resumed_by("the whole"):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_last_word_counts_whatever_is_around_it() -> None:
    left = resumed_by("what is left", is_last_word=True)
    with pytest.raises(Interrupted) as stopped, resumed_by("the whole"), left, resumed_by("a part"):
        raise KeyboardInterrupt
    assert stopped.value.hint == "go on: what is left"

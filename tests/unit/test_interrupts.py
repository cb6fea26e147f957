"""Ctrl-C: the first is kept for a good moment, the second stops at once."""

from __future__ import annotations

import os
import signal
from queue import SimpleQueue
from typing import Any

import pytest

from toolkit.launch.interrupts import Interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_of_a_launch_the_first_one_stops(number: int) -> None:
    with Interrupts().installed() as interrupts, pytest.raises(KeyboardInterrupt):
        send(number)
    assert interrupts.pending


def test_during_a_launch_the_first_one_is_an_event_and_the_second_stops() -> None:
    events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    with Interrupts().installed() as interrupts, interrupts.to(events):
        send()
        assert events.get_nowait() == ("interrupt", None)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        assert events.empty()


def test_while_sealing_the_first_one_waits_and_the_second_stops() -> None:
    with Interrupts().installed() as interrupts, interrupts.shield():
        send()
        assert interrupts.pending
        with pytest.raises(KeyboardInterrupt):
            send()


def test_one_that_came_before_the_launch_is_told_at_once() -> None:
    events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    with Interrupts().installed() as interrupts:
        with interrupts.shield():
            send()
        with interrupts.to(events):
            assert events.get_nowait() == ("interrupt", None)


def test_handlers_come_back() -> None:
    former = {number: signal.getsignal(number) for number in SIGNALS}
    with Interrupts().installed():
        assert {number: signal.getsignal(number) for number in SIGNALS} != former
    assert {number: signal.getsignal(number) for number in SIGNALS} == former


def test_nohup_is_respected() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts().installed() as interrupts:
            send(signal.SIGHUP)
            assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, former)

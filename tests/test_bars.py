"""Progress where nobody watches: whole lines, few of them, and nothing that only a terminal understands."""

import io
import re
import sys

import pytest

from fedlearn_edu.bars import progress_bar, start_clock


class Stream(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)
    monkeypatch.delitem(sys.modules, "ipykernel.zmqshell", raising=False)
    return now


def steps(monkeypatch, clock, seconds, *, is_terminal=False, **options):
    """What a bar of one step a second wrote."""
    monkeypatch.setattr(sys, "stderr", Stream(is_terminal))
    with progress_bar(total=100, desc="count", unit="thing", **options) as bar:
        for second in range(seconds):
            clock[0] += 1.0
            bar.update()
            bar.set_postfix_str(f"at {second}")
    return sys.stderr.getvalue()


@pytest.mark.parametrize("options", [{}, {"leave": False}, {"delay": 1}])
def test_a_log_gets_a_line_now_and_then_and_the_end(monkeypatch, clock, options):
    text = steps(monkeypatch, clock, 100, **options)
    assert "\r" not in text
    assert text.endswith("\n")
    assert [line.split("|")[0].split()[-1] for line in text.splitlines()] == ["5%", "10%", "20%", "40%", "80%", "100%"]
    assert text.startswith("count:   5%")


def test_what_is_soon_over_leaves_no_line(monkeypatch, clock):
    assert steps(monkeypatch, clock, 0) == ""
    monkeypatch.setattr(sys, "stderr", Stream(False))
    assert list(progress_bar(range(3), desc="quick")) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_first_step_that_compiles_has_no_say_in_the_forecast(monkeypatch, clock, is_terminal):
    """Nor have the steps that an earlier run did."""
    monkeypatch.setattr(sys, "stderr", Stream(is_terminal))
    with progress_bar(total=100, unit="thing") as bar:
        clock[0] += 60
        start_clock(bar, 40)
        for _ in range(10):
            clock[0] += 1.0
            bar.update()
        assert "50/100 [00:10<00:50,  1.00thing/s]" in str(bar)
    assert "[00:10<00:50" in sys.stderr.getvalue()
    assert [forecast for forecast in re.findall(r"<(\d+):", sys.stderr.getvalue()) if forecast != "00"] == []


def test_a_bar_that_is_not_shown_has_no_clock():
    start_clock(progress_bar(total=3, disable=True), 1)


def test_what_was_interrupted_says_how_far_it_came(monkeypatch, clock):
    [line] = steps(monkeypatch, clock, 3).splitlines()
    assert "3/100" in line


def test_a_terminal_gets_a_bar_in_place(monkeypatch, clock):
    assert steps(monkeypatch, clock, 8, is_terminal=True).count("\r") >= 8

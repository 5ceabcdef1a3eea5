"""The time to begin is read from a terminal, as a person does."""

import sys
import time

import pytest

pytest.importorskip("pty", reason="needs a terminal")

from benchmarks import startup


def program(text):
    return [sys.executable, "-c", text]


def test_a_program_is_timed_to_its_end_or_to_what_it_writes():
    wait = "import time; time.sleep(1); print('one', flush=True); time.sleep(60)"
    started = time.monotonic()
    assert 1 < startup.seconds_of(program(wait), "one") < 30
    assert time.monotonic() - started < 50  # it was stopped
    assert startup.seconds_of(program("import time; time.sleep(0.5)")) > 0.5


def test_what_is_written_counts_without_its_colours():
    coloured = r"print('\x1b[1;32m3\x1b[0m/300 steps', flush=True); import sys; "
    seen = startup.timings()[-1].until
    assert startup.seconds_of(program(coloured + "sys.stdin.read()"), seen) > 0
    with pytest.raises(SystemExit, match="failed"):
        startup.seconds_of(program("print('0/300 steps')"), seen)


def test_a_command_that_fails_is_reported_with_what_it_wrote():
    with pytest.raises(SystemExit, match="what is wrong"):
        startup.seconds_of(program("raise SystemExit('what is wrong')"))


def test_an_empty_folder_takes_the_place_of_runs():
    code = "import os, sys; assert os.listdir(sys.argv[1]) == []"
    assert startup.seconds_of([*program(code), "{runs}"]) > 0


def test_the_page_says_which_part_is_the_backends():
    measured = startup.timings()
    for number, each in enumerate(measured):
        each.seconds = [0.01 + number, 0.02 + number, 0.03 + number]
    # The two last: 3.01 and 4.01, 3.02 and 4.02, 3.03 and 4.03.
    page = startup.page(measured)
    assert "**75% (75% to 75%)**" in page
    assert "| classicnets --help | 1.020 | 1.010..1.030 | 0.3 |" in page
    assert len(startup.table(measured).splitlines()) == 1 + 3 * len(measured)

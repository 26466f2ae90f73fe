"""What is kept of what a trajectory prints, and how its file stays short."""

import os
import random
import sys
from pathlib import Path

import pytest

from gridrun import output
from gridrun.outcome import Output
from gridrun.output import PART, RAW, Spool, collapse, keep, shorten


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", new=True)


def blocks(path: Path) -> int:
    """Bytes that a file takes on disk."""
    return path.stat().st_blocks * 512


def test_a_short_text_is_kept_as_it_was(spool: Spool) -> None:
    text = "one\n\ttwo \N{EURO SIGN}\nthree"
    spool.append(text.encode())
    assert spool.take(rest=False) == Output(text, len(text.encode()))
    assert spool.take(rest=False) is None


def test_what_is_no_utf_8_is_kept_with_replacements(spool: Spool) -> None:
    spool.append(b"a\xffb\n")
    assert spool.take(rest=False) == Output("a\N{REPLACEMENT CHARACTER}b\n", 4)


def test_of_a_long_text_the_first_and_the_last_part_are_kept_in_whole_lines(spool: Spool) -> None:
    lines = "".join(f"line {number}\n" for number in range(20_000))
    spool.append(lines.encode())
    kept = spool.take(rest=False)
    assert kept is not None
    assert kept.size == len(lines)
    first, told, last = kept.text.partition("[... ")
    gap, _, last = last.partition(" bytes left out ...]\n")
    assert lines.startswith(first)
    assert lines.endswith(last)
    assert first.endswith("\n")
    assert last.startswith("line ")
    assert PART * 0.9 < len(first) <= PART
    assert PART * 0.9 < len(last) <= PART
    assert told
    assert int(gap.replace(",", "")) == len(lines) - len(first) - len(last)


def test_a_long_line_is_cut_within(spool: Spool) -> None:
    spool.append(b"x" * 10 * PART)
    kept = spool.take(rest=False)
    assert kept is not None
    assert kept.text == f"{'x' * PART}\n[... {8 * PART:,} bytes left out ...]\n{'x' * PART}"


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("a\r\nb\r\n", "a\nb\n"),
        ("before\n" + "".join(f"\r{k}/9" for k in range(10)) + "\nafter\n", "before\n9/9\nafter\n"),
        ("half\rbar\r", "bar"),
        ("\r50%\r100%", "100%"),
        # Two bars of tqdm, one in the other, and a line after them.
        ("\r o 0\n\r i 0\x1b[A\n\r i 1\x1b[A\r o 1\n\r i 0\x1b[A\n\r i 1\x1b[A\n\ndone", " o 1\n i 1\ndone"),
        ("\x1b[A\x1b[A\rtoo far up", "too far up"),
        ("no\x1b[31mbar", "no\x1b[31mbar"),
    ],
)
def test_of_a_bar_the_last_state_is_kept(printed: str, kept: str) -> None:
    assert collapse(printed) == kept


def test_a_bar_of_ten_thousand_updates_hides_nothing_that_was_printed_around_it(spool: Spool) -> None:
    for epoch in range(20):
        spool.append(f"epoch {epoch}\n".encode())
        for step in range(0, 10_000, 20):
            spool.append(f"\r {step}/10000 [{'=' * 60}]".encode())
        spool.append(b"\n")
    kept = spool.take(rest=False)
    assert kept is not None
    assert kept.size > 10 * PART
    bar = f" 9980/10000 [{'=' * 60}]\n"
    assert kept.text == "".join(f"epoch {epoch}\n{bar}" for epoch in range(20))


def test_any_text_is_kept_within_the_limit_and_begins_and_ends_as_it_did() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        text = "".join(chance.choices("ab\n \N{SNOWMAN}", k=chance.randrange(4 * PART)))
        kept = shorten(text)
        assert len(kept) <= 2 * PART + 60
        assert kept.startswith(text[: PART // 3])
        assert kept.endswith(text[-PART // 3 :])
        assert (kept == text) == (len(text) <= 2 * PART)


def test_a_flood_takes_little_space_and_its_ends_and_its_size_are_known(tmp_path: Path, spool: Spool) -> None:
    spool.append(b"first\n")
    for _ in range(40):
        spool.append(b"x" * RAW)
        spool.trim()
        assert blocks(tmp_path / "spool") <= 4 * RAW
    spool.append(b"\nlast\n")
    kept = spool.take(rest=True)
    assert kept is not None
    assert kept.size == 40 * RAW + len("first\n\nlast\n")
    assert kept.text.startswith("first\nx")
    assert kept.text.endswith("x\nlast\n")
    assert "\0" not in kept.text
    assert kept.rest.endswith(b"x\nlast\n")


def test_where_no_space_can_be_given_back_a_flood_is_cut_off_and_that_is_said(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_punch", lambda *_: False)
    spool.append(b"first\n")
    for _ in range(40):
        spool.append(b"x" * RAW)
        spool.trim()
        assert blocks(tmp_path / "spool") <= 4 * RAW
    spool.append(b"\nlast\n")
    kept = spool.take(rest=False)
    assert kept is not None
    assert kept.text.startswith("first\nx")
    assert kept.text.endswith("x\nlast\n")


def test_the_next_cell_finds_an_empty_file_though_a_program_of_the_last_one_has_it_open(spool: Spool) -> None:
    spool.append(b"one\n")
    assert spool.take(rest=False) == Output("one\n", 4)
    spool.append(b"late\n")
    assert spool.take(rest=False) == Output("late\n", 5)


def test_another_file_that_has_got_the_number_is_left_alone(tmp_path: Path, spool: Spool) -> None:
    spool.append(b"mine\n")
    (tmp_path / "theirs").write_text("theirs")
    other = os.open(tmp_path / "theirs", os.O_RDWR)
    os.dup2(other, spool._number)
    os.close(other)
    assert spool.take(rest=False) is None
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_file_that_was_closed_is_not_trimmed(spool: Spool) -> None:
    spool.append(b"x" * 4 * RAW)
    spool.close()
    spool.trim()


def test_a_stream_that_cannot_be_flushed_is_no_fault(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", object())
    assert spool.take(rest=False) is None


def test_an_empty_file_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open() as file:
        assert keep(file.fileno()) is None

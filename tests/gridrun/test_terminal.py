"""Streams that can't take every character."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridrun.terminal import spell_out


def written(text: str, encoding: str) -> bytes:
    raw = io.BytesIO()
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(raw, encoding)
    try:
        spell_out()
        sys.stdout.write(text)
        sys.stdout.flush()
        return raw.getvalue()
    finally:
        sys.stdout = before


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["ascii", "latin-1", "cp437", "utf-8"]))
def test_any_text_can_be_written_in_any_encoding(text: str, encoding: str) -> None:
    assert written(text, encoding) or not text


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"0.5 +/- 0.1 ... 1-2 caf\\xe9 \\u0431"),
        ("latin-1", b"0.5 \xb1 0.1 ... 1-2 caf\xe9 \\u0431"),
        ("cp437", b"0.5 \xf1 0.1 ... 1-2 caf\x82 \\u0431"),
    ],
)
def test_what_an_encoding_lacks_is_spelled_out(encoding: str, expected: bytes) -> None:
    assert written("0.5 \xb1 0.1 \u2026 1\u20132 caf\xe9 \u0431", encoding) == expected

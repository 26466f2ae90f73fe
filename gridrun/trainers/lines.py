"""What of a program's output is metrics: JSON objects, what a pattern finds, or rows of a file of its own."""

import codecs
import csv
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gridrun.reading import Reader, Words
from gridrun.trainers.arguments import OUTPUT_DIR, names_in
from gridrun.trainers.program import ERRORS, OUT

# A longer line is no metrics, and is passed on in pieces. 100,000 held-out examples take 0.7 MB.
MOST_LINE = 10_000_000
# Seconds between looks at a file of metrics.
LOOK_S = 0.2
# The end of stderr that is kept for a failure.
MOST_TAIL = 10_000
# The metrics of a line; None if it holds none.
ReadLine = Callable[[str], dict[str, Any] | None]


def check_pattern(reader: Reader, pattern: object, metric: str) -> None:
    """[sweep] pattern. Raises: InputError."""
    example = rf"'{metric}=(?P<{metric}>[\d.]+)'" if metric.isidentifier() else r"'acc=(?P<acc>[\d.]+)'"
    if not isinstance(pattern, str):
        reader.refuse("[sweep] pattern must be a text", pattern, example)
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as error:
        reader.refuse(f"[sweep] pattern is no regular expression: {error}", pattern, example)
    if metric not in groups:
        named = ", ".join(groups) or "none"
        reader.refuse(
            f"[sweep] pattern must name a group {metric!r}, the metric", Words(f"groups: {named}"), example
        )


def check_file(reader: Reader, file: object) -> None:
    """[sweep] metrics_file. Raises: InputError."""
    example = '"{output_dir}/metrics.jsonl"'
    if not isinstance(file, str) or "\0" in file:
        reader.refuse("[sweep] metrics_file must be a text", file, example)
    try:
        names = names_in(file)
    except ValueError as error:
        reader.refuse(f"[sweep] metrics_file has {error}", file, example)
    if OUTPUT_DIR not in names:
        reader.refuse("[sweep] metrics_file must lie in {output_dir}, one a trajectory", file, example)
    if Path(file).suffix not in (".jsonl", ".csv"):
        reader.refuse("[sweep] metrics_file must end in .jsonl or .csv", file, example)


class Lines:
    """Bytes as they come, cut into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._cut = False  # the beginning of this line was passed on already

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield each line that ends here, with its newline, and whether that is all of it."""
        *ended, rest = data.split(b"\n")
        if ended:
            ended[0] = bytes(self._rest) + ended[0]
            for line in ended:
                yield line + b"\n", not self._cut
                self._cut = False
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > MOST_LINE:
            yield self.end()[0], False
            self._cut = True

    def end(self) -> tuple[bytes, bool]:
        """What there is of a line that has no newline yet."""
        line, self._rest = bytes(self._rest), bytearray()
        return line, not self._cut


def as_text(data: bytes) -> str:
    """What a program wrote, whatever it is."""
    return data.decode("utf-8", "backslashreplace")


def as_shown(line: str) -> str:
    """A line as a terminal shows it: a carriage return begins it anew, as progress bars do."""
    return line.rstrip().rpartition("\r")[2].strip()


def read_object(line: str) -> dict[str, Any] | None:
    """A line that is a JSON object. A list of booleans is an array: one a held-out example."""
    line = as_shown(line)
    if not (line.startswith("{") and line.endswith("}")):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return {name: _read_flags(value) for name, value in found.items()}


def _read_flags(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(item, bool) for item in value):
        return value
    import numpy as np

    return np.array(value)


def read_matches(pattern: str) -> ReadLine:
    """Read lines by the named groups of a pattern, found anywhere in them."""
    compiled = re.compile(pattern)

    def read(line: str) -> dict[str, Any] | None:
        match = compiled.search(as_shown(line))
        if match is None:
            return None
        return {name: _read_number(text) for name, text in match.groupdict().items() if text is not None}

    return read


def _read_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:  # left out, and said so
        return text


class Table:
    """A file of a program's own, .jsonl or .csv with a header, of which new rows are read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_csv = path.suffix == ".csv"
        self._header = b""
        self._offset = 0  # where the next row begins
        self._count = 0  # of the rows read

    def rows(self, *, ended: bool) -> Iterator[dict[str, Any]]:
        """Yield the rows that are new, the last one only when it is complete or the program has `ended`."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            header = file.readline(MOST_LINE) if self._is_csv else b""
            if self._is_csv and not header.endswith(b"\n") and not ended:
                return
            skip = 0
            if header != self._header or file.seek(0, 2) < self._offset:  # written anew, with a column more
                self._header, self._offset, skip = header, len(header), self._count
                self._count = 0
            file.seek(self._offset)
            while line := file.readline(MOST_LINE):
                if not line.endswith(b"\n") and not ended:
                    return
                self._offset += len(line)
                metrics = self._read(as_text(line))
                if metrics is not None:
                    self._count += 1
                    if self._count > skip:
                        yield metrics

    def _read(self, line: str) -> dict[str, Any] | None:
        if not self._is_csv:
            return read_object(line)
        if not line.strip():
            return None
        try:
            (names,), (values,) = csv.reader([as_text(self._header).strip()]), csv.reader([line.strip()])
        except csv.Error:  # a NUL, or a field of 100 KB
            return None
        return {name: _read_number(text) for name, text in zip(names, values, strict=False) if text}


class Output:
    """What a program writes: metrics are taken out of it, the rest goes to this process's own streams."""

    def __init__(self, read: ReadLine, table: Table | None) -> None:
        self._read, self._table = read, table
        self._lines = Lines()
        self._decoders = [codecs.getincrementaldecoder("utf-8")("backslashreplace") for _ in range(3)]
        self._tail = bytearray()
        self._looked = time.monotonic()

    def take(self, stream: int, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the metrics that came with some bytes of a stream."""
        if stream == OUT and self._table is None:
            yield from self._split(data)
        elif data:
            if stream == ERRORS:
                self._tail += data
                del self._tail[:-MOST_TAIL]
            _pass_on(stream, self._decoders[stream].decode(data))
        if self._table is not None and time.monotonic() - self._looked >= LOOK_S:
            self._looked = time.monotonic()
            yield from self._table.rows(ended=False)

    def _split(self, data: bytes) -> Iterator[dict[str, Any]]:
        log: list[str] = []
        for line, whole in self._lines.feed(data):
            text = as_text(line)
            metrics = self._read(text) if whole else None
            if metrics is None:
                log.append(text)
                continue
            _pass_on(OUT, "".join(log))
            log.clear()
            yield metrics
        _pass_on(OUT, "".join(log))

    def end(self) -> Iterator[dict[str, Any]]:
        """The program has ended: yield what it told last."""
        if self._table is not None:
            yield from self._table.rows(ended=True)
            return
        line, whole = self._lines.end()
        metrics = self._read(as_text(line)) if whole else None
        if metrics is not None:
            yield metrics
        else:
            _pass_on(OUT, as_text(line))

    def tail(self) -> str:
        """The last lines of its stderr, under a heading; "" if it wrote nothing there."""
        text = as_text(bytes(self._tail)).strip("\n")
        return f"the end of its stderr:\n{text}\n" if text else ""

    def last_words(self) -> str:
        """The last line of its stderr that is not blank."""
        return next(
            (words for line in reversed(as_text(bytes(self._tail)).split("\n")) if (words := as_shown(line))),
            "",
        )


def _pass_on(stream: int, text: str) -> None:
    if text:
        file = sys.stdout if stream == OUT else sys.stderr
        try:
            file.write(text)
        except UnicodeEncodeError:
            file.write(text.encode("ascii", "backslashreplace").decode())
        file.flush()

"""What the hash of a function covers, and what it does not; each source is run as a cell of a notebook."""

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gridrun.trainers.content import Unhashable, hash_function, reference_of


def cell(source: str, lines_above: int = 0, **given: Any) -> Any:
    """The function `train` of a cell of a notebook, in a namespace of its own."""
    code = compile("\n" * lines_above + source, f"<cell {lines_above}>", "exec")
    namespace: dict[str, Any] = {"__name__": "__main__", **given}
    exec(code, namespace)
    return namespace["train"]


def hash_of(source: str, lines_above: int = 0, **given: Any) -> str:
    return hash_function(cell(source, lines_above, **given)).hash


CLOSURE = """
def make(k):
    def train(x):
        return x * k
    return train
train = make({})
"""
METHOD = """
class Study:
    scale = {}
    def __init__(self, k): self.k = k
    def run(self, x): return x * self.k * self.scale
train = Study({}).run
"""


SOURCES = [
    "def train(x):\n    return {'m': x + 1}",
    "train = lambda x: {'m': [y for y in range(x)]}",
    CLOSURE.format("{'a', 'b', 'c', 'd'}"),
    METHOD.format(1, 2),
    "import functools\ndef f(x, k): return x * k\ntrain = functools.partial(f, k={'u', 'v', 'w'})",
    "import numpy as np\nX = np.arange(5.0)\ndef train(x): return float(X.sum() + x)",
    "from sklearn.svm import SVC\nmodel = SVC(C=2)\ndef train(x): return model.C",
    "import pandas as pd\ntable = pd.DataFrame({'a': [1, 2], 'b': ['x', None]})\n"
    "def train(x): return len(table)",
    "from dataclasses import dataclass\nfrom enum import Enum\nclass Kind(Enum):\n    A = 1\n"
    "@dataclass\nclass Config:\n    kind: Kind = Kind.A\n    size: int = 3\n"
    "def train(x): return Config(size=x).size",
    "from abc import ABC, abstractmethod\nimport functools\nclass Base(ABC):\n"
    "    @abstractmethod\n    def f(self): ...\n    @property\n    def p(self): return 1\n"
    "    @functools.lru_cache\n    def q(self): return 2\n    @staticmethod\n    def s(): return 3\n"
    "class Mine(Base):\n    __slots__ = ('a',)\n    def f(self): return super().f()\n"
    "def train(x): return Mine().q()",
    "def even(x): return x == 0 or odd(x - 1)\ndef odd(x): return x > 0 and even(x - 1)\n"
    "def train(x): return even(x)",
    "rows = []\nrows.append(rows)\ndef train(x): return len(rows)",
]


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The hashes of all sources in another process, where sets have another order."""
    code = (
        "import json, sys; from tests.gridrun.test_content import hash_of\n"
        "print(json.dumps({text: hash_of(text, lines_above=7) for text in json.load(sys.stdin)}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(SOURCES), capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(told.stdout)
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_running_a_cell_again_elsewhere_gives_the_same_hash(source: str, elsewhere: dict[str, str]) -> None:
    assert hash_of(source) == hash_of(source, lines_above=3) == elsewhere[source]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def train(x): return x + 1", "def train(x): return x + 2"),
        ("def train(x): return x + 1", "def train(x): return x - 1"),
        ("def train(x): return x.real", "def train(x): return x.imag"),
        ("def train(x, k=1): return x", "def train(x, k=2): return x"),
        ("def train(x, *, k=1): return x", "def train(x, *, k=1.0): return x"),
        ("def train(x): return x in (1, True)", "def train(x): return x in (1, 1)"),
        (CLOSURE.format(1), CLOSURE.format(2)),
        (CLOSURE.format("[1, 2]"), CLOSURE.format("[[1], 2]")),
        (CLOSURE.format("{'a': 1}"), CLOSURE.format("{'a': 2}")),
        (METHOD.format(1, 2), METHOD.format(1, 3)),
        (METHOD.format(1, 2), METHOD.format(4, 2)),
        ("def f(x): return 1\ndef train(x): return f(x)", "def f(x): return 2\ndef train(x): return f(x)"),
        (
            "def f(x): return 1\ndef g(x): return f(x)\ndef train(x): return [g(y) for y in x]",
            "def f(x): return 2\ndef g(x): return f(x)\ndef train(x): return [g(y) for y in x]",
        ),
        ("K = 1\ndef train(x): return x * K", "K = 2\ndef train(x): return x * K"),
        ("K = 1\ndef train(x): return (lambda: K)()", "K = 2\ndef train(x): return (lambda: K)()"),
        (
            "import numpy as np\nX = np.zeros(3)\ndef train(x): return X",
            "import numpy as np\nX = np.zeros((3, 1))\ndef train(x): return X",
        ),
        (
            "import numpy as np\nX = np.zeros(3)\ndef train(x): return X",
            "import numpy as np\nX = np.zeros(3, int)\ndef train(x): return X",
        ),
        (
            "from math import sin as f\ndef train(x): return f(x)",
            "from math import cos as f\ndef train(x): return f(x)",
        ),
        (
            "from sklearn.svm import SVC\nmodel = SVC(C=2)\ndef train(x): return model.C",
            "from sklearn.svm import SVC\nmodel = SVC(C=3)\ndef train(x): return model.C",
        ),
    ],
)
def test_what_computes_something_else_has_another_hash(one: str, other: str) -> None:
    assert hash_of(one) != hash_of(other)


def test_comments_annotations_and_what_is_not_referred_to_do_not_count() -> None:
    plain = "def train(x):\n    return x * K"
    noted = "UNUSED = 3\ndef train(x: 'int') -> 'float':\n    # doubled\n\n    return x * K  # here\n"

    assert hash_of(plain, K=2) == hash_of(noted, K=2)


def test_attributes_about_the_sweep_do_not_count_and_others_do() -> None:
    plain = "def train(x): return train.k * x\ntrain.k = {}\n"

    assert hash_of(plain.format(1)) == hash_of(plain.format(1) + "train.validate = lambda x: None")
    assert hash_of(plain.format(1)) != hash_of(plain.format(2))


def test_an_array_counts_by_content_and_not_by_its_strides() -> None:
    source = "def train(x): return X"
    table = np.arange(6.0).reshape(2, 3)

    assert hash_of(source, X=table) == hash_of(source, X=np.asfortranarray(table))
    assert hash_of(source, X=table) != hash_of(source, X=table.T)
    table[0, 0] = 9
    assert hash_of(source, X=table) != hash_of(source, X=np.arange(6.0).reshape(2, 3))


def test_a_library_function_counts_by_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from tests.gridrun.test_content import library\ndef train(x): return library(x)"
    before = hash_of(source)
    monkeypatch.setattr(library, "version", "2", raising=False)

    assert hash_of(source) != before


def library(x: int) -> int:
    return x


@pytest.mark.parametrize("made", [threading.Lock, lambda: (x for x in "ab"), lambda: sys.stdout])
def test_what_cannot_be_hashed_is_named(made: Callable[[], Any]) -> None:
    with pytest.raises(Unhashable, match=r"^held holds a \w+, which can't be pickled$"):
        hash_of("def train(x): return held", held=made())


def test_only_what_another_process_can_import_has_a_reference() -> None:
    assert reference_of(functools.partial) == "functools:partial"
    assert reference_of(np.mean) == "numpy:mean"
    assert reference_of(hash_function) == "gridrun.trainers.content:hash_function"
    assert reference_of(cell("def train(x): return x")) is None
    assert reference_of(lambda x: x) is None
    assert reference_of(Unhashable("").with_traceback) is None

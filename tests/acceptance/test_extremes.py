"""Whatever finite number an axis holds and a metric comes to, whatever it is called: there is a report."""

import random
import shutil
from pathlib import Path

import pytest

from tests.acceptance.conftest import SOAK
from tests.acceptance.quick import EXTREMES, HEAD, sweep_here
from tests.acceptance.test_hostile import call
from tests.acceptance.test_kills import SEED

pytestmark = pytest.mark.slow
REPORTS = 500 if SOAK else 5
TEXTS = ["", "a", "=1+1", "<i>", "\u202e", "x" * 200, "a\nb", "\x7f", "\u0301"]


def axis(chance: random.Random) -> str:
    kind = chance.choice(["extremes", "extremes", "numbers", "texts", "mixed", "ends"])
    if kind == "ends":
        return "[-1e308, 1e308]"
    numbers = chance.sample([x for x in EXTREMES if str(x) != "-0.0"], k=chance.randint(1, 4))
    if kind == "extremes":
        return repr(numbers)
    texts = [quoted(text) for text in chance.sample(TEXTS, k=chance.randint(1, 3))]
    if kind == "texts":
        return f"[{', '.join(texts)}]"
    if kind == "mixed":
        return f"[{', '.join([*texts, 'true', *map(repr, numbers)])}]"
    return repr(sorted({chance.randint(-(2**53), 2**53) for _ in range(3)} | {1}))


def quoted(text: str) -> str:
    return '"' + "".join(c if c.isalnum() or c in "=+<>" else f"\\u{ord(c):04x}" for c in text) + '"'


def draw_grid(number: int) -> str:
    chance = random.Random(f"{SEED} {number}")
    head = HEAD.replace("quick:train", "quick:extremes").replace('"accuracy"', '"metric"')
    lines = [f'{head}mode = "{chance.choice(["max", "min"])}"']
    if budget := chance.random() < 0.5:
        lines.append('budget = "epochs"')
    lines += [f"[fixed]\ndraw = {chance.randrange(10**6)}", "[grid]"]
    lines += [f"{name} = {axis(chance)}" for name in "abc"[: chance.randint(1, 3)]]
    if budget:
        lines.append("epochs = [1, 3]")
    if chance.random() < 0.5:
        lines.append("[replicate]\nseed = [0, 1, 2]")
    return "\n".join(lines) + "\n"


def test_a_report_is_made_of_whatever_numbers_and_names_there_are(tmp_path: Path) -> None:
    print(f"GRIDRUN_SEED={SEED}")
    for number in range(REPORTS):
        text = draw_grid(number)
        out = tmp_path / "out"
        sweep_here(out, text)
        for words in (["report", str(out)], ["status", str(out)]):
            code, _, err = call(*words)
            assert (code, err.count("\n") <= 1) == (0, True), (number, text, err)
        assert (out / "report" / "report.html").stat().st_size
        shutil.rmtree(out)

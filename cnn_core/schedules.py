"""What the learning rate is multiplied by in each epoch. To add a schedule, write its line in FACTORS.

None knows how many epochs there will be: fewer are the beginning of more. What a schedule stretches over is
given, as `schedule_epochs`; after that the last factor stays.
"""

import math
from collections.abc import Callable

RISE, START, END = 0.3, 1 / 25, 1 / 25e4
"""Of `one_cycle`: the share of epochs that rise, the first factor, the last one."""


def one_cycle(epoch: int, _: float, length: int) -> float:
    """Up from START to 1 by half a cosine, then down to END.

    What PyTorch's OneCycleLR is with one step per epoch. Source: Smith and Topin, arXiv:1708.07120 (2017).
    """
    top, last = max(RISE * length - 1, 0.0), length - 1
    at = min(epoch, last)
    if at <= top:
        return _half_cosine(START, 1, at / top if top else 1.0)
    return _half_cosine(1, END, (at - top) / (last - top))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


FACTORS: dict[str, Callable[[int, float, int], float]] = {
    # The study's: after epoch e the rate is multiplied by decay^(e+1), which makes decay^(1 + 2 + ... + e).
    "compound": lambda epoch, decay, _: decay ** (epoch * (epoch + 1) // 2),
    "exponential": lambda epoch, decay, _: decay**epoch,
    "constant": lambda *_: 1.0,
    "step": lambda epoch, decay, length: decay ** (epoch // length),
    # Source: Loshchilov and Hutter, ICLR 2017, without restarts.
    "cosine": lambda epoch, _, length: _half_cosine(1, 0, min(epoch, length - 1) / length),
    "one_cycle": one_cycle,
}
"""By name: a function of the epoch from 0, `decay` and `schedule_epochs` (at least 1)."""


def warmup(epoch: int, epochs: int) -> float:
    """The further factor of an epoch where the first `epochs` lead up to the full rate, in equal steps."""
    return min(1.0, (epoch + 1) / (epochs + 1))

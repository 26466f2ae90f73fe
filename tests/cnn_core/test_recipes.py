"""The recipes of examples/recipes, which are made for MNIST, on the embedded digits."""

from pathlib import Path
from typing import Any

import pytest

import cnn_core
from gridrun.spec import Spec

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.toml"))
DIGITS = {"dataset": "digits", "train_size": 600, "test_size": 500}


def cells(recipe: Path) -> list[dict[str, Any]]:
    grid = Spec.read(recipe).grid
    found = [grid.trajectory_params(index) for index in range(grid.trajectory_count)]
    return [dict(params) | {"epochs": max(grid.budgets)} for params in found]


def test_there_are_two() -> None:
    assert [recipe.name for recipe in RECIPES] == ["mnist-600.toml", "mnist-quick.toml"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_can_run_and_learns_digits_as_well(recipe: Path) -> None:
    found = cells(recipe)
    for params in found:
        cnn_core.Config(**params)
    last = {**found[-1], **DIGITS, "epochs": 8, "schedule_epochs": 8}
    assert [metrics["accuracy"] for metrics in cnn_core.train(**last)][-1] > 0.96

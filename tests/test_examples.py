"""Examples in the docstrings of public names run, and say what is true."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import pastis_jax

PACKAGES = (
    "pastis_jax",
    *(f"pastis_jax.{name}" for name in pastis_jax.__all__ if name.islower() and name != "open_run"),
    *(f"pastis_jax.data.{name}" for name in ("pixel_sets", "patches", "regions", "simulate")),
    "pastis_jax.temporal_dropout",
)


def public_names():
    """Public functions and classes, by where they are defined."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            defined = getattr(value, "__module__", None) or ""
            documented = inspect.isclass(value) or inspect.isfunction(value)
            if documented and not name.startswith("_") and defined.startswith("pastis_jax."):
                found[f"{defined}.{value.__name__}"] = value
    return found


NAMES = public_names()


def examples():
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=True)
    for name, value in NAMES.items():
        module = importlib.import_module(value.__module__)
        yield from finder.find(value, name, module=module)


EXAMPLES = {test.name: test for test in examples() if test.examples}


def test_examples_are_found():
    assert len(EXAMPLES) >= 30


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_says_what_it_is(name):
    text = inspect.cleandoc(NAMES[name].__doc__ or "")
    first = text.split("\n\n")[0]
    assert first.endswith((".", ":")), first  # that of a dataclass without one ends in `)`
    assert not first.startswith("The same"), first


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_runs(name):
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        EXAMPLES[name]
    )
    assert tried > 0
    assert failed == 0

"""Every public builder shows by an Example how it is called; the doctests of the package execute them."""

import doctest
import inspect

import pytest

import fedlearn_edu as fl
from fedlearn_edu.learning import catalogue

ROWS = [*catalogue.ALGORITHMS, *catalogue.ONE_SHOT, *catalogue.AGGREGATORS, *catalogue.ATTACKS]
BUILDERS = {row.builder: row.load for row in ROWS}
# The private and the attacked ones have no row; whoever builds no learning process is none of these.
PUBLIC = {name: getattr(fl, name) for name in fl.__all__ if name.startswith(("build_", "one_shot_"))}
ROOMS = ("fedlearn_edu.learning.", "fedlearn_edu.privacy.")
BUILDERS |= {name: lambda found=found: found for name, found in PUBLIC.items() if found.__module__.startswith(ROOMS)}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_public_builder_has_an_example_that_calls_it(name):
    builder = BUILDERS[name]()
    docstring = inspect.getdoc(builder)
    assert "\nExample:\n" in docstring
    examples = doctest.DocTestParser().get_examples(docstring)
    assert any(f"{name}(" in example.source for example in examples)
    assert not any("+SKIP" in line for line in docstring.splitlines())
    assert 2 <= sum(example.source.count("\n") + example.want.count("\n") for example in examples) <= 6

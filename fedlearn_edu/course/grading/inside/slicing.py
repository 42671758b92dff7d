"""Picks from a notebook the statements that one function needs; everything else in it is never run.

A cell that does not parse, loops for ever or prints gigabytes therefore costs only the exercises that depend on it.
"""

from __future__ import annotations

import builtins
import collections
from collections.abc import Sequence

from fedlearn_edu.course.grading.inside.statements import Statement, package_of


def needed_for(name: str, statements: Sequence[Statement]) -> list[Statement]:
    """Returns, in order, the statements on which the function called `name` depends; none if nothing binds it.

    What a name means is what it meant in the last cell that mentions the function: its check has passed there, and
    `helper` may be another one for the next exercise.

    Example:
        >>> from fedlearn_edu.course.grading.inside.statements import read_statements
        >>> cells = ["import math", "import os", "def area(r):\\n    return math.pi * r**2", "while True: pass"]
        >>> [s.cell for s in needed_for("area", read_statements(cells)[0])]
        [1, 3]
    """
    # Changing what an import gave (np.mean = ...) would reach every other cell: such a statement is no definition.
    imported = {bound for s in statements for bound in s.imports}
    # Handing a function to another one changes neither.
    variable = {bound for s in statements if not s.is_definition for bound in s.binds - s.imports.keys()} - {name}
    touching = collections.defaultdict(list)
    for index, statement in enumerate(statements):
        for touched in statement.binds | (statement.changes - imported) | (statement.passes & variable):
            touching[touched].append(index)
    bound = {bound for statement in statements for bound in statement.binds}
    stars = {index for index, statement in enumerate(statements) if statement.is_star}
    if name not in bound and not stars:
        return []
    last = max((s.cell for s in statements if name in s.binds or name in s.reads), default=0)
    settings = _settings(statements, variable | {name})
    chosen, wanted, names = set(), {name}, [name]
    while True:
        found = set()
        while names:
            indices = touching[touched := names.pop()]
            before = {index for index in indices if statements[index].cell <= last}
            # A helper may stand further down; but `list = [1]` there comes after the function that meant Python's own.
            found |= before or (set() if hasattr(builtins, touched) else set(indices))
        if not found - chosen and wanted - bound:
            found = stars
        if not found - chosen:
            packages = {package_of(module) for index in chosen for module in statements[index].modules} | {"sys"}
            found = {index for package in packages for index in settings[package]}
        if not found - chosen:
            return [statements[index] for index in sorted(chosen)]
        new = {read for index in found - chosen for read in statements[index].reads} - wanted
        chosen |= found
        wanted |= new
        names = list(new)


def may_lack(needed: Sequence[Statement], statements: Sequence[Statement]) -> bool:
    """Whether statements beside the needed ones may have changed, unseen, what the needed ones made."""
    chosen, reads = set(map(id, needed)), {name for statement in needed for name in statement.reads}
    return any(s.keeps_state for s in needed) or any(s.binds & reads for s in statements if id(s) not in chosen)


def _settings(statements: Sequence[Statement], variable: set[str]) -> dict[str, set[int]]:
    """By package, the statements that set it up for all who use it: seeds, limits, how numbers are printed."""
    packages = collections.defaultdict(set)
    for statement in statements:
        for imported, package in statement.imports.items():
            packages[imported].add(package)
    found = collections.defaultdict(set)
    for index, statement in enumerate(statements):
        if not statement.reads & variable:
            for package in packages.get(statement.settles, ()):
                found[package].add(index)
    return found

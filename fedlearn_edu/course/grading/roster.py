"""Who takes the course: a roster -> a row for everyone, and people's names for what was handed in."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from fedlearn_edu.course.grading.owners import Owner, labels_of
from fedlearn_edu.course.grading.sheet import Sheet
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean, natural

NOTHING = "nothing was handed in"
_MAX_WORDS = 12  # of a name that may stand in another order
_COLUMNS = {
    "name": ("name", "full name", "fullname", "student", "student name", "vollständiger name"),
    "first": ("first name", "firstname", "given name", "vorname"),
    "last": ("last name", "lastname", "surname", "family name", "nachname"),
    "number": ("number", "id", "lms_id", "id number", "user id", "student id", "student number", "matrikelnummer"),
    "email": ("email", "e-mail", "email address", "e-mail address", "e-mail-adresse", "mail"),
}


@dataclasses.dataclass(frozen=True)
class Person:
    """One who takes the course.

    Attributes:
        name: As people say it, "Ada Lovelace"; "" if it is not told.
        number: In the LMS, or any other that tells people apart; or "".
        email: Or "".
        lms: "moodle" or "canvas" if that is where the number is from, else "".
        row: In the table it is from; 0 is its header.
    """

    name: str
    number: str = ""
    email: str = ""
    lms: str = ""
    row: int = 0

    @property
    def shown(self) -> str:
        """What to call the person."""
        return self.name or self.number

    @property
    def keys(self) -> frozenset[str]:
        """What a file may be called: the name in any order an LMS has, with or without the number; number; address."""
        words = _words(self.name)
        turned = {"".join(words[first:] + words[:first]) for first in range(min(len(words), _MAX_WORDS))}
        # The number of an LMS is not the student's to know or to write; its own names of files tell it.
        others = (self.email,) if self.lms else (self.email, self.number)
        number = "".join(_words(self.number))
        both = {one for name in turned for one in (name + number, number + name)}
        return frozenset(turned | both | {"".join(_words(one)) for one in others}) - {""}


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return re.findall(r"[^\W_]+", folded)


def given_name_first(name: str) -> str:
    """Turns "Lovelace, Ada" round.

    Example:
        >>> given_name_first("Lovelace, Ada"), given_name_first("Ada Lovelace")
        ('Ada Lovelace', 'Ada Lovelace')
    """
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma and "," not in first else name


def read_roster(path: str | os.PathLike) -> list[Person]:
    """Reads a table with a column "name" (or "first name" and "last name"), and "number" and "email" if there are any.

    Raises:
        UsageError: It is no such table, or somebody is in it twice.
    """
    sheet = Sheet(path, "roster")
    header = [name.casefold() for name in sheet.header]
    columns = {
        purpose: next((index for index, name in enumerate(header) if name in names), None)
        for purpose, names in _COLUMNS.items()
    }
    if columns["name"] is None and None in (columns["first"], columns["last"]):
        found = ", ".join(clean(name, limit=40) for name in sheet.header[:10])
        raise sheet.error(f'expected a column "name", or "first name" and "last name"; found {found}')
    sheet.check_own({header[at] for at in columns.values() if at is not None})
    people = []
    for row in range(1, len(sheet.rows)):
        cells = {purpose: clean(sheet.cell(row, at)) if at is not None else "" for purpose, at in columns.items()}
        name = given_name_first(cells["name"]) or f"{cells['first']} {cells['last']}".strip()
        name = name or cells["number"] or cells["email"]  # nobody is left out for a cell that is
        if name and name != "Points Possible":
            people.append(Person(name, cells["number"], cells["email"], row=row))
    check_people(sheet, people)
    return people


def check_people(sheet: Sheet, people: Sequence[Person]) -> None:
    """Refuses a table in which two rows are one person, or may be.

    Raises:
        UsageError: A number or an address stands twice, a name twice without numbers to tell them apart, or there is
            nobody at all.
    """
    if not people:
        raise sheet.error("nobody is in it")
    for what in ("number", "email"):
        counts = collections.Counter(getattr(one, what).casefold() for one in people if getattr(one, what))
        if twice := [value for value, count in counts.items() if count > 1]:
            raise sheet.error(f"the {what} {clean(twice[0], limit=60)} is there twice; leave each person in once")
    names = collections.defaultdict(list)
    for one in people:
        if one.name:
            names["".join(_words(one.name))].append(one)
    for same in names.values():
        if len(same) > 1 and not all(one.number for one in same):
            raise sheet.error(f"{clean(same[0].name, limit=60)} is there twice; give both a number, or leave one out")


def match(
    submissions: Iterable[Submission], people: Sequence[Person], *, table: str = "the roster"
) -> tuple[dict[str, Person], set[Person], list[str]]:
    """Finds who handed in what.

    By the number in the LMS where the table has those; else by the name, if it is one person's alone.

    Args:
        submissions: What was handed in.
        people: Those of a table.
        table: What the table is called in the lines.

    Returns:
        Person by `Submission.student`; those whom something may be of, but nobody knows; one line on each of these.
    """
    by_number = {one.number: one for one in people if one.number}
    by_key = collections.defaultdict(set)
    for one in people:
        for key in one.keys:
            by_key[key].add(one)
    found, doubtful, notes = {}, set(), []
    for submission in submissions:
        numbered = by_number.get(submission.lms_id) if submission.lms_id else None
        if numbered and numbered.lms == submission.lms:
            found[submission.student] = numbered
            continue
        if submission.lms and any(one.lms for one in people):
            continue  # an LMS's own numbers say that it is nobody of these
        named = set(by_key["".join(_words(submission.name))])
        # No teacher's own roster has Moodle's numbers, and other numbers than an LMS's are another roster's: they may
        # choose among those of the name, no more.
        is_sure = submission.lms == "canvas"
        if not is_sure and numbered not in named:
            numbered = None
        candidates = {numbered} if numbered and not is_sure else named | ({numbered} - {None})
        if len(candidates) == 1:
            [found[submission.student]] = candidates
        elif candidates:
            doubtful |= candidates
            shown = ", ".join(sorted(f"{one.shown} [{one.number or f'row {one.row + 1}'}]" for one in candidates))
            notes.append(
                f"{submission.student}: could be {shown} of {table}; taken for none of them{_hint(candidates)}"
            )
    holders = collections.Counter(found.values())
    for student, person in list(found.items()):
        if holders[person] > 1:
            doubtful.add(person)
            notes.append(f"{student}: {holders[person]} submissions could be {person.shown}'s; none is taken for it")
            del found[student]
    return found, doubtful, notes


def _hint(candidates: Collection[Person]) -> str:
    """How to call a file that could be several people's, if numbers tell them apart."""
    one = min(candidates, key=lambda one: (not (one.number and one.name), natural(one.number)))
    if not one.number or not one.name:
        return ""
    alone = "" if one.lms else f"{one.number} or "
    return f"; call the folder {alone}'{one.name} [{one.number}]'"


def enrol(
    submissions: Sequence[Submission], people: Sequence[Person]
) -> tuple[list[Submission], dict[str, Person], list[str]]:
    """Gives everyone on the roster a row, and their names to those whom Canvas or a file calls otherwise.

    Args:
        submissions: What was handed in.
        people: The roster.

    Returns:
        Submissions in the natural order of their names, those who handed in nothing among them; the person of each by
        `Submission.student`; one line on everything unusual.
    """
    found, doubtful, notes = match(submissions, people)
    here = set(found.values()) | doubtful
    absent = [one for one in people if one not in here]
    owners: dict[Owner, tuple[Submission, Person | None]] = {}
    for one in submissions:
        person = found.get(one.student)
        name = person.name if person and _is_better(person.name, one) else ""
        number = one.lms_id or (person.number if person else "")
        owner = Owner(name or one.student, one.lms, number, entry=one.student)
        owners[owner] = (dataclasses.replace(one, name=name or one.name, lms_id=number), person)
    for person in absent:
        name = clean(person.shown)
        plain = Owner(name, person.lms, person.number, entry=f"row {person.row + 1}")
        identity = plain.identity if person.lms else ascii(("roster", person.number or name))
        missing = Submission("", name, person.lms, person.number, (), instead=NOTHING, identity=identity)
        owners[plain] = (missing, person)
    labels = labels_of(owners, notes)
    enrolled, persons = [], {}
    for owner, (one, person) in owners.items():
        enrolled.append(dataclasses.replace(one, student=labels[owner]))
        if person:
            persons[labels[owner]] = person
    enrolled.sort(key=lambda one: (natural(one.student), one.student))
    strangers = [one.student for one in enrolled if one.student not in persons]
    if strangers:
        notes.append(f"not on the roster, graded all the same: {listed(strangers)}")
    if absent:
        notes.append(f"handed in nothing: {listed([one.student for one in enrolled if one.instead == NOTHING])}")
    return enrolled, persons, notes


def _is_better(name: str, submission: Submission) -> bool:
    """Whether a roster's name shall take the place of what a submission is called."""
    if submission.lms != "moodle":
        return bool(name)
    # Moodle's folders have the name already, but for "Group A-Ada Lovelace", and "Participant" where it marks blind.
    new, old = "".join(_words(name)), "".join(_words(submission.name))
    return bool(new and old) and new != old and (old.endswith(new) or new.startswith(old))


def listed(names: Sequence[str], *, limit: int = 10) -> str:
    """Names in one line, the first few of many.

    Example:
        >>> listed(["Ada", "Ben", "Cy"], limit=2)
        '3 (Ada, Ben, ...)'
    """
    return f"{len(names)} ({', '.join(names[:limit])}{', ...' if len(names) > limit else ''})"

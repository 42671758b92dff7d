"""Names that users give: which can be shown and encoded, which are the same, and how one stands in one line."""

from __future__ import annotations

import collections
import unicodedata
from collections.abc import Iterable

from fedlearn_edu.errors import UsageError

WHOLE = "global"  # what a run's history calls all clients together, so that no client may be called so
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "eval", "evaluation", "dev", "holdout"}

# Control characters, halves of a character that UTF-8 cannot encode, and the two that break a line.
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")


def same_name(name: str) -> str:
    """Returns a name in Unicode's composed form (NFC), in which names are compared.

    macOS writes the a and the dots of "Äpfel" as two characters, other systems as one; a reader sees one name.

    Example:
        >>> same_name("A\\u0308pfel") == "\\u00c4pfel"
        True
    """
    return unicodedata.normalize("NFC", name)


def is_showable(name: str) -> bool:
    """Whether a name can be encoded as UTF-8 and stands in one line."""
    if name.isascii():
        return name.isprintable()
    return not any(unicodedata.category(character) in _UNSHOWN for character in name)


def check_name(argument: str, name: str, *, what: str) -> None:
    """Raises UsageError if a name is empty, cannot be encoded as UTF-8, or has control characters.

    Args:
        argument: The argument that the message begins with.
        name: What was given.
        what: What is called so, e.g. `"a class"`.
    """
    if not isinstance(name, str):
        raise UsageError(f"{argument}: expected text as the name of {what}, got {quoted(name)}")
    if not name.strip():
        raise UsageError(f"{argument}: expected a name that can be seen for {what}, got {quoted(name)}")
    if not is_showable(name):
        raise UsageError(
            f"{argument}: the name of {what}, {quoted(name)}, has control characters or is no UTF-8; rename it"
        )


def alike(names: Iterable[str]) -> list[list[str]]:
    """Returns the groups of different names that differ only in case, spaces, or the form of their letters.

    Example:
        >>> alike(["cat", "dog", "Cat", "hot  dog", "hot dog "])
        [['Cat', 'cat'], ['hot  dog', 'hot dog ']]
    """
    groups = collections.defaultdict(set)
    for name in names:
        groups[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].add(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def shown(text: str) -> str:
    """Returns text in one line, with whatever cannot be shown written as Python writes it."""
    return "".join(character if is_showable(character) else repr(character)[1:-1] for character in text)


def one_line(text: str, *, limit: int = 100) -> str:
    """Returns text in one line of at most `limit` characters; of longer text the middle is left out."""
    text = shown(text)
    return text if len(text) <= limit else f"{text[: limit // 2 - 2]} ... {text[3 - limit // 2 :]}"


def quoted(value: object, *, limit: int = 100) -> str:
    r"""Returns a value as `repr` writes it, in one line of at most `limit` characters.

    Example:
        >>> quoted("two\nlines"), quoted("x" * 200, limit=12)
        ("'two\\nlines'", "'xxx ... xx'")
    """
    return one_line(repr(value), limit=limit)

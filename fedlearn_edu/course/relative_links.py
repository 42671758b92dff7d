"""Takes out the links between notebooks that lead nowhere in a smaller selection of them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

_LINK = re.compile(r"\[([^\]\[]+)\]\((?!\w+:|#)([^()\s]+\.ipynb)\)")


def without_dead_links(source: str, exists: Callable[[str], bool], *, folder: str = "") -> str:
    """Returns Markdown in which a link to a notebook that does not exist is its plain text.

    Args:
      source: The text.
      exists: Tells whether there is a file of this path, relative to the folder above `folder`.
      folder: The folder of the notebook, such as "exercises".

    Example:
        >>> text = "see [00](../notebooks/00.ipynb) and [01](../notebooks/01.ipynb)"
        >>> without_dead_links(text, {"notebooks/01.ipynb"}.__contains__, folder="exercises")
        'see 00 and [01](../notebooks/01.ipynb)'
        >>> text = "then [01](01.ipynb), then [02](02.ipynb)"
        >>> without_dead_links(text, {"notebooks/01.ipynb"}.__contains__, folder="notebooks")
        'then [01](01.ipynb), then 02'
    """

    def kept(match: re.Match) -> str:
        return match[0] if exists(posixpath.normpath(posixpath.join(folder, match[2]))) else match[1]

    return _LINK.sub(kept, source)


def links_in(source: str) -> list[str]:
    """Returns the targets of all relative links to notebooks in a Markdown text, as they stand there."""
    return [target for _, target in _LINK.findall(source)]

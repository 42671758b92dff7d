"""Deadlines, the times at which work was handed in, and what is taken off for being late."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import re
import zoneinfo
from collections.abc import Mapping

from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError, nearest_names

_LOCAL = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}(?::\d{2})?)", re.ASCII)
_PENALTY = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%( ?/ ?day)?", re.ASCII | re.IGNORECASE)
_DAY = datetime.timedelta(days=1)
# "Mittwoch, 13. März 2024, 10:15", "Wednesday, September 23, 2020, 9:00 PM", "2025年 12月 2日(火曜日) 10:37".
_CLOCK = re.compile(
    r"(?<!\d)(\d{1,2})(?:[:h]|\.(?=\d\d\s*$))([0-5]\d)(?::[0-5]\d)?(?!\d)(?:\s*([ap])\.?\s?m\b\.?)?", re.IGNORECASE
)
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})(?:[-/.]|年\s*)(\d{1,2})(?:[-/.]|月\s*)(\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
# Languages of the month names that are tried; Moodle writes a date in the language of who exports it.
_LANGUAGES = (
    "en de fr es it pt nl ca gl eu da sv nb nn fi et lv lt pl cs sk sl hr sr hu ro bg uk ru el tr cy ga is mk sq bs az "
    "id ms vi hy ka he ar fa hi th ko"
)


@dataclasses.dataclass(frozen=True)
class Deadline:
    """When work was due.

    Attributes:
        moment: With its offset from UTC.
        zone: What times that name no zone are read in.
        zone_name: "Europe/Berlin", or an offset such as "UTC+01:00".
    """

    moment: datetime.datetime
    zone: datetime.tzinfo
    zone_name: str


def parse_deadline(text: str) -> Deadline:
    """Reads "2026-11-30 23:59 Europe/Berlin" or "2026-11-30T23:59+01:00".

    Raises:
        UsageError: It is no date with a time in a time zone, or a time that this zone has twice or never.
    """
    expected = 'expected such as "2026-11-30 23:59 Europe/Berlin" or "2026-11-30T23:59+01:00"'
    local, _, zone_name = text.strip().rpartition(" ")
    if not _LOCAL.fullmatch(local) or re.match(r"[+-]?\d", zone_name):
        moment = _iso(text.strip())
        if moment is None:
            raise UsageError(f"deadline: {expected}, got {clean(text, limit=60)!r}")
        if moment.tzinfo is None:
            raise UsageError(f"deadline: {clean(text, limit=60)!r} is in no time zone; {expected}")
        return Deadline(moment, moment.tzinfo, str(moment.tzinfo))
    if zone_name not in zoneinfo.available_timezones():
        hint = nearest_names(zone_name, zoneinfo.available_timezones()).partition("Known: ")[0].strip()
        raise UsageError(f"deadline: no time zone {clean(zone_name, limit=40)!r}; {hint or expected}")
    moment = _iso(local)
    if moment is None:
        raise UsageError(f"deadline: {expected}, got {clean(text, limit=60)!r}")
    zone = zoneinfo.ZoneInfo(zone_name)
    first, second = moment.replace(tzinfo=zone), moment.replace(tzinfo=zone, fold=1)
    if first.utcoffset() != second.utcoffset():
        often = "never" if first.utcoffset() < second.utcoffset() else "twice"
        raise UsageError(f"deadline: clocks change, {local} comes {often} in {zone_name}; give it with its offset")
    return Deadline(first, zone, zone_name)


def _iso(text: str) -> datetime.datetime | None:
    if not re.match(_LOCAL, text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def parse_time(text: str, zone: datetime.tzinfo) -> datetime.datetime | None:
    """An ISO date with a time; in `zone` if it has no offset. None if it is none."""
    moment = _iso(text.strip())
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=zone)


def read_stamps(texts: Mapping[str, str], zone: datetime.tzinfo) -> dict[str, datetime.datetime | None]:
    """Reads dates as an LMS writes them for people, in whatever language.

    One language is taken for all of them. If several fit and do not agree on a month, nothing is guessed.

    Args:
        texts: By student, such as "Mittwoch, 13. März 2024, 10:15".
        zone: What they are in, since they do not say.

    Returns:
        By student the moment, or None where nothing certain can be said.
    """
    stamps = {who: _Stamp.of(text) for who, text in texts.items()}
    named = [stamp for stamp in stamps.values() if stamp and not stamp.month]
    ranks = {language: [stamp.fit(language) for stamp in named] for language in _LANGUAGES.split()} if named else {}
    best = max(map(sum, ranks.values()), default=0)
    languages = [language for language, rank in ranks.items() if sum(rank) == best]
    moments = {}
    for who, stamp in stamps.items():
        found = {stamp.moment(language, zone) for language in languages or ["en"]} if stamp else set()
        moments[who] = found.pop() if len(found) == 1 else None
    return moments


def has_no_afternoon(texts: Mapping[str, str]) -> bool:
    """Whether three times or more are all from 1:00 to 12:59 and say neither am nor pm.

    Some languages of Moodle write a clock of 12 hours and leave out which half of the day it is.
    """
    clocks = [match for text in texts.values() for match in _CLOCK.finditer(text)]
    return len(clocks) >= 3 and all(1 <= int(clock[1]) <= 12 and not clock[3] for clock in clocks)


@dataclasses.dataclass(frozen=True)
class _Stamp:
    """A date and time, whose month may be a word."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> _Stamp | None:
        clocks = list(_CLOCK.finditer(text))
        if len(clocks) != 1:
            return None
        [clock] = clocks
        hour, minute = int(clock[1]), int(clock[2])
        if clock[3]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if clock[3].lower() == "p" else 0)
        date = text[: clock.start()] + " " + text[clock.end() :]
        if match := _YEAR_FIRST.search(date):
            return cls(*map(int, match.groups()), hour, minute, frozenset())
        if match := _DAY_FIRST.search(date):
            return cls(int(match[3]), int(match[2]), int(match[1]), hour, minute, frozenset())
        years, days = re.findall(r"(?<!\d)\d{4}(?!\d)", date), re.findall(r"(?<!\d)\d{1,2}(?!\d)", date)
        if len(years) != 1 or len(days) != 1:
            return None
        words = frozenset(re.findall(r"[^\W\d_]+", date.casefold()))
        return cls(int(years[0]), 0, int(days[0]), hour, minute, words)

    def fit(self, language: str) -> int:
        """0 = no month's name of this language is in it, 1 = one is, 2 = the name of the weekday is as well."""
        moment = self.moment(language, datetime.UTC)
        if moment is None:
            return 0
        return 1 + (not self.words.isdisjoint(_names(language, "days")[moment.weekday()]))

    def moment(self, language: str, zone: datetime.tzinfo) -> datetime.datetime | None:
        month = self.month
        if not month:
            found = [number for number, names in _names(language, "months").items() if names & self.words]
            if len(found) != 1:
                return None
            [month] = found
        try:
            return datetime.datetime(self.year, month, self.day, self.hour, self.minute, tzinfo=zone)
        except ValueError:
            return None


@functools.cache
def _names(language: str, what: str) -> dict[int, frozenset[str]]:
    """Names of "months" (from 1) or "days" (from 0, a Monday) as they stand in dates and alone."""
    from babel import Locale

    forms = [getattr(Locale.parse(language), what)[form]["wide"] for form in ("format", "stand-alone")]
    return {number: frozenset(form[number].casefold() for form in forms) for number in forms[0]}


@dataclasses.dataclass(frozen=True)
class Penalty:
    """What lateness costs.

    Attributes:
        share: Of the points that could be had, 0 to 1.
        per_day: Whether it is taken off once for each day that has begun.
    """

    share: float
    per_day: bool

    def of(self, delay: datetime.timedelta | None) -> float:
        """The share that is taken off, at most 1.

        Args:
            delay: Time after the deadline, above 0; None = late by nobody knows how much.
        """
        if not self.per_day or delay is None:
            return self.share
        return min(1.0, self.share * math.ceil(delay / _DAY))


def parse_penalty(text: str) -> Penalty:
    """Reads "10%/day" (for each day that has begun) or "10%" (once).

    Raises:
        UsageError: It is neither, or beyond 0 to 100.
    """
    match = _PENALTY.fullmatch(text.strip())
    if not match or float(match[1]) > 100:
        raise UsageError(f'late_penalty: expected "10%/day" or "10%", 0 to 100, got {clean(text, limit=40)!r}')
    return Penalty(float(match[1]) / 100, bool(match[2]))


def in_words(delay: datetime.timedelta) -> str:
    """How late, in the two largest units.

    Example:
        >>> in_words(datetime.timedelta(days=2, hours=3, minutes=5)), in_words(datetime.timedelta(seconds=9))
        ('2 days 3 h', 'less than a minute')
    """
    minutes = int(delay.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, " day" if days == 1 else " days"), (hours, " h"), (minutes, " min")]
    shown = [f"{count}{unit}" for count, unit in parts if count][:2]
    return " ".join(shown) or "less than a minute"

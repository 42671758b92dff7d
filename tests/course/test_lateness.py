"""Deadlines in a time zone, dates as people of many languages write them, and what lateness costs."""

import datetime
import pathlib

import pytest
from grading_problems import make_exercises, write

from fedlearn_edu.course.grading import Term, grade
from fedlearn_edu.course.grading.handed_in import judge, times_of
from fedlearn_edu.course.grading.lateness import (
    has_no_afternoon,
    in_words,
    parse_deadline,
    parse_penalty,
    parse_time,
    read_stamps,
)
from fedlearn_edu.course.grading.roster import NOTHING
from fedlearn_edu.course.grading.submissions import LATE_IN_CANVAS, Submission
from fedlearn_edu.errors import UsageError

BERLIN = "2026-11-30 23:59 Europe/Berlin"
UTC = datetime.UTC


def utc(*parts):
    return datetime.datetime(*parts, tzinfo=UTC)


def somebody(name, **fields):
    return Submission(name, name, "", "", (), identity=name, **fields)


@pytest.mark.parametrize(
    ("text", "moment", "zone"),
    [
        (BERLIN, utc(2026, 11, 30, 22, 59), "Europe/Berlin"),
        ("2026-07-01 23:59 Europe/Berlin", utc(2026, 7, 1, 21, 59), "Europe/Berlin"),
        ("2026-11-30T23:59:30 America/New_York", utc(2026, 12, 1, 4, 59, 30), "America/New_York"),
        ("2026-11-30T23:59+01:00", utc(2026, 11, 30, 22, 59), "UTC+01:00"),
        ("2026-11-30 23:59 -05:30", utc(2026, 12, 1, 5, 29), "UTC-05:30"),
        ("2026-11-30 23:59Z", utc(2026, 11, 30, 23, 59), "UTC"),
        ("2026-10-25 02:30+01:00", utc(2026, 10, 25, 1, 30), "UTC+01:00"),
    ],
)
def test_deadlines_that_are_understood(text, moment, zone):
    deadline = parse_deadline(text)
    assert (deadline.moment, deadline.zone_name) == (moment, zone)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-11-30 23:59", "'2026-11-30 23:59' is in no time zone; expected such as"),
        ("2026-11-30 23:59 Europe/Berln", "no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'"),
        ("2026-11-30 Europe/Berlin", "expected such as"),
        ("2026-02-30 23:59 Europe/Berlin", "expected such as"),
        ("30.11.2026 23:59 Europe/Berlin", "expected such as"),
        ("tomorrow", "expected such as"),
        ("", "expected such as"),
        ("2026-10-25 02:30 Europe/Berlin", "comes twice in Europe/Berlin; give it with its offset"),
        ("2026-03-29 02:30 Europe/Berlin", "comes never in Europe/Berlin; give it with its offset"),
    ],
)
def test_deadlines_that_are_refused_in_one_line(text, message):
    with pytest.raises(UsageError, match=r"^deadline: ") as caught:
        parse_deadline(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As Moodle wrote them in worksheets and language packs.
        ("Mittwoch, 13. März 2024, 10:15", (2024, 3, 13, 10, 15)),
        ("Wednesday, 10 June 2026, 2:14 PM", (2026, 6, 10, 14, 14)),
        ("Wednesday, September 23, 2020, 9:00 PM", (2020, 9, 23, 21, 0)),
        ("Thursday, 1 January 2026, 12:05 AM", (2026, 1, 1, 0, 5)),
        ("Thursday, 1 January 2026, 12:05 PM", (2026, 1, 1, 12, 5)),
        ("mardi 2 décembre 2025, 10:37", (2025, 12, 2, 10, 37)),
        ("martes, 2 de diciembre de 2025, 10:37", (2025, 12, 2, 10, 37)),
        ("martedì, 2 dicembre 2025, 10:37", (2025, 12, 2, 10, 37)),
        ("dinsdag, 2 december 2025, 10:37", (2025, 12, 2, 10, 37)),
        ("tiistai, 2. joulukuuta 2025, 10.37", (2025, 12, 2, 10, 37)),
        ("Вторник, 2 декабря 2025, 10:37", (2025, 12, 2, 10, 37)),
        ("2025年 12月 2日(火曜日) 10:37", (2025, 12, 2, 10, 37)),
        ("2.12.2025 10:37", (2025, 12, 2, 10, 37)),
        # "listopada" is November in Polish and October in Croatian: the weekday's name tells.
        ("środa, 12 listopada 2025, 10:37", (2025, 11, 12, 10, 37)),
        ("nedjelja, 12. listopada 2025., 10:37", (2025, 10, 12, 10, 37)),
        # Nothing is guessed.
        ("12 listopada 2025, 10:37", None),
        ("12/02/2025 10:37", None),
        ("Quark 12 Foo 2025 10:37", None),
        ("29 February 2025, 10:00", None),
        ("13:00 PM, 2 June 2026", None),
        ("2 June 2026", None),
        ("2 June 2026, 10:00 - 11:00", None),
        ("late", None),
    ],
)
def test_dates_of_many_languages(text, expected):
    expected = expected and datetime.datetime(*expected, tzinfo=UTC)
    assert read_stamps({"ada": text}, UTC) == {"ada": expected}


def test_one_language_is_taken_for_all_dates_and_one_bad_date_spoils_no_other():
    zone = parse_deadline(BERLIN).zone
    found = read_stamps({"ada": "12 listopada 2025, 10:37", "eva": "wtorek, 2 grudnia 2025, 00:01", "bo": "?"}, zone)
    assert found["ada"] == utc(2025, 11, 12, 9, 37)
    assert found["eva"] == utc(2025, 12, 1, 23, 1)
    assert found["bo"] is None


def test_a_clock_that_may_lack_the_half_of_the_day_is_noticed():
    three = {"a": "2 maj 2026, 11:00", "b": "2 maj 2026, 02:14", "c": "3 maj 2026, 12:59"}
    assert has_no_afternoon(three)
    assert not has_no_afternoon(three | {"d": "3 maj 2026, 13:00"})
    assert not has_no_afternoon(three | {"d": "3 maj 2026, 00:10"})
    assert not has_no_afternoon(three | {"d": "3 May 2026, 2:14 PM"})
    assert not has_no_afternoon(dict(list(three.items())[:2]))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "less than a minute"), (60, "1 min"), (3_661, "1 h 1 min"), (86_400, "1 day"), (183_900, "2 days 3 h"),
     (172_900, "2 days 1 min")],
)  # fmt: skip
def test_how_late_in_words(seconds, words):
    assert in_words(datetime.timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("penalty", "hours", "share"),
    [("10%", 1, 0.1), ("10%", 100, 0.1), ("10%/day", 1, 0.1), ("10%/day", 24, 0.1), ("10 % / DAY", 24.1, 0.2),
     ("10%/day", 24 * 30, 1.0), ("2.5%/day", 49, 0.075), ("0%", 5, 0.0), ("100%", 5, 1.0)],
)  # fmt: skip
def test_penalties(penalty, hours, share):
    assert parse_penalty(penalty).of(datetime.timedelta(hours=hours)) == pytest.approx(share)


@pytest.mark.parametrize("text", ["10", "10%/week", "-5%", "101%", "", "ten %", "1e1%", "\u0661\u0660%"])
def test_penalties_that_are_refused(text):
    with pytest.raises(UsageError, match=r'^late_penalty: expected "10%/day" or "10%"'):
        parse_penalty(text)


def test_what_is_said_of_a_late_submission():
    deadline, penalty = parse_deadline(BERLIN), parse_penalty("10%/day")
    late = judge(somebody("ada"), utc(2026, 12, 2, 23, 4), deadline, penalty)
    assert late.late == "2 days 5 min; 30 % of the points that could be had are taken off"
    assert late.late_share == pytest.approx(0.3)
    assert judge(somebody("ada"), utc(2026, 12, 2, 23, 4), deadline, None).late == "2 days 5 min"
    # The minute of the deadline itself is in time, and a time is believed before Canvas's mark.
    on_time = judge(somebody("ada", late=LATE_IN_CANVAS), utc(2026, 11, 30, 22, 59), deadline, penalty)
    assert (on_time.late, on_time.late_share) == ("", 0.0)
    assert judge(somebody("ada"), None, deadline, penalty).late == ""
    marked = somebody("ada", late=LATE_IN_CANVAS)
    flat = judge(marked, None, None, parse_penalty("20%"))
    assert (flat.late, flat.late_share) == (
        "as Canvas says; 20 % of the points that could be had are taken off", 0.2
    )  # fmt: skip
    with pytest.raises(UsageError, match="late_penalty: Canvas says that ada is late, not how late"):
        judge(marked, None, None, penalty)


def table(tmp_path, text):
    path = tmp_path / "times.csv"
    path.write_text(text, encoding="utf-8")
    return path


def times(tmp_path, text, *names, said=None):
    given = [somebody(name) for name in names]
    given.append(somebody("absent", instead=NOTHING))
    options = {"worksheet": None, "rows": {}, "said": [] if said is None else said}
    handed_in = table(tmp_path, text) if text else None
    return times_of(given, parse_deadline(BERLIN), handed_in=handed_in, **options)


def test_a_table_of_times(tmp_path):
    said = []
    text = '\ufefftime,Student\n2026-12-01 08:30,"Ada, née B"\n2026-12-01T08:30Z,Ben\n\n-,absent\n'
    found = times(tmp_path, text, "Ada, née B", "Ben", "Cy", said=said)
    assert found == {"Ada, née B": utc(2026, 12, 1, 7, 30), "Ben": utc(2026, 12, 1, 8, 30)}
    assert said == ["no time of submission, so taken for on time unless Canvas says late: 1 (Cy)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student,when\nada,2026-12-01 08:30\n", 'expected the columns "student" and "time"; found student, when'),
        ("student,time\nada,1.12.2026\n", "row 2: expected a time such as .* for ada, got '1.12.2026'"),
        ("student,time\nada,\n", "row 2: expected a time such as .* for ada, got ''"),
        ("student,time\nada,2026-12-01 08:30\nada,2026-12-01 08:31\n", "ada is there twice"),
        ("student,time\nzoe,2026-12-01 08:30\n", "row 2: nobody in this batch is called 'zoe'"),
        ("student,time\nabsent,2026-12-01 08:30\n", "row 2: absent handed in nothing"),
        ("student,time,time\nada,2026-12-01 08:30,\n", "the column 'time' is there twice; leave one in"),
        ("student,time\nben, ada,2026-12-01 08:30\n", "row 2 has 3 cells, its header 2; what holds a ','"),
        ("", "deadline: nothing tells when work was handed in; give --moodle-worksheet or --handed-in"),
    ],
)
def test_tables_of_times_that_are_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        times(tmp_path, text, "ada", "ben")
    assert "\n" not in str(caught.value)


def test_names_in_the_table_of_times_are_read_as_in_the_overrides(tmp_path):
    text = "student,time\n zoe\u0308  M\u00dcLLER ,2026-12-01 08:30\n'=bo,2026-12-01 08:31\n"
    assert set(times(tmp_path, text, "Zo\u00eb M\u00fcller", "=bo")) == {"Zo\u00eb M\u00fcller", "=bo"}


@pytest.mark.parametrize(
    ("due", "handed_in", "words", "days"),
    [
        # In the night to 25 October clocks in Berlin go back at 3:00, in that to 29 March forward at 2:00.
        ("2026-10-24 23:59", "2026-10-25 23:58", "1 day 59 min", 1),
        ("2026-10-24 23:59", "2026-10-26 00:00", "1 day 1 h", 2),
        ("2026-03-28 23:59", "2026-03-30 00:30", "23 h 31 min", 1),
        ("2026-03-28 23:59", "2026-03-30 01:00", "1 day 1 min", 2),
        ("2026-03-29 01:59", "2026-03-29 03:01", "2 min", 1),
        ("2026-10-24 12:00", "2026-10-31 12:00", "7 days 1 h", 7),
        ("2026-10-23 12:00", "2026-10-24 12:00", "1 day", 1),
    ],
)
@pytest.mark.parametrize("as_utc", [False, True])
def test_a_day_on_which_clocks_change_costs_no_student_more(due, handed_in, words, days, as_utc):
    deadline = parse_deadline(f"{due} Europe/Berlin")
    moment = parse_time(handed_in, deadline.zone)
    moment = moment.astimezone(UTC) if as_utc else moment
    late = judge(somebody("ada"), moment, deadline, parse_penalty("10%/day"))
    assert late.late == f"{words}; {10 * days} % of the points that could be had are taken off"
    assert late.late_share == pytest.approx(days / 10)


@pytest.mark.parametrize(
    ("due", "handed_in", "days"),
    [
        ("23:59", "2026-11-30 23:59:59", 0),
        ("23:59", "2026-12-01 00:00:00", 1),
        ("23:59", "2026-12-01 23:59:59.9", 1),
        ("23:59", "2026-12-02 00:00", 2),
        ("23:59:30", "2026-11-30 23:59:30", 0),
        ("23:59:30", "2026-11-30 23:59:31", 1),
    ],
)
def test_a_deadline_holds_for_its_whole_minute_unless_it_has_seconds(due, handed_in, days):
    deadline = parse_deadline(f"2026-11-30 {due} Europe/Berlin")
    late = judge(somebody("ada"), parse_time(handed_in, deadline.zone), deadline, parse_penalty("10%/day"))
    assert late.late_share == pytest.approx(days / 10)
    assert bool(late.late) == bool(days)


def test_a_total_that_only_lateness_moved_is_told_and_in_the_table_of_changes(tmp_path):
    folder = write(tmp_path / "in", {f"{name}.ipynb": b"" for name in ("ada", "ben")})
    own = tmp_path / "own.csv"
    own.write_text("student,exercise,points,reason\nada,90.weighted_mean,5,x\nben,90.weighted_mean,5,x\n")
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    options = {"output": tmp_path / "g.csv", "exercises": only, "memory_gb": 1.0, "progress": False, "resume": True}
    first = grade(folder, overrides=own, **options)
    assert first.changes == ()
    own.write_text("student,exercise,points,reason\nada,90.weighted_mean,5,x\nben,90.weighted_mean,4,x\n")
    late = table(tmp_path, "student,time\nada,2026-12-01 08:30\nben,2026-12-01 08:30\n")
    again = grade(folder, term=Term(deadline=BERLIN, handed_in=late, late_penalty="25%"), **options)
    assert "changed: ada 5 -> 3.5 (for lateness); ben 5 -> 2.5 (1 exercise)" in again.remarks
    lines = (tmp_path / "g_changes.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    assert [line.partition(",")[2] for line in lines] == [
        "ada,total,5,3.5,,", "ben,90.weighted_mean,5,4,unreadable,unreadable", "ben,total,5,2.5,,",
    ]  # fmt: skip
    # Whoever changes her mind need not begin anew.
    ended = grade(folder, term=Term(deadline="", handed_in=pathlib.Path(""), late_penalty=""), **options)
    assert "not any more: --deadline, --handed-in, --late-penalty" in ended.remarks
    assert (ended.total("ada"), ended.total("ben")) == (5, 4)
    assert not any("--late-penalty" in line for line in grade(folder, **options).remarks)


def test_times_without_a_zone_are_the_deadlines():
    zone = parse_deadline(BERLIN).zone
    assert parse_time("2026-07-01 12:00", zone) == utc(2026, 7, 1, 10)
    assert parse_time("2026-07-01 12:00+00:00", zone) == utc(2026, 7, 1, 12)
    assert parse_time("2026-07-01", zone) is None

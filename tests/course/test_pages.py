"""What a student reads and what a teacher sees of the class: right, short, and nothing on it can run."""

import dataclasses
import html.parser
import pathlib
import re
import shutil
import urllib.parse

import playwright.sync_api
import pytest
from grading_problems import make_exercises, notebook, write
from lab import CHROMIUM_FLAGS
from small_batch import TITLES, case, make_result, mark, small_class, submission

from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.answers import Answer, make_page
from fedlearn_edu.course.grading.feedback import make_pages, merged
from fedlearn_edu.course.grading.overview import make_overview
from fedlearn_edu.course.grading.worksheets import Question

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href='javascript:alert(1)'>x</a>"
    "<style>*{background:url(http://x)}</style>--></pre></title>"
)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "ol", "ul", "li", "a", "div", "table",
    "thead", "tbody", "tr", "th", "td", "span", "section", "details", "summary", "strong", "em", "code", "br", "pre",
    "svg", "rect", "line", "text", "dl", "dt", "dd",
}  # fmt: skip


class Page(html.parser.HTMLParser):
    """The tags, links and headings of a page, and its text."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.headings, self.ids, self.texts, self._open = [], [], [], set(), [], ""
        self.feed(source)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids |= {value for name, value in attrs if name == "id"}
        self._open = tag
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data):
        if self._open not in ("style", "title"):
            self.texts.append(data)

    def check(self):
        """Raises AssertionError unless nothing in it can run, and its links and headings are in order."""
        assert set(self.tags) <= TAGS, set(self.tags) - TAGS
        assert self.tags.count("style") == self.tags.count("title") == self.tags.count("h1") == 1
        for name, value in self.attributes:
            assert not name.startswith("on"), name
            assert name not in ("src", "style", "action", "srcdoc", "background"), name
            if name == "href":
                assert value.startswith("#"), value
                assert value[1:] in self.ids, f"{value} leads nowhere"
        policies = [value for name, value in self.attributes if name == "content" and "default-src 'none'" in value]
        assert len(policies) == 1
        assert "unsafe" not in policies[0]
        assert all(b - a <= 1 for a, b in zip(self.headings, self.headings[1:], strict=False)), self.headings
        return self


def pages_of(result):
    """By student: pages are made in the order of the submissions."""
    made = make_pages(result, pathlib.Path("f")).values()
    return {one.student: text for one, text in zip(result.submissions, made, strict=True)}


def question(**fields):
    plain = {"key": "k", "lesson": "98", "exercise_id": "98.weighted_mean", "number": 1, "kind": "markdown",
             "text": "## Why?\n\nSay it in\nyour own words.", "prompt": "*Here.*", "model": ""}  # fmt: skip
    return Question(**plain | fields)


# The student's page


def test_a_page_begins_with_what_to_do_and_shows_what_is_wrong_before_what_is_right():
    page = Page(pages_of(small_class())["Zo\u00eb"]).check()
    order = [
        "Feedback for Zo\u00eb", "3.5 of 10 points", "0 of 3 exercises passed", "Graded 2026-11-28 21:00 UTC",
        "Handed in late: 2 days 3 h", "Zo\u00eb/98_toy.ipynb", "What to do first", "All exercises", "Lesson 98",
        "98.weighted_mean", "1.25 of 5", "failed", "Lesson 99", "crashed",
    ]  # fmt: skip
    places = [page.text.find(words) for words in order]
    assert min(places) >= 0, order[places.index(-1)]
    assert places[:9] == sorted(places[:9])
    assert page.headings[0] == 1
    assert {f"exercise-{id.replace('.', '-')}" for id in TITLES} == page.ids
    assert "Set by the teacher: late, as agreed" in page.text
    assert "It goes wrong as this known mistake does: flipped sign" in page.text


def test_who_has_everything_right_has_nothing_to_do():
    page = Page(pages_of(small_class())["Ada"]).check()
    assert "Nothing: everything is right." in page.text
    assert page.text.count("98.weighted_mean") == 2, "in the table, and in the one line of what passed"
    assert "details" not in page.tags


def test_a_missing_notebook_is_one_thing_to_do():
    page = Page(pages_of(small_class())["Cy"]).check()
    assert page.text.count("nothing was handed in") == 1, "one reason for all of two lessons"
    assert "Your functions ran" not in page.text
    assert all(id in page.text for id in TITLES)
    rows = {"Ada": [mark(id, "missing", 0.0, f"no notebook of {id[:2]}") for id in TITLES]}
    page = Page(pages_of(make_result(rows))["Ada"]).check()
    assert page.tags.count("li") == 2, "lessons 98 and 99"
    assert page.text.count("no notebook of 98") == 2, "first things to do and the lesson's own line"


def test_what_the_teacher_gave_all_points_for_is_settled():
    wrong = [case(problem="8 entries are wrong")]
    rows = {
        "Ada": [
            mark("98.weighted_mean", "failed", 5.0, "8 entries are wrong", wrong, override="my mistake"),
            mark("98.upload_bytes", "missing", 2.0, "no function", override="was in another file"),
            mark("99.clip", "failed", 2.0, "off by one", override="as agreed"),
        ]
    }
    result = make_result(rows, mistakes={("Ada", "98.weighted_mean"): "flipped sign"})
    page = Page(pages_of(result)["Ada"]).check()
    first = page.text[page.text.index("What to do first") : page.text.index("All exercises")]
    assert first == "What to do first 99.clip : off by one ", "part of the points is not settled"
    for words in ("8 entries", "no function", "flipped sign", "Hand in the notebook"):
        assert words not in page.text
    for words in ("Set by the teacher: my mistake.", "set by the teacher: was in another file"):
        assert words in page.text
    page = Page(pages_of(make_result({"Ada": rows["Ada"][:2]}))["Ada"]).check()
    assert "Nothing: everything is right, or settled by the teacher." in page.text


def test_files_are_called_as_their_student_called_them():
    ada, zoe = submission("Ada", lms_id="11"), submission("Zoe")
    rows = {one: [mark("99.clip", "passed", 3.0)] for one in (ada, zoe)}
    path = "Ada_11_assignsubmission_file_/deep/99_toy.ipynb"
    sources = {"Ada": {"99": path, "98": "Ada_11_assignsubmission_file_98_toy.ipynb"}, "Zoe": {"99": path}}
    pages = pages_of(make_result(rows, sources=sources))
    assert "<code>deep/99_toy.ipynb</code>, <code>98_toy.ipynb</code>" in pages["Ada"]
    assert f"<code>{path}</code>" in pages["Zoe"], "no LMS gave it that name"


def test_variants_of_a_case_are_told_once():
    cases = [
        case("one client", problem="wrong sign", got="7.25"), case("no client", passed=True), case("many", passed=True),
        case("one client", problem="wrong sign", got="8.25"), case("no client", problem="None", got="9.25"),
        case("many", passed=True),
    ]  # fmt: skip
    entries = [(one.name, one.wrong, one.tries, one.example["got"]) for one in merged(cases)]
    assert entries == [("one client", 2, 2, "7.25"), ("no client", 1, 2, "9.25"), ("many", 0, 2, "0.5")]
    result = make_result({"Ada": [mark("98.weighted_mean", "failed", 1.0, "wrong sign", cases)]})
    page = Page(pages_of(result)["Ada"]).check()
    assert page.text.count("one client: wrong in 2 of 2 tries") == page.text.count("7.25") == 1
    assert "no client: wrong in 1 of 2 tries" in page.text
    assert "8.25" not in page.text
    assert "Right: many." in page.text
    assert [name for name, _ in page.attributes].count("open") == 1, "the first wrong case is open, the rest folded"
    for words in ("deltas [1] sizes [2]", "got 7.25", "hint Who counts for more?"):
        assert words in page.text


def test_two_of_one_name_each_have_their_own_page_whoever_else_hands_in():
    first, second = (
        submission("Zo\u00eb M\u00fcller"),
        submission("Zo\u00eb M\u00fcller (2)", name="Zo\u00eb M\u00fcller"),
    )
    other = submission("Zo\u00e9 M\u00fcller")
    rows = {
        first: [mark("99.clip", "passed", 3.0)],
        second: [mark("99.clip", "failed", 1.0)],
        other: [mark("99.clip", "failed", 2.0)],
    }
    pages = make_pages(make_result(rows), pathlib.Path("f"))
    assert len({path.name.casefold() for path in pages}) == 3
    told = {Page(text).text.partition(" points")[0] for text in pages.values()}
    assert told == {
        "Feedback for Zo\u00eb M\u00fcller 3 of 3", "Feedback for Zo\u00eb M\u00fcller (2) 1 of 3",
        "Feedback for Zo\u00e9 M\u00fcller 2 of 3",
    }  # fmt: skip
    [alone] = make_pages(make_result({second: rows[second]}), pathlib.Path("f"))
    assert "(2)" in pages[alone], "the file of one never becomes another's"


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        (
            "def weighted_mean(values, weights):\n    if len(values) == 4:\n        while True:\n            pass\n"
            "    return float(np.average(values, weights=weights))",
            "timeout",
            ["no answer within 1 s: is there a loop that never ends?", "weighted_mean, code cell 2, line",
             "Without an answer: 4 clients; 7 clients.", "Right: 3 clients."],
        ),
        ("while True:\n    weighted_mean = 1", "timeout", ["it was in code cell 2, line"]),
        ("import os\ndef weighted_mean(values, weights):\n    os._exit(1)", "crashed",
         ["the process ended before it answered (exit code 1)", "os._exit()"]),
    ],
)  # fmt: skip
def test_what_ended_a_function_is_said_once_with_what_to_look_for(tmp_path, source, status, words):
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    folder = write(tmp_path / "in", {"ada/90.ipynb": notebook(weighted_mean=source)})
    result = grade(folder, output=tmp_path / "g.csv", exercises=only, timeout=1.0, memory_gb=1.0, progress=False)
    assert result.marks["ada"][0].status == status
    page = Page(pages_of(result)["ada"]).check()
    for text in words:
        assert text in page.text, page.text
    assert page.text.count("no answer within") <= 2, "in what to do first, and in its own place"
    assert "wrong" not in page.text
    assert "Divide by the weights" not in page.text, "no hint fits what was never answered"
    assert re.search(r"Graded \d{4}-\d\d-\d\d \d\d:\d\d \w+", page.text)
    assert "ada/90.ipynb" in page.text


def test_a_function_that_asks_for_input_is_told_so(tmp_path):
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    source = "def weighted_mean(values, weights):\n    return float(input('mean? '))"
    folder = write(tmp_path / "in", {"ada/90.ipynb": notebook(weighted_mean=source)})
    result = grade(folder, output=tmp_path / "g.csv", exercises=only, memory_gb=1.0, progress=False)
    [mark] = result.marks["ada"]
    assert mark.message == (
        "asks for keyboard input; nobody can type here (in weighted_mean, code cell 2, line 2)"
    )  # fmt: skip
    assert "EOF" not in Page(pages_of(result)["ada"]).check().text


# Nothing runs


def nasty_result(text):
    rows = {
        submission(text): [
            mark("98.weighted_mean", "failed", 1.0, text, [case(text, problem=text, got=text, hint=text)], text),
            mark("98.upload_bytes", "missing", 0.0, text),
        ],
        submission("Bo"): [
            mark("98.weighted_mean", "timeout", 0.0, text, [case(text, answered=False)]),
            mark("98.upload_bytes", "passed", 2.0, override=text),
        ],
    }
    rows[next(iter(rows))][0].cases[0]["arguments"] = [[text, text]]
    return make_result(rows, mistakes={(text, "98.weighted_mean"): text}, sources={text: {"98": text}})


def all_pages(text):
    result = nasty_result(text)
    asked = [question()]
    answers = [Answer(text, "98.answer_1", "98.weighted_mean", "answered", text),
               Answer("Bo", "98.answer_1", "98.weighted_mean", "empty", "")]  # fmt: skip
    return [*pages_of(result).values(), make_overview(result), make_page(answers, asked)]


def test_what_anyone_wrote_is_text():
    for source in all_pages(NASTY):
        page = Page(source).check()
        assert "<script>alert(1)</script><img src=x onerror=alert(1)>" in page.text
    for source in all_pages("\u202ea\x00b\x1b[31m\ud800"):
        assert not re.search("[\x00\x1b\u202e\ud800]", source)
        source.encode()


def test_huge_texts_make_no_huge_pages():
    long = "x" * 1_000_000
    result = nasty_result(long)
    assert all(len(source) < 60_000 for source in pages_of(result).values())
    assert len(make_overview(result)) < 60_000


# The class


def test_the_tables_of_a_small_class():
    result = small_class()
    marks = result.marks_table()
    assert len(marks) == 12
    assert list(marks.iloc[3]) == [
        "Zo\u00eb", "98", "98.weighted_mean", "The weighted mean", "failed", 1.25, 5, 0.25, "8 of 8 entries are wrong",
        "flipped sign", "",
    ]  # fmt: skip
    assert list(marks["set_by_teacher"].unique()) == ["", "late, as agreed"]
    exercises = result.exercises_table().set_index("exercise")
    assert list(exercises.index) == list(TITLES)
    assert dict(exercises.loc["98.weighted_mean"]) == {
        "title": "The weighted mean", "students": 4, "passed": 1, "passed_share": 0.25, "mean_points": 6.25 / 4,
        "max_points": 5, "common_messages": (("8 of 8 entries are wrong", 2),),
        "common_mistakes": (("flipped sign", 2),),
    }  # fmt: skip
    assert exercises.loc["98.upload_bytes", "common_messages"] == (("the number is wrong", 1),), "todo is no message"
    assert exercises.loc["99.clip", "common_messages"] == (("raised KeyError: 'a'", 2),), "wherever it was"
    students = result.students_table()
    assert students.drop(columns="share").to_numpy().tolist() == [
        ["Ada", "11", 10.0, 10, 3, 0, 0, 0, 3, ""],
        ["Zo\u00eb", "12", 3.5, 10, 0, 3, 0, 0, 3, "2 days 3 h"],
        ["Bo", "", 0.0, 10, 0, 2, 1, 0, 3, ""],
        ["Cy", "", 0.0, 10, 0, 0, 0, 3, 3, ""],
    ]
    assert list(students["share"]) == [1.0, 0.35, 0.0, 0.0]


def test_only_the_three_commonest_messages_stand_in_a_row():
    problems = ["a", "b", "b", "c", "c", "c", "d", "d", "d", "d"]
    rows = {f"s{n}": [mark("99.clip", "failed", 0.0, text)] for n, text in enumerate(problems)}
    [row] = make_result(rows).exercises_table()["common_messages"]
    assert row == (("d", 4), ("c", 3), ("b", 2))


def test_the_class_at_a_glance():
    source = make_overview(small_class())
    page = Page(source).check()
    assert "4 students, 3 exercises: mean 3.38, median 1.75 of 10 points." in page.text
    assert "1 of 4 (25 %)" in page.text
    assert "8 of 8 entries are wrong : 2" in page.text or "8 of 8 entries are wrong: 2" in page.text
    assert "flipped sign: 2" in page.text
    assert "raised KeyError: 'a': 2" in page.text
    groups = page.text[page.text.index("Who needs help") : page.text.index("Exercises")]
    assert groups == (
        "Who needs help no readable notebook Cy 0 points Bo least points, less than half Zo\u00eb (3.5 of 10) "
    )
    cells = re.findall(r'<td class="mark ([a-z]*)[^"]*" title="[^"]*">([^<]*)<', source)
    assert cells == [
        ("passed", "\u2713"), ("passed", "\u2713"), ("passed", "\u2713"),
        ("wrong", "\u2717 1.25"), ("wrong", "\u2717 1.25"), ("wrong", "\u2717 1"),
        ("wrong", "\u2717"), ("", "\u25cb"), ("wrong", "\u2717"),
        ("", "-"), ("", "-"), ("", "-"),
    ]  # fmt: skip
    bars = [float(size) for size in re.findall(r'<rect [^>]*height="([\d.]+)"', source)]
    assert bars == [110, 0, 0, 55, 0, 0, 0, 0, 0, 55], "two at 0 %, one at 35 %, one at 100 %"
    assert "0 to 10 %: 2; 30 to 40 %: 1; 90 to 100 %: 1" in source
    assert "Set by the teacher: late, as agreed" in source
    assert "href" not in source, "no pages were made"


def test_a_function_that_is_not_found_was_handed_in_all_the_same():
    lost = [mark(id, "missing", 0.0, "no function of this name") for id in TITLES]
    rows = {"Ada": lost, "Bo": [*lost[:2], mark("99.clip", "passed", 3.0)],
            "Cy": [mark(id, "missing", 0.0, "nothing was handed in") for id in TITLES]}  # fmt: skip
    sources = {"Ada": {"98": "a", "99": "a"}, "Bo": {"98": "b", "99": "b"}}
    result = make_result(rows, sources=sources)
    text = Page(make_overview(result)).check().text
    assert text[text.index("Who needs help") : text.index("Exercises")] == (
        "Who needs help no readable notebook Cy 0 points Ada least points, less than half Bo (3 of 10) "
        "functions not found in the notebook Ada (3 of 3), Bo (2 of 3) "
    )
    assert "Your functions ran" not in pages_of(result)["Ada"]
    assert "Your functions ran" in pages_of(result)["Bo"]


def test_lateness_and_what_it_costs_stand_beside_the_total():
    late = "2 days 3 h; 10 % of the points that could be had are taken off"
    rows = {
        dataclasses.replace(submission("Ada", late=late), late_share=0.1): [mark("98.weighted_mean", "passed", 5.0)],
        submission("Bo", late="as Canvas says"): [mark("98.weighted_mean", "passed", 5.0)],
    }
    source = make_overview(make_result(rows))
    totals = re.findall(r'<td class="number">(\S+) <span class="quiet" title="([^"]*)">([^<]*)</span></td>', source)
    assert totals == [("4.5", late, "late 2 days 3 h, -0.5"), ("5", "as Canvas says", "late as Canvas says")]
    assert "late 2 days 3 h</span>" in make_overview(small_class()), "nothing was taken off"


def test_a_name_in_the_class_leads_to_its_page(tmp_path):
    result = small_class()
    for output, folder in (("grades_overview.html", "feed back"), ("out/grades_overview.html", "pages")):
        files = {"overview": tmp_path / output, "feedback": tmp_path / folder}
        source = make_overview(dataclasses.replace(result, files=files))
        links = dict(re.findall(r'<a href="([^"]*)">([^<]*)</a>', source))
        found = {
            (files["overview"].parent / urllib.parse.unquote(link)).resolve(): name for link, name in links.items()
        }
        assert set(found) == set(make_pages(result, files["feedback"]))
        assert set(found.values()) == set(result.marks)


def test_a_class_of_nobody_has_a_page():
    assert "Nothing was graded" in Page(make_overview(make_result({}))).check().text


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser (Debian: apt-get install chromium)")
def test_on_a_phone_no_page_scrolls_sideways_and_no_policy_is_broken(tmp_path):
    long = "averylongnamewithoutanyspaces" * 12
    sources = [*all_pages(NASTY), *all_pages(long), *pages_of(small_class()).values(), make_overview(small_class())]
    said = []
    with playwright.sync_api.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        for number, source in enumerate(sources):
            path = tmp_path / f"{number}.html"
            path.write_text(source, encoding="utf-8")
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 400, source[:300]
            # The style sheet is the one the policy names: else everything would be black on white in a serif font.
            assert "system-ui" in page.evaluate("getComputedStyle(document.body).fontFamily")
        browser.close()
    assert said == []

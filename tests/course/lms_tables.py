"""Tables as Moodle and Canvas export them, with made-up people, and graded batches to put into them."""

import pathlib

from fedlearn_edu.course.grading import GradingResult
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.roster import NOTHING

# Moodle quotes what holds a space or a comma and begins with a byte order mark; lines may end either way.
MOODLE = (
    '\ufeffIdentifier,"Full name","ID number","Email address",Status,Grade,"Maximum Grade","Grade can be changed",'
    '"Last modified (submission)","Online text","Last modified (grade)","Feedback comments"\r\n'
    '"Participant 4018","Lovelace, Ada",K12345678,ada@uni.example,"Submitted for grading -  - ",,20.00,Yes,'
    '"Monday, 30 November 2026, 9:14 PM","He said ""=1+1"",\r\nand went",-,\r\n'
    '"Participant 4019","Zoë Müller",K12345679,zoe@uni.example,"Submitted for grading - 2 days late -  - ",7.50,20.00,'
    'Yes,"Thursday, 3 December 2026, 1:15 AM",,"Friday, 4 December 2026, 8:00 AM","Well begun."\r\n'
    '"Participant 4020","O\'Brien, =Bo",K12345680,bo@uni.example,"No submission -  - ",,20.00,Yes,-,,-,\r\n'
)
GERMAN = (
    'ID,"Vollständiger Name",ID-Nummer,E-Mail-Adresse,Status,Bewertung,Bestwertung,"Bewertung kann geändert werden",'
    '"Zuletzt geändert (Abgabe)","Zuletzt geändert (Bewertung)","Feedback als Kommentar"\n'
    'Teilnehmer/in4018,"Ada Lovelace",12345678,k@jku.example,"Zur Bewertung abgegeben","13,50","24,00",Ja,'
    '"Montag, 30. November 2026, 21:14","Mittwoch, 2. Dezember 2026, 19:59",\n'
    'Teilnehmer/in4019,"fdsa ölkjh,g",87654321,l@jku.example,"Zur Bewertung abgegeben",,"24,00",Ja,'
    '"Donnerstag, 3. Dezember 2026, 01:15",-,\n'
)
# Marked blind: no names; marking workflow and a column of groups; no submission plugin, so one date only.
BLIND = (
    "Identifier,Status,Group,Grade,Maximum grade,Marking workflow state,Grade can be changed,Last modified (grade)\n"
    "Participant 4018,Submitted for grading,,,100.00,Not marked,Yes,-\n"
    "Participant 4019,Submitted for grading,,,100.00,Not marked,Yes,-\n"
    "Participant 4020,Submitted for grading,,,100.00,Not marked,Yes,-\n"
)
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Notes,Warm-up (1233),FL exercises (1234),Current Score,Final Score\r\n"
    ",,,,,,Manual Posting,,,\r\n"
    "    Points Possible,,,,,,5.00,10.00,(read only),(read only)\r\n"
    '"Lovelace, Ada",1001,S1,ada,"FL101, and FL102",,5.00,,88.00,88.00\r\n'
    '"García Márquez, José",1002,S2,=jose,FL101,,,4.50,"70,5",70.00\r\n'
    '"Hopper, Grace",1003,S3,grace,FL101,,N/A,EX,,\r\n'
    '"Müller, Zoë",1004,S4,zoe,FL101,"likes ""quotes""",,N/A,,\r\n'
    '"Student, Test",1999,,5a105e8b9d40e1329780d62ea2265d8a,FL101,,,,,\r\n'
)


def put(folder: pathlib.Path, text: str, name: str = "table.csv") -> pathlib.Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def graded(submissions, points: dict, *, possible: int = 8, status: str = "passed") -> GradingResult:
    """A batch of two exercises; half of the points for each."""
    marks = {}
    for one in submissions:
        earned = points.get(one.student, 0.0)
        state = "missing" if one.instead == NOTHING else "failed" if earned < possible else status
        first = Mark("90.a", "A", state, earned / 2, possible // 2, "" if state == "passed" else "a & <b> is wrong")
        marks[one.student] = (first, Mark("90.b", "B", status, earned / 2, possible // 2))
    return GradingResult(tuple(submissions), marks, 1, "limits", {}, 0, 0.0, {})

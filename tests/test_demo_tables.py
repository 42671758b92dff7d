"""`fedlearn-edu demo` on a user's own table or texts: results in the task's metric, models that run, or one line."""

import functools
import json
import math
import pathlib
import re
import types

import numpy as np
import pandas as pd
import pytest
from shared import invoke_command

import fedlearn_edu as fl
from fedlearn_edu.commands.demo import demo
from fedlearn_edu.data.own_files import TableArguments
from fedlearn_edu.data.table_target import TASKS
from fedlearn_edu.data.task import Task
from fedlearn_edu.demo_data import as_options, deal_out, encode, load
from fedlearn_edu.demo_options import OF_TABLE, DemoOptions
from fedlearn_edu.demo_output import RoundLines, print_clients, print_end
from fedlearn_edu.demo_results import _summary
from fedlearn_edu.demo_setup import train_ceiling
from fedlearn_edu.demo_values import distance, is_better, is_far, way
from fedlearn_edu.simulation.central import CentralResult


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    return functools.partial(invoke_command, monkeypatch, tmp_path)


def loans() -> str:
    """Three banks' loans; one in eight is not paid back, more often by drivers in debt. Cells are missing."""
    rng, lines = np.random.default_rng(0), ["id,bank,debt,job,default"]
    for row in range(360):
        debt, job = rng.normal(3, 1), rng.choice(["nurse", "driver", "baker"])
        fails = rng.random() < 1 / (1 + np.exp(6.6 - 1.2 * debt - 1.5 * (job == "driver")))
        written = "NA" if rng.random() < 0.1 else f"{debt:.2f}"
        lines.append(f"{row},bank {row % 3},{written},{job},{'yes' if fails else 'no'}")
    return "\n".join(lines)


def flats() -> str:
    """Rents as a German spreadsheet writes them."""
    rng, lines = np.random.default_rng(0), ["Fläche (m²);city;rent"]
    for row in range(200):
        area, city = rng.uniform(20, 120), "Köln" if row % 2 else "Ulm"
        rent = 9000 + 100 * area + 4000 * (city == "Köln") + rng.normal(0, 500)
        lines.append(f"{area:.1f};{city};{rent:.2f}".replace(".", ","))
    return "\n".join(lines)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run on the loans: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "loans.csv").write_text(loans())
    given = ["--target", "default", "--client", "bank", "--task", "binary", "--positive", "yes", "--rounds", 2]
    with pytest.MonkeyPatch.context() as patch:
        code, output = invoke_command(patch, folder, "demo", "--dataset", "loans.csv", *given, "--output", "run")
    assert code == 0, output
    return folder / "run", output


def test_a_table_of_rare_cases_is_measured_by_auc_beside_its_baseline(finished):
    folder, output = finished
    assert "loans: 360 rows of 2 classes, natural (one client for each bank; --partition sets it), over 3" in output
    assert "(96 training rows each)" in output
    assert re.search(r"table encoder: 2 columns -> 6 features; in 1 round each client sent .*: it saw no row\n", output)
    assert "72 test rows in all, " in output
    assert re.search(r"central ceiling: AUC \d\d\.\d% \(the same head, all training rows in one place\)", output)
    assert "round  global AUC, bar to ceiling      " in output
    assert re.search(r"client_id              AUC    gain  rounds trained\nbank \d +\d", output)
    assert "always the same answer: AUC 50.0% (a model that looks at no row reaches that)" in output
    assert "image" not in output
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["metric"], summary["baseline"]) == ("auc", 0.5)
    assert 0.6 < summary["value"] <= 1
    assert 0.6 < summary["central_value"] <= 1
    assert summary["central_accuracy"] != summary["central_value"]
    history = pd.read_csv(folder / "history.csv").query("client_id == 'global' and round_num == 2")
    last = history.set_index("metric")["value"]
    assert summary["global_accuracy"] == last["accuracy"]
    assert summary["value"] == last["auc"]
    assert summary["settings"] | {"target": "default", "client": "bank", "backbone": None} == summary["settings"]
    assert (folder / "accuracy.png").stat().st_size > 10_000


def test_the_lines_shown_at_the_end_are_those_of_the_models_readme(finished):
    """A test of `export_model` runs these as they stand, with TensorFlow alone."""
    folder, output = finished
    end = output.partition("\nClassify a row of your own, in Python (")[2]
    shown = [line[2:] for line in end.splitlines()[1:] if line.startswith("  ")]
    assert "    'job': tf.constant(['baker'])," in shown
    readme = (folder / "model" / "README.md").read_text()
    assert "\n".join(shown).replace("'run/model'", "'.'") in readme
    assert "on loans: its maker's own rows; ask them for the licence" in readme


def test_a_run_of_a_table_refuses_other_columns(finished, monkeypatch):
    folder, _ = finished
    for option, was in [(["--target", "job"], "--target was default, is now job"),
                        (["--ignore", "job"], "--ignore was None, is now job")]:  # fmt: skip
        code, output = invoke_command(monkeypatch, folder.parent, "demo", "--output", "run", "--resume", *option)
        assert (code, output) == (
            2,
            f"Error: --output: run holds another run ({was}); choose another folder or the same options\n",
        )


def encoded(**given):
    """What a run makes of its options before it trains, and the ceiling."""
    options = DemoOptions(**given)
    options, clients = deal_out(options, load(options))
    features = encode(options, clients, None)
    experiment = types.SimpleNamespace(features=features, process=types.SimpleNamespace(model=fl.linear_head(features)))
    return features, train_ceiling(options, experiment)


def test_a_number_has_a_ceiling_in_its_unit(tmp_path, capsys):
    (tmp_path / "flats.csv").write_text(flats())
    given = {"dataset": str(tmp_path / "flats.csv"), "target": "rent", "unit": "EUR", "ignore": ("city",)}
    features, ceiling = encoded(**given)
    output = capsys.readouterr().out
    assert "flats: 200 rows for rent in EUR, iid (since a number is predicted; --partition sets it)" in output
    assert (
        "table encoder: 1 column -> 1 features; in 1 round each client sent how many values each column has" in output
    )
    # the best that any line can do, by NumPy
    (x, y), (x_test, y_test) = features.pooled("train"), features.pooled("test")
    line = np.polyfit(x[:, 0].astype(float), y.astype(float), 1)
    assert ceiling.value == pytest.approx(np.sqrt(np.mean((np.polyval(line, x_test[:, 0]) - y_test) ** 2)), rel=0.02)
    assert ceiling.accuracy is None


def test_texts_are_encoded_by_what_says_that_it_knows_no_language(tmp_path, capsys):
    words = {"sport": "goal match team", "weather": "rain wind storm"}
    for number in range(40):
        for kind, of_kind in words.items():
            (tmp_path / "letters" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "letters" / kind / f"{number}.txt").write_text(f"{of_kind.split()[number % 3]} again {number}")
    features, ceiling = encoded(dataset=str(tmp_path / "letters"))
    output = capsys.readouterr().out
    assert "letters: 80 texts of 2 classes, iid (since there are few texts; --partition sets it)" in output
    assert "not pre-trained" in output
    assert features.encoder.name == "hashed_text"
    assert ceiling.value > 0.8


# --- bad input: one line, exit code 2, nothing left behind ------------------------------------------------------------

HEAD = "who,x,kind,y\n"
ROWS = [(f"c{row % 3}", row * 7 % 50 / 4, "ab"[row % 2], "no" if row % 4 else "yes") for row in range(60)]


def table(**column) -> str:
    """The table with one column's cells replaced by what a function makes of the row's number and cell."""
    names, lines = HEAD.strip().split(","), []
    for number, row in enumerate(ROWS):
        cells = [column[name](number, cell) if name in column else cell for name, cell in zip(names, row, strict=True)]
        lines.append(",".join(map(str, cells)))
    return HEAD + "\n".join(lines) + "\n"


TARGET, CLIENT = ["--target", "y"], ["--client", "who"]
BAD = {
    "no target": (table(), [], ["--target: name the column of 'own.csv' to predict, one of 'who', 'x', 'kind', 'y'"]),
    "no such column": (table(), ["--target", "yy"], ["--target: ", "has no column 'yy'; did you mean 'y'? Known: "]),
    "no such client": (table(), [*TARGET, "--client", "whom"], ["--client: ", "did you mean 'who'?"]),
    "no such column left out": (table(), [*TARGET, "--ignore", "z"], ["--ignore: ", "has no column 'z'"]),
    "numbers": (table(y=lambda n, _: n / 4 % 5), TARGET, ["--target: ", "say which is meant: --task classification"]),
    "one value": (table(y=lambda *_: "no"), TARGET, ["--target: column 'y' holds only 'no'; there is nothing"]),
    "no value": (table(y=lambda *_: "NA"), TARGET, ["--target: column 'y' holds no value at all"]),
    "one client": (table(who=lambda *_: "a"), [*TARGET, *CLIENT], ["--client: ", "only 'a'", "without --client rows"]),
    "global": (table(who=lambda n, c: c if n % 3 else "global"), [*TARGET, *CLIENT], ["--client: 'global'", "rename"]),
    "a dot": (table(who=lambda n, c: c if n % 3 else ".."), [*TARGET, *CLIENT], ["'..'"]),
    "alike": (table(who=lambda n, _: ["a/b", "a_b"][n % 2]), [*TARGET, *CLIENT], ["'a_b'; rename 'a_b'"]),
    "latin-1": (table(kind=lambda n, _: "Köln" if n % 2 else "Ulm").encode("latin-1"), TARGET,
                ["--dataset: ", "no UTF-8 (line 3, byte 0xf6)", "say --encoding cp1252"]),
    "no encoding": (table(), [*TARGET, "--encoding", "utf-9"], ["--encoding: expected one that Python knows"]),
    "mixed": (table(x=lambda n, x: "?x" if n == 5 else x), TARGET, ["'x' holds numbers, but also '?x' (row 7",
              "--categories x", "--ignore x"]),
    "dates": (table(x=lambda n, _: f"0{1 + n % 9}/0{1 + n % 8}/2024"), TARGET, ["'x'", "ignore"]),
    "many classes": (table(y=lambda n, _: f"name {n}"), TARGET, ["60 different values of 'y' in 60 rows are no"]),
    "many categories": (HEAD + "".join(f"a,{n % 7},n{n % 5000},{'yn'[n % 3 > 0]}\n" for n in range(15_000)), TARGET,
                        ["--ignore: 4,9", "leave out column 'kind', which has 4,9"]),
    "empty": ("", TARGET, ["--dataset: 'own.csv' is empty"]),
    "header only": (HEAD, TARGET, ["--dataset: 'own.csv' has a header and no row"]),
    "no positive": (table(), [*TARGET, "--task", "binary", "--positive", "maybe"], ["--positive: expected 'no' or"]),
    "positive alone": (table(), [*TARGET, "--positive", "yes"], ["--positive: only for --task binary"]),
    "unit of classes": (table(), [*TARGET, "--unit", "EUR"], ["--unit: only for --task regression"]),
    "no number": (table(), [*TARGET, "--task", "regression"], ["--target: --task regression needs numbers"]),
    "a backbone": (table(), [*TARGET, "--backbone", "mobilenet_v2"], ["--backbone: ", "holds a table; leave it out"]),
    "skew of a number": (table(), ["--target", "x", "--task", "regression", "--partition", "shards:2"],
                         ["--partition: shards:2 deals classes out", "take iid, quantity:1 or"]),
    "too many clients": (table(), [*TARGET, *CLIENT, "--num-clients", "9"], ["expected 1 to 3 (owners in 'own')"]),
    "never in the test": (table(y=lambda n, _: "yes" if n == 0 else "no"), [*TARGET, "--task", "binary"],
                          ["--target: no test example is 'yes', so that there is no AUC"]),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_a_table_that_cannot_be_used_is_one_line_and_leaves_nothing(name, invoke, tmp_path):
    content, options, words = BAD[name]
    (tmp_path / "own.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, output = invoke("demo", "--dataset", "own.csv", *options)
    lines = [line for line in output.splitlines() if not line.startswith("Warning: ")]
    assert code == 2, output
    assert lines[-1].startswith("Error: ")
    assert all(word in lines[-1] for word in words), lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["own.csv"]


def test_a_table_that_is_larger_than_the_memory_stops_with_its_size(invoke, tmp_path, monkeypatch):
    import psutil

    (tmp_path / "own.csv").write_text(table())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Free", (), {"available": 10_000}))
    code, output = invoke("demo", "--dataset", "own.csv", *TARGET)
    (line,) = output.splitlines()
    assert code == 1
    assert re.match(r"Error: --dataset: 'own.csv' has .* GB and would take about .* of memory, .* GB are free", line)
    assert [path.name for path in tmp_path.iterdir()] == ["own.csv"]


def test_options_of_a_table_are_refused_for_images_and_for_a_folder_of_texts(invoke, tmp_path):
    for kind in ("a", "b"):
        (tmp_path / "letters" / kind).mkdir(parents=True)
        (tmp_path / "letters" / kind / "1.txt").write_bytes("schön".encode("latin-1"))
    for arguments, words in [
        (["--target", "label"], "Error: --target: only for a table (.csv), got 'label' for 'fashion'"),
        (["--ignore", "a", "--ignore", "b"], "Error: --ignore: only for a table (.csv), got ('a', 'b') for 'fashion'"),
        (["--dataset", "letters", "--client", "who"], "Error: --client: only for a table"),
        (
            ["--dataset", "letters", "--backbone", "bundled"],
            "Error: --backbone: a network for images, and letters holds texts",
        ),
        (["--dataset", "letters"], "2 of 2 texts in 'letters' cannot be used, first a/1.txt is no UTF-8"),
    ]:
        code, output = invoke("demo", *arguments)
        assert (code, words in output.splitlines()[-1]) == (2, True), output
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


# --- what is saved and compared ---------------------------------------------------------------------------------------


def test_a_folder_of_before_there_were_tables_is_resumed_with_what_it_knew():
    saved = {"dataset": "fashion", "backbone": "bundled", "partition": "iid", "client_lr": 0.1, "num_rounds": 7}
    options = DemoOptions(num_rounds=9, resume=True, explicit=frozenset({"num_rounds", "backbone"}), backbone="bundled")
    went_on = options.with_saved(saved)
    assert (went_on.partition, went_on.client_lr, went_on.num_rounds, went_on.target) == ("iid", 0.1, 9, None)
    assert not went_on.of_table
    with pytest.raises(fl.UsageError, match=r"--target was None, is now y"):
        DemoOptions(target="y", explicit=frozenset({"target"})).with_saved(saved)


def test_what_is_saved_of_a_table_comes_back_through_json_and_is_in_the_command_to_resume(tmp_path):
    given = {"dataset": "own.csv", "target": "y", "ignore": ("a", "b c"), "categories": ("zip",), "task": "binary"}
    options = DemoOptions(**given, explicit=frozenset(given))
    kept = json.loads(json.dumps(options.saved))
    assert DemoOptions().with_saved(kept) == DemoOptions(**given)
    assert options.with_saved(kept) == options
    command = options.command_to_resume(tmp_path)
    assert "--ignore a --ignore 'b c' --categories zip" in command
    with pytest.raises(fl.UsageError, match=r"--ignore was a, b c, is now a\)"):
        DemoOptions(ignore=("a",), explicit=frozenset({"ignore"})).with_saved(kept)
    with pytest.raises(TypeError):
        DemoOptions().with_saved({"ignore": "a"})


def test_messages_name_options_as_they_are_typed():
    said = "table: say task='regression', categories=['zip code'] or ignore=['id'] (positive= sets it); context=3"
    assert as_options(said) == (
        "--dataset: say --task regression, --categories 'zip code' or --ignore id (--positive sets it); context=3"
    )
    assert as_options("target: column 'y'") == "--target: column 'y'"


# --- what is printed --------------------------------------------------------------------------------------------------


def history_of(task: Task, rows, **given) -> fl.History:
    return fl.History({"task": task.to_dict(), "data": {"baseline": given.pop("baseline", None)}}, rows, **given)


def rents(*values, ceiling=100.0, baseline=300.0) -> fl.History:
    rows = [(n, "global", name, value) for n, value in enumerate(values) for name in ("rmse", "loss")]
    return history_of(Task.regression("EUR"), rows, central_accuracy=ceiling, baseline=baseline)


def test_where_less_is_better_the_way_to_the_ceiling_goes_down():
    history = rents(500.0, 200.0)
    assert way(history, 500, 100, 200) == 0.75
    assert way(history, 500, 100, 700) == -0.5
    assert (way(history, 100, 500, 90), way(history, 100, 500, 510)) == (1, 0), "a ceiling no better than the start"
    assert distance(history, 112.0, 100.0) == "12.0% above it, lower is better"
    assert distance(history, 100.01, 100.0) == "equal to it"
    assert distance(history, 450.0, 100.0) == "4.5 times as much, lower is better"
    assert distance(history, math.inf, 100.0) == "lower is better"
    assert is_better(history, 99.0, 100.0)
    assert not is_better(history, 100.01, 100.0)
    assert [is_far(rents(500.0, value)) for value in (150.0, 170.0)] == [False, True]
    auc = history_of(Task.binary("ill"), [(0, "global", "auc", 0.5), (1, "global", "auc", 0.75)], central_accuracy=0.8)
    assert (is_far(auc), distance(auc, 0.75, 0.8)) == (False, "5.0 points below it")


def test_the_worst_client_is_the_worst_by_the_metric_and_no_number_breaks_a_line(capsys):
    history = rents(123_456.0, 200.0)
    history.rows += [(0, f"c{n}", "rmse", 500.0) for n in (1, 2, 3)]
    history.rows += [(1, f"c{n}", name, 100.0 * n) for n in (1, 2, 3) for name in ("rmse", "loss")]
    lines = RoundLines(history.primary)
    lines.print(history)
    print_clients(history)
    header, last, _, _, _, *clients = capsys.readouterr().out.splitlines()
    assert abs(header.index("worst client") + len("worst client") - last.index("300") - 3) <= 1, "below its name"
    assert re.fullmatch(r" +1 +200 +█* +200 +300 +100 +0\.0 MB", last)
    assert [line.split()[0] for line in clients] == ["c3", "c2", "c1"]
    assert clients[0].split()[1:] == ["300", "+200", "0"]
    assert header.startswith("round  global RMSE, bar to ceiling ")
    history.rows += [(2, "global", name, math.nan) for name in ("rmse", "loss")]
    RoundLines(history.primary).print(history)
    assert "█" not in capsys.readouterr().out


def test_the_summary_of_a_number_has_no_accuracy():
    history = rents(500.0, 200.0)
    history.rows += [(1, f"c{n}", "rmse", 100.0 * n) for n in (1, 2, 3)]
    parts = {
        "clients": types.SimpleNamespace(task=Task.regression("EUR"), num_clients=3),
        "config": types.SimpleNamespace(clients_per_round=2),
        "encoder": types.SimpleNamespace(fingerprint="f"),
    }
    ceiling = CentralResult(None, 1.0, [], 100.0)
    summary = _summary(DemoOptions(target="rent"), types.SimpleNamespace(**parts), history, ceiling, 1.0)
    told = {"metric": "rmse", "unit": "EUR", "value": 200.0, "central_value": 100.0, "baseline": 300.0}
    assert summary | told | {"worst_client_value": 300.0, "best_client_value": 100.0} == summary
    assert not [name for name in summary if "accuracy" in name]
    assert json.dumps(summary)


def test_what_is_beyond_all_numbers_is_no_json_and_the_end_says_why(capsys):
    history = rents(500.0, math.inf)
    parts = {
        "clients": types.SimpleNamespace(task=Task.regression("EUR"), num_clients=3),
        "config": types.SimpleNamespace(clients_per_round=2),
        "encoder": types.SimpleNamespace(fingerprint="f"),
    }
    summary = _summary(DemoOptions(), types.SimpleNamespace(**parts), history, CentralResult(None, 1.0, [], 9.0), 1.0)
    assert json.loads(json.dumps(summary), parse_constant=pytest.fail)["value"] is None
    experiment = types.SimpleNamespace(num_test=9, modality="table")
    options = DemoOptions(client_lr=5.0, partition="iid")
    print_end(options, experiment, history, pathlib.Path("run"), missing={"accuracy.png", "model"}, seconds=1)
    _, end, baseline, rose, _ = capsys.readouterr().out.splitlines()
    assert end.startswith("global RMSE inf EUR, central ceiling 100 EUR (lower is better), 1 round, ")
    assert baseline == "always the mean: RMSE 300 EUR (a model that looks at no row reaches that)"
    assert rose.startswith("The loss rose from 500 to inf: the learning rate 5 is too large for these rows; try ")


@pytest.mark.parametrize(
    ("algorithm", "values", "ceiling", "said"),
    [
        ("unweighted_fed_avg", (500.0, 250.0), 100.0, "Far above its ceiling: clients that are alike need more rounds"),
        ("fed_adam", (500.0, 499.0), 100.0, "Far above its ceiling: fed_adam moves each weight by about the same"),
        ("unweighted_fed_avg", (500.0, 90.0), 100.0, "Below its ceiling by chance, with 9 test rows, or the ceiling"),
        (
            "unweighted_fed_avg",
            (500.0, 310.0),
            305.0,
            "The ceiling is no better than always the same answer: these rows",
        ),
    ],
)
def test_what_is_odd_about_a_number_is_said_the_right_way_round(capsys, algorithm, values, ceiling, said):
    experiment = types.SimpleNamespace(num_test=9, modality="table")
    options = DemoOptions(client_lr=0.1, partition="iid", algorithm=algorithm)
    history = rents(*values, ceiling=ceiling)
    print_end(options, experiment, history, pathlib.Path("run"), missing={"accuracy.png", "model"}, seconds=1)
    _, _, _, remark, _ = capsys.readouterr().out.splitlines()
    assert remark.startswith(said)


def test_clients_without_an_auc_are_counted(capsys):
    rows = [(0, name, "loss", 0.7) for name in ("a", "b", "c")]
    print_clients(history_of(Task.binary("ill"), [*rows, (0, "a", "auc", 0.6)]))
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 more clients have no AUC: the test examples of each")
    print_clients(history_of(Task.binary("ill"), rows))
    assert capsys.readouterr().out.strip().startswith("No client has AUC of its own: the test")


@pytest.mark.parametrize(
    ("given", "partition", "num_clients"),
    [
        ({"client": "who"}, "natural", 3),
        ({}, "iid", 6),  # few rows
        ({"client": "who", "partition": "iid", "num_clients": 4}, "iid", 4),
    ],
)
def test_who_holds_the_rows(tmp_path, given, partition, num_clients):
    (tmp_path / "own.csv").write_text(table())
    owner = {"client": "who"} if "client" in given else {}
    dataset = fl.load_dataset(tmp_path / "own.csv", target="y", **owner)
    options = DemoOptions(dataset=str(tmp_path / "own.csv"), target="y", **given)
    decided, clients = deal_out(options, dataset)
    assert (decided.partition, clients.num_clients) == (partition, num_clients)


def test_the_command_line_has_every_argument_of_a_table_and_every_task():
    options = {parameter.name: parameter for parameter in demo.params}
    assert set(OF_TABLE) == set(TableArguments.__annotations__) <= set(options)
    assert tuple(options["task"].type.choices) == TASKS

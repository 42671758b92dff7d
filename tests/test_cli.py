"""The commands as a user types them: results, resuming, and one clear line for bad input."""

import csv
import functools
import gc
import inspect
import io
import json
import logging
import math
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from shared import invoke_command

import fedlearn_edu as fl
from fedlearn_edu import cli
from fedlearn_edu.commands.demo import ALGORITHMS
from fedlearn_edu.terminal import our_python

COMMAND = [sys.executable, "-m", "fedlearn_edu.cli"]
SMALL = ["--num-clients", "8", "--clients-per-round", "3", "--seed", "3"]


def run(*arguments, cwd, timeout=240):
    """Runs a command; its output goes to a file, since a worker left behind would hold a pipe open."""
    with open(cwd / "output.txt", "w+") as output:
        process = subprocess.run(
            [*COMMAND, *map(str, arguments)], cwd=cwd, stdout=output, stderr=subprocess.STDOUT, timeout=timeout
        )
    return process.returncode, (cwd / "output.txt").read_text()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three clients' folders of tiny drawings: bright and dark ones."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for client in ("anna", "ben", "cleo"):
        for name, low in (("bright", 160), ("dark", 0)):
            (folder / client / name).mkdir(parents=True)
            for i in range(10):
                pixels = rng.integers(low, low + 90, [32, 32, 3], dtype=np.uint8)
                Image.fromarray(pixels).save(folder / client / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run on the bundled data."""
    cwd = tmp_path_factory.mktemp("finished")
    code, output = run("demo", *SMALL, "--rounds", 6, "--output", "run", cwd=cwd)
    assert code == 0, output
    return cwd / "run", output


def test_demo_writes_its_results(finished):
    folder, output = finished
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["num_rounds"] == 6
    assert summary["num_clients"] == 8
    assert 0.5 < summary["global_accuracy"] <= 1
    assert 0.8 < summary["central_accuracy"] <= 1
    assert summary["seconds"] > 0
    with open(folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["round_num", "client_id", "metric", "value"]
    last = [r for r in rows if (r["round_num"], r["client_id"], r["metric"]) == ("6", "global", "accuracy")]
    assert float(last[0]["value"]) == summary["global_accuracy"]
    clients = {r["client_id"] for r in rows} - {"global"}
    assert len(clients) == 8
    for name in ("broadcast_bytes_total", "upload_bytes_total"):
        assert sum(float(r["value"]) for r in rows if r["metric"] == name) == summary[name] > 0
    with Image.open(folder / "accuracy.png") as image:
        assert image.width > 800
    assert len(re.findall(r"^ +\d+ +\d+\.\d%", output, re.M)) == 7  # rounds 0 to 6
    assert all(client in output for client in clients)  # eight: the five worst and the three best are all there are
    head = [line for line in output.splitlines() if not line.startswith("features: ")][:7]  # a bar, of a slow machine
    dealt_out = "dirichlet:0.3 (--partition sets it), over 8 clients (1,000 training images each)"
    assert head[0] == f"fashion: 10,000 images of 10 classes, {dealt_out}"
    assert head[2] == "trying the learning rate ..."
    assert head[3] == "algorithm unweighted_fed_avg, 3 of 8 clients a round, 5 epochs, rate 0.1"
    assert head[4] == "training the central ceiling ..."
    assert head[5].startswith("central ceiling: ")
    assert head[6] == "building the rounds, measuring round 0 ..."
    reached, ceiling, apart = map(float, re.search(r"accuracy (.+)%, .* (.+)% \((.+) points", output).groups())
    assert apart == pytest.approx(abs(ceiling - reached), abs=0.01)  # the numbers as they are printed
    assert ", 6 rounds, " in output
    assert output.count("writing accuracy.png, model/ and the rest ...") == 1
    end = output.splitlines()[-6:]
    assert end[0] == "Next: open run/accuracy.png"
    assert end[1] == f"Classify an image of your own, in Python ({our_python()}):"
    assert "  model = tf.saved_model.load('run/model')" in end


def test_the_bar_is_empty_at_round_0_and_full_at_the_ceiling(finished):
    _, output = finished
    bars = {int(n): bar.count("█") for n, bar in re.findall(r"^ +(\d+) +\d+\.\d% (.{24})", output, re.M)}
    assert bars[0] == 0
    assert 12 < bars[6] <= 24


def test_the_exported_model_classifies_without_this_package(finished, tmp_path):
    """In a process that cannot import fedlearn_edu, on the clients' own test images."""
    folder, _ = finished
    import fedlearn_edu as fl

    dataset = fl.load_dataset("fashion")
    np.savez(tmp_path / "images.npz", images=dataset.images[:400], labels=dataset.labels[:400])
    assert "1. `Trouser`" in (folder / "model" / "README.md").read_text()
    assert "Xiao et al. 2017, arXiv:1708.07747; licence: MIT" in (folder / "model" / "README.md").read_text()
    assert "MobileNetV2" in (folder / "model" / "BACKBONE_CARD.md").read_text()
    source = f"""
import sys
sys.modules["fedlearn_edu"] = None
import numpy as np, tensorflow as tf
data = np.load({str(tmp_path / "images.npz")!r})
classifier = tf.saved_model.load({str(folder / "model")!r})
result = classifier.classify(tf.constant(data["images"]))
probabilities = result["probabilities"].numpy()
assert probabilities.shape == (400, 10) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
print((probabilities.argmax(axis=1) == data["labels"]).mean(), result["class_name"][0].numpy().decode())
"""
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    accuracy, class_name = result.stdout.split(maxsplit=1)
    summary = json.loads((folder / "summary.json").read_text())
    assert float(accuracy) == pytest.approx(summary["global_accuracy"], abs=0.06)
    assert class_name.strip() in dataset.class_names


def test_killed_and_resumed_gives_the_same_history(finished, tmp_path):
    """SIGKILL at a random moment after the first checkpoint, then --resume without repeating the options."""
    whole, _ = finished
    with open(tmp_path / "first.txt", "w") as output:
        process = subprocess.Popen(
            [*COMMAND, "demo", *SMALL, "--rounds", "6", "--output", "run"], cwd=tmp_path, stdout=output, stderr=output
        )
    wanted = tmp_path / "run" / "checkpoint" / f"round_{random.randint(0, 4)}.npz"
    deadline = time.monotonic() + 120
    while not wanted.exists():
        assert process.poll() is None, (tmp_path / "first.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (tmp_path / "run" / "history.csv").exists()
    code, output = run("demo", "--resume", "--output", "run", cwd=tmp_path)
    assert code == 0, output
    assert (tmp_path / "run" / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def test_ctrl_c_keeps_the_rounds_done(photos, tmp_path):
    data = ["--dataset", str(photos), "--partition", "natural"]
    with open(tmp_path / "first.txt", "w") as output:
        process = subprocess.Popen(
            [*COMMAND, "demo", *data, "--rounds", "500", "--output", "run"], cwd=tmp_path, stdout=output, stderr=output
        )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoint" / "round_1.npz").exists():
        assert process.poll() is None, (tmp_path / "first.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    text = (tmp_path / "first.txt").read_text()
    assert "Traceback" not in text
    assert "asyncio" not in text
    *_, stopped, command = text.splitlines()
    (stopping,) = re.findall(
        r"^Stopping after round (\d+): writing accuracy.png, model/ and the rest \.\.\.$", text, re.M
    )
    assert stopped.startswith(f"Stopped after round {stopping} of ")
    assert text.index("Stopping after") < text.index("After round")
    assert re.fullmatch(r"Stopped after round \d+ of 500\. Go on with:", stopped)
    words = shlex.split(command.removeprefix("uv run "))
    assert words[:2] == ["fedlearn-edu", "demo"]
    assert sorted(words[2:]) == sorted([*data, "--rounds", "500", "--output", "run", "--resume"])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "stopped"
    assert 1 <= summary["num_rounds"] < 500
    with open(tmp_path / "run" / "history.csv") as file:
        rounds = {int(row["round_num"]) for row in csv.DictReader(file)}
    assert rounds == set(range(summary["num_rounds"] + 1))  # all that were finished, and what --resume goes on from


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_has_a_builder_that_needs_no_more_than_the_demo_knows(algorithm):
    parameters = inspect.signature(getattr(fl, f"build_{algorithm}")).parameters
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert {"model"} <= required <= {"model", "num_clients"}
    assert {"client_lr", "server_lr"} & set(parameters)


def test_own_folder_natural_clients_other_algorithms_and_numbered_runs(invoke, photos, tmp_path):
    algorithms = [
        "fed_sgd",
        "scaffold",
    ]  # one with a server's rate only, one that has to know how many clients there are
    for algorithm in algorithms:
        arguments = ["--dataset", photos, "--partition", "natural", "--algorithm", algorithm]
        arguments += ["--rounds", 1, "--num-epochs", 1]
        code, output = invoke("demo", *arguments)
        assert code == 0, output
        assert all(name in output for name in ("anna", "ben", "cleo", ", 1 epoch, rate", ", 1 round, "))
    runs = sorted((tmp_path / "fedlearn-edu-run").iterdir())
    assert [run.name for run in runs] == ["1", "2"]  # without --output they are numbered
    summaries = [json.loads((run / "summary.json").read_text()) for run in runs]
    assert [summary["settings"]["algorithm"] for summary in summaries] == algorithms


# --- a newcomer's own photographs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Two owners' photographs of three plain colours, 48 in all: nothing could be easier to tell apart."""
    folder = tmp_path_factory.mktemp("colours") / "photos"
    rng = np.random.default_rng(0)
    for owner in ("anna", "ben"):
        for name, colour in {"red": (200, 40, 40), "green": (40, 190, 50), "blue": (40, 60, 200)}.items():
            (folder / owner / name).mkdir(parents=True)
            for i in range(8):
                pixels = np.clip(np.array(colour) + rng.normal(0, 25, [48, 64, 3]), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / owner / name / f"{i}.jpg")
    return folder


def test_own_photographs_arrive_with_no_option_at_all_and_resume_with_the_rate_that_was_chosen(
    invoke, colours, tmp_path, monkeypatch
):
    code, output = invoke("demo", "--dataset", colours, "--rounds", 4, "--output", "run")
    assert code == 0, output
    assert "natural (one client an owner; --partition sets it), over 2 clients (19 training images each)" in output
    assert "10 test images in all: one of them is 10 points of accuracy" in output
    (rate,) = re.findall(r"rate (\S+) \(chosen for these features, 0.1 does not suit; --client-lr sets it\)", output)
    assert 0 < float(rate) < 0.1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["global_accuracy"] == summary["central_accuracy"] == 1.0
    assert summary["settings"]["client_lr"] == float(rate)
    assert summary["settings"]["partition"] == "natural"
    assert "loss rose" not in output

    def forbidden(*_, **__):
        raise AssertionError("the rate is recorded")

    monkeypatch.setattr(
        "fedlearn_edu.demo_setup._decide_rate", lambda options, *_: (options, "") if options.client_lr else forbidden()
    )
    code, output = invoke("demo", "--output", "run", "--rounds", 5, "--resume")
    assert code == 0, output
    assert f"5 epochs, rate {rate}\n" in output


def test_a_rate_that_was_given_stands_and_if_it_diverges_the_end_says_so(invoke, colours, tmp_path):
    code, output = invoke("demo", "--dataset", colours, "--rounds", 2, "--client-lr", 0.1, "--output", "run")
    assert code == 0, output
    assert "5 epochs, rate 0.1\n" in output
    pattern = r"The loss rose from 1\.1 to (\d+\.\d): the learning rate 0\.1 is too large .*try --client-lr 0\.01 and"
    (loss,) = re.findall(pattern, output)
    assert float(loss) > 1.2
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["central_accuracy"] == 1.0


def test_a_folder_without_owners_gets_as_many_clients_as_it_has_images_for(colours, tmp_path, capsys):
    from fedlearn_edu.demo_data import deal_out
    from fedlearn_edu.demo_options import DemoOptions

    for owner in ("anna", "ben"):
        shutil.copytree(colours / owner, tmp_path / "mine", dirs_exist_ok=True)  # the second replaces the first's
    deal_out(DemoOptions(dataset=str(tmp_path / "mine")), fl.load_dataset(tmp_path / "mine"))
    output = capsys.readouterr().out
    few = "since there are few images; --partition sets it"
    assert f"mine: 24 images of 3 classes, iid ({few}), over 2 clients (" in output
    assert "; fewer than 50 clients, the images are few: --num-clients sets it)" in output


def test_too_many_clients_for_a_folder_with_owners_names_the_owners_first(invoke, colours):
    code, output = invoke("demo", "--dataset", colours, "--num-clients", 50)
    assert code == 2, output
    assert output.splitlines()[-1].startswith(
        "Error: photos has 2 owners: --partition natural keeps them; otherwise: num_clients: 50 clients of at least 5 "
    )


@pytest.mark.parametrize("written", ["SCAFFOLD", "Scaffold"])
def test_algorithms_are_known_in_any_spelling(invoke, monkeypatch, written):
    seen = []
    monkeypatch.setattr("fedlearn_edu.demo.run_demo", lambda options: seen.append(options.algorithm) or 0)
    spellings = {written: "scaffold", "fedprox": "fed_prox", "Mime-Lite": "mime_lite", "FedAdam": "fed_adam"}
    for spelling in spellings:
        assert invoke("demo", "--algorithm", spelling)[0] == 0
    assert seen == list(spellings.values())


def test_of_many_clients_the_worst_and_the_best_are_shown(capsys):
    from fedlearn_edu.demo_output import print_clients

    rows = [(r, f"c{i:02}", "accuracy", r * i / 20) for r in (0, 1) for i in range(20)]
    print_clients(fl.History({}, rows))
    *_, header, a, b, c, d, e, dots, f, g, h = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in (a, b, c, d, e, f, g, h)] == ["c00", "c01", "c02", "c03", "c04", "c17", "c18", "c19"]
    assert (header[:9], dots) == ("client_id", "...")


ODD = {  # losses and accuracies of rounds 0 and 1, the ceiling, options -> what the end says of it
    "rose": ([1.1, 12.94], [0.3, 0.9], 0.9, {"client_lr": 0.03}, "rose from 1.1 to 12.9: the learning rate 0.03 is"),
    "no number": ([1.1, math.nan], [0.3, 0.3], 0.9, {}, "try --client-lr 0.01 and another --output"),
    "far below": ([2.3, 1.9], [0.1, 0.45], 0.9, {"num_rounds": 10}, "few images, it takes more rounds (--rounds 40)"),
    "alike": ([2.3, 1.9], [0.1, 0.45], 0.9, {"partition": "iid"}, "that are alike need more rounds (--rounds 160), or"),
    "above": ([2.3, 0.4], [0.1, 0.91], 0.9, {}, "Above its ceiling by chance, with 1,234 test images, or"),
    "as it should be": ([2.3, 0.4], [0.1, 0.75], 0.9, {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ODD))
def test_what_is_odd_about_the_end_is_said(name, capsys):
    from fedlearn_edu.demo_options import DemoOptions
    from fedlearn_edu.demo_output import print_end

    losses, accuracies, ceiling, given, said = ODD[name]
    values = {"loss": losses, "accuracy": accuracies}
    rows = [(n, "global", metric, value) for metric in values for n, value in enumerate(values[metric])]
    history = fl.History({}, rows, central_accuracy=ceiling, status="finished")
    options = DemoOptions(**({"client_lr": 0.1, "partition": "dirichlet:0.3"} | given))
    output = pathlib.Path("run")
    print_end(
        options,
        types.SimpleNamespace(num_test=1234, modality="image"),
        history,
        output,
        missing={"accuracy.png", "model"},
        seconds=1,
    )
    _, end, *remarks, results = capsys.readouterr().out.splitlines()
    assert end.startswith(f"global accuracy {100 * accuracies[-1]:.1f}%, central ceiling 90.0% (")
    assert results == "Results in run/: history.csv, summary.json"
    assert len(remarks) == (said is not None)
    assert not said or said in remarks[0]


def test_a_licence_is_named_only_where_it_is_known():
    """A folder may be called nearly as a known data set is: its images are still its owner's."""
    from fedlearn_edu.demo_options import DemoOptions
    from fedlearn_edu.demo_results import _origin

    def origin(name):
        dataset = types.SimpleNamespace(name="mine", modality="image")
        return _origin(DemoOptions(dataset=name), types.SimpleNamespace(dataset=dataset))

    for name in ("fashion", "medmnist:dermamnist", "medmnist:dermamnist_64"):
        assert origin(name).endswith(("; licence: MIT", "; licence: CC BY-NC 4.0")), name
    for name in ("fashion_mine", "./fashion", "emoji_of_my_own/", "photos"):
        assert origin(name) == "mine: its maker's own images; ask them for the licence", name


def test_the_command_to_resume_can_be_pasted_into_a_shell():
    from fedlearn_edu.demo_options import DemoOptions

    explicit = frozenset({"dataset", "num_rounds", "output", "resume"})
    options = DemoOptions(dataset="my photos/$x", num_rounds=60, seed=7, resume=True, explicit=explicit)
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {options.command_to_resume(pathlib.Path('../a b'))}"],
        capture_output=True,
        text=True,
    )
    words = done.stdout.splitlines()
    words = words[words.index("demo") :]
    assert words == ["demo", "--output", "../a b", "--dataset", "my photos/$x", "--rounds", "60", "--resume"]


@pytest.mark.parametrize("is_on_path", [False, True])
def test_the_python_that_is_named_is_the_one_with_tensorflow(tmp_path, monkeypatch, is_on_path):
    strange = tmp_path / "python"
    strange.write_text("#!/bin/sh\nexit 1\n")
    strange.chmod(0o755)
    monkeypatch.setenv("UV", "")
    folder = pathlib.Path(sys.executable).parent if is_on_path else tmp_path
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorflow') is None)"
    assert subprocess.run(f'{our_python()} -c "{look}"', shell=True).returncode == 0
    assert our_python() == "python" or not is_on_path
    monkeypatch.setenv("UV", "/usr/bin/uv")
    assert our_python() == "uv run python"


@pytest.mark.parametrize("uv", ["", "/usr/bin/uv"])
def test_grading_repeats_its_command_as_the_user_called_it(invoke, monkeypatch, uv):
    monkeypatch.setenv("UV", uv)
    seen = []
    monkeypatch.setattr("fedlearn_edu.course.grading.run_grading", lambda *_, command, **__: seen.append(command) or 0)
    assert invoke("grade", "my work", "--lesson", "04")[0] == 0
    called = ["uv", "run", "fedlearn-edu"] if uv else ["fedlearn-edu"]
    assert seen == [[*called, "grade", "my work", "--lesson", "04"]]


def test_ctrl_c_before_the_first_round_leaves_nothing_and_says_so(invoke, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fl, "load_dataset", interrupted)
    code, output = invoke("demo", "--output", "run")
    assert code == 130
    assert output.strip() == "Stopped before round 0 was measured: nothing is kept; give the same command again."
    assert list(tmp_path.iterdir()) == []


def test_asyncio_says_nothing_of_the_tasks_an_interrupted_run_leaves(invoke, monkeypatch, caplog):
    import asyncio

    def leave_a_task_behind(options):
        loop = asyncio.new_event_loop()
        task = loop.create_task(asyncio.sleep(60))
        loop.run_until_complete(asyncio.sleep(0))
        del task
        loop._ready.clear()
        loop._scheduled.clear()
        gc.collect()  # "Task was destroyed but it is pending!"
        loop.close()
        return 130

    monkeypatch.setattr("fedlearn_edu.demo.run_demo", leave_a_task_behind)
    asyncio_logger = logging.getLogger("asyncio")
    monkeypatch.setattr(asyncio_logger, "level", asyncio_logger.level)
    code, output = invoke("demo")
    assert code == 130
    assert "Task was destroyed" not in output + caplog.text


# --- bad input: one line, exit code, nothing left behind ---------------------------------------------------------


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs a command in this process, in an empty folder; returns exit code and output."""
    return functools.partial(invoke_command, monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "fashon"], ["fashon", "did you mean 'fashion'?"]),
        (["--dataset", "missing/folder"], ["missing/folder"]),
        (["--backbone", "mobilnet_v2"], ["mobilnet_v2", "did you mean 'mobilenet_v2'?"]),
        (["--partition", "dirichlett:1"], ["dirichlett", "dirichlet"]),
        (["--partition", "dirichlet:-1"], ["dirichlet", "-1"]),
        (["--partition", "dirichlet:abc"], ["abc"]),
        (["--partition", "natural"], ["natural"]),
        (["--backbone", "nosuch", "--dataset", "nosuch_either"], ["backbone", "nosuch"]),
        (["--num-clients", "20000"], ["num_clients", "20000"]),
        (["--num-clients", "0"], ["--num-clients: expected at least 1, got 0"]),
        (["--clients-per-round", "51"], ["--clients-per-round", "50", "51"]),
        (
            ["--num-clients", "5", "--clients-per-round", "6"],
            ["--clients-per-round: expected at most --num-clients (5)"],
        ),
        (["--rounds", "0"], ["--rounds: expected at least 1, got 0"]),
        (["--rounds", "-5"], ["--rounds: expected at least 1, got -5"]),
        (["--rounds", "many"], ["--rounds", "many"]),
        (["--client-lr", "nan"], ["--client-lr", "got nan"]),
        (["--client-lr", "1e9"], ["--client-lr", "at most 100"]),
        (["--client-lr", "-0.1"], ["--client-lr", "got -0.1"]),
        (["--seed", "-1"], ["--seed: expected a whole number from 0 to 2147483647, got -1"]),
        (["--seed", "4294967296"], ["--seed: expected a whole number from 0 to 2147483647"]),
        (
            ["--algorithm", "fedavg"],
            ["--algorithm", "did you mean weighted_fed_avg or unweighted_fed_avg or q_fed_avg?"],
        ),
        (["--algorithm", "scafold"], ["--algorithm", "did you mean 'scaffold'?"]),
        (["--algorithm", "_"], ["--algorithm", "Known: "]),
        (["--output", "run[1]"], ["--output: expected a folder without * ? [ ]", "'run[1]'; try 'run_1_'"]),
        (["--nothing"], ["--nothing"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_usage_errors(invoke, tmp_path, arguments, words):
    code, output = invoke("demo", *arguments)
    assert code == 2, output
    error = output.strip().splitlines()[-1]
    assert error.startswith("Error: ")
    assert all(word in error for word in words), error
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []


def test_folder_problems(invoke, tmp_path, photos):
    (tmp_path / "empty").mkdir()
    one_class = tmp_path / "one"
    shutil.copytree(photos / "anna" / "dark", one_class / "dark")
    broken = tmp_path / "broken"
    shutil.copytree(photos / "anna", broken)
    (broken / "dark" / "3.png").write_bytes(b"not an image")
    before = sorted(tmp_path.iterdir())
    for folder, words in [("empty", ["empty"]), ("one", ["class"]), ("broken", ["3.png"])]:
        code, output = invoke("demo", "--dataset", tmp_path / folder)
        assert code == 2, output
        error = output.strip().splitlines()[-1]
        assert all(word in error for word in words), error
    assert sorted(tmp_path.iterdir()) == before


def test_no_feature_vector(invoke, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([2], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "model"))
    code, output = invoke("demo", "--backbone", tmp_path / "model")
    assert code == 2, output
    assert output.strip().splitlines()[-1].startswith("Error: ")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_output_problems(invoke, tmp_path, finished):
    folder, _ = finished
    (tmp_path / "file").write_text("mine")
    code, output = invoke("demo", "--output", tmp_path / "file")
    assert (code, "expected a folder" in output) == (2, True), output
    code, output = invoke("demo", "--output", tmp_path / "file" / "below")
    assert (code, "cannot be written" in output) == (2, True), output
    code, output = invoke("demo", "--output", folder)
    assert (code, "already holds a run; add --resume" in output) == (2, True), output
    code, output = invoke("demo", "--output", folder, "--resume", "--seed", "4")
    assert (code, "holds another run (--seed was 3, is now 4)" in output) == (2, True), output
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "history.csv").write_text("mine")
    code, output = invoke("demo", "--output", tmp_path / "other")
    assert (code, "is not of a demo run" in output) == (2, True), output
    assert (tmp_path / "other" / "history.csv").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; a full disk is simulated in test_features.py")
def test_read_only_output(invoke, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, output = invoke("demo", "--output", tmp_path / "locked" / "run")
    assert (code, "cannot be written" in output) == (2, True), output


def test_a_full_disk_is_one_line_and_exit_1(invoke, monkeypatch):
    from fedlearn_edu.simulation.history_files import HistoryFiles

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HistoryFiles, "save", full)
    code, output = invoke("demo", *SMALL, "--rounds", 1)
    assert code == 1
    assert "No space left on device" in output.strip().splitlines()[-1]
    assert "Traceback" not in output


def test_unexpected_errors_are_one_line_too(invoke, monkeypatch):
    def broken(options):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("fedlearn_edu.demo.run_demo", broken)
    code, output = invoke("demo")
    assert code == 1
    assert output.strip() == ("Error: unexpected ZeroDivisionError: two (set FEDLEARN_EDU_DEBUG=1 for the traceback)")


# --- results that fail, runs that meet, terminals that cannot draw -----------------------------------------------


def test_results_stand_without_the_picture_and_resume_makes_what_is_missing(invoke, photos, tmp_path, monkeypatch):
    import tensorflow as tf

    from fedlearn_edu import plotting

    save_model = tf.saved_model.save  # by which TFF keeps its checkpoints as well

    def save(module, path, **options):
        if ".model." in path:
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
        return save_model(module, path, **options)

    def plot_run(*_, **__):
        raise RuntimeError("no LaTeX\nat all")

    (photos / "anna").rename(photos / "$10_$20")  # as a formula, Matplotlib refuses it
    arguments = ["--dataset", photos, "--partition", "natural", "--rounds", 1, "--output", "run"]
    with monkeypatch.context() as patch:
        patch.setattr(plotting, "plot_run", plot_run)
        patch.setattr(tf.saved_model, "save", save)
        code, output = invoke("demo", *arguments)
    assert code == 1, output
    assert "Traceback" not in output
    warnings = [line for line in output.splitlines() if line.startswith("Warning: ")]
    assert len(warnings) == 2, output
    assert re.search(r"model could not be written \(.*No space left on device\)", warnings[0])
    assert re.search(r"accuracy.png could not be written \(no LaTeX\)", warnings[1])
    folder = tmp_path / "run"
    assert json.loads((folder / "summary.json").read_text())["num_rounds"] == 1
    history = (folder / "history.csv").read_bytes()
    assert not (folder / "model").exists()
    assert not (folder / "accuracy.png").exists()
    code, output = invoke("demo", "--output", "run", "--resume")
    assert code == 0, output
    assert (folder / "history.csv").read_bytes() == history
    assert (folder / "model" / "saved_model.pb").exists()
    assert (folder / "accuracy.png").exists()
    assert "$10_$20" in output
    (photos / "$10_$20").rename(photos / "anna")


def test_a_folder_is_taken_before_anything_is_loaded_and_a_second_run_changes_nothing(invoke, tmp_path, monkeypatch):
    """The first run is stopped in its loading, where a second one is started on the same folder."""
    seen = []

    def loading(*_, **__):
        folder = tmp_path / "run"
        before = {path: path.read_bytes() for path in folder.iterdir()}
        assert json.loads((folder / "run.json").read_text())["seed"] == 3
        for seed, resume in [(3, []), (4, []), (3, ["--resume"])]:
            result = subprocess.run(
                [*COMMAND, "demo", "--output", "run", "--seed", str(seed), *resume],
                cwd=tmp_path, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            assert result.returncode == 2
            assert re.fullmatch(rf"Error: --output: run is in use .* \(process {os.getpid()}\).*\n", result.stderr)
            assert {path: path.read_bytes() for path in folder.iterdir()} == before
        seen.append(before)
        raise fl.UsageError("the first one fails later")

    monkeypatch.setattr(fl, "load_dataset", loading)
    code, output = invoke("demo", *SMALL, "--output", "run")
    assert (code, "the first one fails later" in output) == (2, True), output
    assert seen
    assert list(tmp_path.iterdir()) == []  # so that the same command may be given again


def test_numbered_runs_never_share_a_number(tmp_path, monkeypatch):
    from fedlearn_edu.demo_folder import DemoFolder

    monkeypatch.chdir(tmp_path)
    for name in ("²", "x", "7"):
        (tmp_path / "fedlearn-edu-run" / name).mkdir(parents=True)
    first, second = DemoFolder(None, resume=False), DemoFolder(None, resume=False)
    assert (first.path.name, second.path.name) == ("8", "9")
    for folder in (first, second):
        folder.close()  # nothing came of them
    assert sorted(path.name for path in (tmp_path / "fedlearn-edu-run").iterdir()) == ["7", "x", "²"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "koi8-r"])
def test_terminals_that_cannot_draw_get_plain_characters(monkeypatch, encoding):
    drawn = "70 % ███ Zoë… 1 ± 2 → 3 東"
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["fedlearn-edu", "demo"])
    monkeypatch.setattr("fedlearn_edu.demo.run_demo", lambda options: print(drawn) or 0)
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 0
    stream.flush()
    plain = {"█": "#", "ë": "?", "…": "...", "±": "+/-", "→": "->", "東": "?"}

    def writable(character):
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            return plain[character]
        return character

    assert stream.buffer.getvalue().decode(encoding) == "".join(map(writable, drawn)) + "\n"


# --- help ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["demo"], ["pretrain"], ["doctor"], ["lab"], ["exercises", "handout"]])
def test_help_has_examples_and_a_text_for_every_option(command):
    result = CliRunner().invoke(cli.cli, [*command, "--help"])
    assert result.exit_code == 0
    assert f"Examples:\n    fedlearn-edu {' '.join(command)}" in result.output
    found = cli.cli
    for name in command:
        found = found.commands[name]
    for parameter in found.params:
        assert parameter.param_type_name == "argument" or parameter.help, parameter.name


def test_the_help_lists_each_command_once_and_no_line_is_cut():
    result = CliRunner().invoke(cli.cli, ["--help"])
    assert result.exit_code == 0
    assert "..." not in result.output.replace("[ARGS]...", "")
    listed = re.findall(r"^  (\w+)  ", result.output.split("Start here:")[1], re.M)
    assert sorted(listed) == sorted(cli.cli.commands)


def test_help_does_not_wait_for_large_libraries():
    large = ("tensorflow", "matplotlib", "pandas", "numpy", "nbformat", "PIL")
    source = f"import sys, fedlearn_edu.cli; print([m for m in {large} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("edited", ['{"num_rounds": "many"}', '{"seed": null}', '{"dataset": 5}', "[" * 100_000])
def test_demo_options_that_were_edited_by_hand_are_refused_in_one_line(invoke, tmp_path, edited):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(edited)
    code, output = invoke("demo", "--output", tmp_path / "run", "--resume")
    assert (code, output) == (2, f"Error: --resume: {tmp_path / 'run'}/run.json is damaged; choose another --output\n")

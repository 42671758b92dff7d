"""A library that is loaded when it is used, and not when it is imported."""

import importlib
import subprocess
import sys
import threading

import pytest

from fedlearn_edu.later import load_when_used


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Makes a package `put_off` of this source, which counts how often it is run in the file `runs`."""

    def make(source):
        folder = tmp_path / "put_off"
        folder.mkdir()
        count = f"with open({str(tmp_path / 'runs')!r}, 'a') as file: file.write('x')\n"
        (folder / "__init__.py").write_text(count + source)
        (folder / "part.py").write_text("number = 4\n")
        monkeypatch.syspath_prepend(tmp_path)
        load_when_used("put_off")
        return lambda: len((tmp_path / "runs").read_text()) if (tmp_path / "runs").exists() else 0

    yield make
    for name in ("put_off", "put_off.part"):
        sys.modules.pop(name, None)


def test_the_first_use_loads_it_and_no_import_does(library):
    runs = library("from put_off import part\nnumber = part.number\ndef __getattr__(name): return name.upper()")
    import put_off

    assert not hasattr(put_off, "__warningregistry__")
    assert put_off.__file__.endswith("__init__.py")
    assert runs() == 0
    found = []
    threads = [threading.Thread(target=lambda: found.append(put_off.number)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [4] * 4
    assert put_off.other == "OTHER", "what it has of its own for names that it lacks"
    assert importlib.import_module("put_off.part").number == 4
    assert runs() == 1


def test_a_library_that_fails_fails_where_it_is_used_and_may_be_tried_again(library):
    runs = library("raise ImportError('no libfoo')")
    import put_off

    for _ in range(2):
        with pytest.raises(ImportError, match="no libfoo"):
            _ = put_off.number
    assert runs() == 2


def test_a_name_that_it_does_not_have_is_an_attribute_error(library):
    library("import put_off\nlater = hasattr(put_off, 'number')\nnumber = 1")
    import put_off

    with pytest.raises(AttributeError, match="nothing"):
        _ = put_off.nothing
    assert (put_off.later, put_off.number) == (False, 1)


def test_what_is_not_installed_stays_so():
    load_when_used("no_such_library")
    assert importlib.util.find_spec("no_such_library") is None


def test_tff_does_without_tensorflow_probability_until_it_is_used():
    source = "import sys, fedlearn_edu as fl; fl.linear_head; import tensorflow_probability as tfp\n"
    source += "print('tensorflow_federated' in sys.modules, 'tensorflow_probability.python' in sys.modules)\n"
    source += "print(float(tfp.distributions.Bernoulli(probs=1.0).mean()))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "1.0"], done.stderr

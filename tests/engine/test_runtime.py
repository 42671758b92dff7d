"""The worker process: never left behind, never waited for without end, interruptible."""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import grpc
import jupyter_client
import numpy as np
import psutil
import pytest
import tensorflow_federated as tff
from open_ports import open_ports

import fedlearn_edu as fl
from fedlearn_edu.engine import runtime
from fedlearn_edu.engine.worker import Worker

START = """
import pathlib, sys, time
import fedlearn_edu as fl
worker = fl.start_runtime()
import tensorflow_federated as tff
tff.federated_computation(lambda: "hello")()
pathlib.Path({path!r}).write_text(str(worker.pid))
"""
# A computation that keeps the worker busy far longer than any test waits.
BUSY = """
import numpy as np, tensorflow as tf
@tff.tensorflow.computation(np.int64)
def busy(n):
    return tf.while_loop(lambda i, x: i < n, lambda i, x: (i + 1, x + i), [tf.constant(0, tf.int64)] * 2)[1]
"""


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def started_script(tmp_path, ending):
    """A script that computes once and then goes on to `ending`, and its worker's pid; both are gone at the end."""
    path = tmp_path / "worker_pid"
    source = START.format(path=str(path)) + textwrap.dedent(ending)
    with open(tmp_path / "output.txt", "w") as output:  # a file: a pipe would be held by a worker left behind
        script = subprocess.Popen([sys.executable, "-c", source], stdout=output, stderr=output)
    try:
        wait_until(lambda: (path.exists() and path.read_text()) or script.poll() is not None, 120)
        yield script, int(path.read_text())
    finally:
        script.kill()
        script.wait()
        if path.exists() and path.read_text():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signal.SIGKILL)


def send_until_it_ends(script, signal_number, seconds=60.0):
    """Sends the signal, and again every few seconds.

    A KeyboardInterrupt that comes while Python can only print exceptions, as in a callback of its garbage collection
    (JAX has one), is lost; people press Ctrl-C again then.
    """
    deadline = time.monotonic() + seconds
    while True:
        script.send_signal(signal_number)
        try:
            return script.wait(5)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, "waited too long"


@pytest.mark.parametrize(
    ("ending", "signal_number"),
    [
        ("pass", None),
        ("raise ValueError('an exception')", None),
        ("time.sleep(60)", signal.SIGINT),
        ("time.sleep(60)", signal.SIGTERM),
        ("time.sleep(60)", signal.SIGKILL),
        (BUSY + "busy(10**12)", signal.SIGINT),
        (BUSY + "busy(10**12)", signal.SIGTERM),
    ],
    ids=["exit", "exception", "ctrl_c", "sigterm", "sigkill", "ctrl_c_while_busy", "sigterm_while_busy"],
)
def test_no_worker_is_left_behind(tmp_path, ending, signal_number):
    with started_script(tmp_path, ending) as (script, worker_pid):
        if signal_number:
            time.sleep(0.5)
            assert is_running(worker_pid)
            send_until_it_ends(script, signal_number)
        script.wait(60)  # a machine under load takes its time
        wait_until(lambda: not is_running(worker_pid), 10)


def test_no_worker_is_left_behind_by_a_kernel_restart(tmp_path):
    path = tmp_path / "worker_pid"
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    try:
        reply = client.execute_interactive(START.format(path=str(path)), timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        worker_pid = int(path.read_text())
        assert is_running(worker_pid)
        assert open_ports(worker_pid) == []
        manager.restart_kernel(now=True)
        wait_until(lambda: not is_running(worker_pid), 10)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_jupyters_stop_leaves_a_usable_kernel(tmp_path):
    """Interrupting a running TFF call raises KeyboardInterrupt there, and the next call computes."""
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    try:
        source = START.format(path=str(tmp_path / "worker_pid")) + BUSY
        assert client.execute_interactive(source, timeout=60)["content"]["status"] == "ok"
        timer = threading.Timer(1.0, manager.interrupt_kernel)
        timer.start()
        reply = client.execute_interactive("busy(10**12)", timeout=30, output_hook=lambda message: None)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        reply = client.execute_interactive("assert busy(10) == 45", timeout=30)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def double_sum(values):
    double = tff.tensorflow.computation(lambda x: 2 * x, np.int32)
    total = tff.federated_computation(
        lambda x: tff.federated_sum(tff.federated_map(double, x)), tff.FederatedType(np.int32, tff.CLIENTS)
    )
    return total(values)


def test_computes_in_any_thread_and_survives_a_dead_worker():
    worker = fl.start_runtime()
    assert double_sum([1, 2, 3]) == 12
    first_pid = worker.pid
    os.kill(first_pid, signal.SIGKILL)
    wait_until(lambda: not is_running(first_pid))
    results = []

    def compute():
        fl.start_runtime()
        results.append(double_sum([5]))

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join(30)
    assert results == [10]
    assert worker.pid != first_pid


def test_stop_runtime_ends_the_worker_and_the_next_call_starts_one():
    worker = fl.start_runtime()
    double_sum([1])
    pid = worker.pid
    fl.stop_runtime()
    assert not is_running(pid)
    assert worker.pid is None
    assert double_sum([4]) == 8


def write_script(tmp_path, text):
    path = tmp_path / "worker.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_worker_that_never_answers_is_given_up_at_the_deadline(tmp_path):
    worker = Worker(executable=write_script(tmp_path, "exec sleep 60"), start_deadline_s=1.0)
    started = time.monotonic()
    with pytest.raises(fl.RunError, match=r"did not answer within 1 s; run `fedlearn-edu doctor`"):
        worker.stub()
    assert time.monotonic() - started < 10
    assert worker.pid is None


def test_a_worker_that_ends_while_starting_says_its_last_words(tmp_path):
    worker = Worker(executable=write_script(tmp_path, "echo libfoo.so is missing >&2; exit 3"))
    with pytest.raises(fl.RunError, match=r"ended with code 3 while starting: libfoo.so is missing"):
        worker.stub()


def test_a_worker_that_cannot_be_started(tmp_path):
    with pytest.raises(fl.RunError, match="cannot be started"):
        Worker(executable=str(tmp_path / "nothing")).stub()


def test_a_worker_that_dies_again_and_again_ends_the_call(tmp_path, monkeypatch):
    """Without a limit TFF would retry for ever."""
    worker = Worker()
    context = runtime.RuntimeContext(worker)
    done = threading.Event()

    def kill_every_worker():
        while not done.wait(0.05):
            worker.kill()

    killer = threading.Thread(target=kill_every_worker)
    killer.start()
    previous = tff.framework.get_context_stack().current
    tff.framework.set_default_context(context)
    try:
        with pytest.raises(fl.RunError, match="TFF worker ended"):
            double_sum([1])
    finally:
        tff.framework.set_default_context(previous)
        done.set()
        killer.join()
        worker.stop()


def test_import_is_cheap_and_quiet():
    """At most 0.3 s and no TensorFlow; loading TensorFlow and TFF through us prints nothing."""
    source = "import time; t = time.perf_counter(); import fedlearn_edu; print(time.perf_counter() - t)"
    source += "; import sys; print('tensorflow' in sys.modules)"
    seconds, loaded = min(run_python(source).stdout.split() for _ in range(3))
    assert float(seconds) < 0.3
    assert loaded == "False"
    for used in ("fl.start_runtime(); fl.linear_head", "fl.linear_head"):  # with our runtime, and with none
        loud = run_python(f"import fedlearn_edu as fl; {used}")
        assert loud.returncode == 0
        assert loud.stdout + loud.stderr == ""


def run_python(source):
    environment = {k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY")}
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=environment, cwd=pathlib.Path.home()
    )


@pytest.mark.parametrize(("error", "told"), [(grpc.RpcError("worker gone"), False), (ValueError("ours"), True)])
def test_a_lost_request_is_no_news_and_any_other_failure_is(error, told, caplog):
    fl.start_runtime()

    async def fail():
        raise error

    async def forget():
        task = asyncio.get_running_loop().create_task(fail())
        await asyncio.wait([task])

    runtime._context._loop.submit(forget()).result(10)
    gc.collect()  # asyncio complains when a task goes whose exception nobody has asked for
    assert ("ours" in caplog.text) == told
    assert "worker gone" not in caplog.text


INTERRUPTED = """
import os, signal, threading, time

def interrupt(after_s, times):
    def send():
        time.sleep(after_s)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.002)
        while not taken.wait(5):  # Python may have lost it, see `send_until_it_ends`
            os.kill(os.getpid(), signal.SIGINT)
    taken.clear()
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread

taken = threading.Event()

def whatever_comes(action):
    while True:
        try:
            return action()
        except KeyboardInterrupt:  # the second and third may come anywhere
            pass

def compute_once():
    if todo:
        todo.pop()
        busy(10**12)
    taken.set()
    sender.join()

for after_s, times in [(0.0, 1), (0.02, 1), (0.1, 2), (0.3, 1), (0.5, 3), (0.6, 2)]:
    fl.stop_runtime()  # so that the start of a worker is interrupted too
    todo, sender = [1], interrupt(after_s + 0.01, times)
    whatever_comes(lambda: whatever_comes(compute_once))
assert busy(10) == 45

def beside():
    fl.start_runtime()
    results.append(busy(50000))
results = []
other = threading.Thread(target=beside)
try:
    other.start()
    interrupt(0.2, 1)
    busy(10**12)
except KeyboardInterrupt:
    taken.set()
    other.join()  # it starts over, since its worker was taken away
assert results == [sum(range(50000))], results
print("goes on")
interrupt(0.5, 1)
busy(10**12)
"""


def test_ctrl_c_at_any_moment_says_nothing_of_asyncio(tmp_path):
    """Also twice in quick succession, and the last one ends the script while its computation runs."""
    with started_script(tmp_path, BUSY + INTERRUPTED) as (script, _):
        assert script.wait(120) == -signal.SIGINT
    output = (tmp_path / "output.txt").read_text()
    said = [line for line in output.splitlines() if line.strip() and not line.startswith(" ")]
    assert said == ["goes on", "Traceback (most recent call last):", "KeyboardInterrupt"], output


def test_a_forked_child_is_told_to_spawn():
    """What TensorFlow's threads held at the fork is held for ever in the child: it must not start to wait."""
    worker = fl.start_runtime()
    double_sum([1])
    pid, stop = worker.pid, fl.stop_runtime
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def compute():
        for call in (fl.start_runtime, lambda: double_sum([1]), worker.start):
            try:
                answers.put(call())
            except fl.RunError as error:
                answers.put(str(error))
        stop()  # the worker is not the child's to end

    child = context.Process(target=compute)
    child.start()
    try:
        told = [answers.get(timeout=20) for _ in range(3)]
    finally:
        child.join(5)
        child.kill()
    assert all('multiprocessing.get_context("spawn")' in text for text in told), told
    assert child.exitcode == 0
    assert worker.pid == pid
    assert double_sum([4]) == 8


def test_reading_names_starts_nothing_and_making_a_process_does():
    source = """
import fedlearn_edu as fl, tensorflow_federated as tff, numpy as np
def show(): print(type(tff.framework.get_context_stack().current).__name__)
for name in fl.__all__: getattr(fl, name)
show()
clients = fl.partition(fl.load_dataset("fashion"), fl.IID(), num_clients=2, seed=0)
features = clients.with_examples(np.zeros([len(clients.labels), 3], np.float32))
fl.build_unweighted_fed_avg(fl.linear_head(features))
show()
"""
    printed = run_python(source)
    before, after = printed.stdout.split()
    assert after == "RuntimeContext", printed.stderr[-500:]
    assert before != after

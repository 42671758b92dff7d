"""The worker is its owner's alone: no port, no way in for another user, and no start where that cannot be had."""

import contextlib
import ctypes
import errno
import json
import os
import pathlib
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import tensorflow_federated as tff
from hypothesis import given, settings
from hypothesis import strategies as st
from open_ports import open_ports

import fedlearn_edu as fl
from fedlearn_edu.cache_folder import CACHE_VARIABLE
from fedlearn_edu.engine import runtime, socket_folder
from fedlearn_edu.engine import worker as worker_module
from fedlearn_edu.engine.bind_swap import BindSwap
from fedlearn_edu.engine.private_copy import open_private_copy
from fedlearn_edu.engine.socket_folder import SocketFolder, check_nobody_else_can_rename
from fedlearn_edu.engine.worker import Worker
from fedlearn_edu.engine.worker_access import OPEN_VARIABLE, OpenPort, PrivateCopy, SwappedSocket

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The copy takes 300 MB: one for all tests of this file."""
    folder = tmp_path_factory.mktemp("cache")
    yield folder
    for copy in folder.glob("worker/*"):
        copy.unlink()


@pytest.fixture(params=[SwappedSocket, PrivateCopy], ids=["notification", "copy"])
def worker(request, cache, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    monkeypatch.setattr(worker_module, "CLOSED_WAYS", (request.param,))
    worker = Worker()
    yield worker
    worker.stop()


def socket_of(worker):
    return pathlib.Path(worker.access.target.removeprefix("unix:"))


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def outcome_in_fork(action, *, user=None):
    """Returns the name of the error that `action` ends with in a forked child, as another user if one is named."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            action()
            outcome = "none"
        except BaseException as error:
            outcome = type(error).__name__
        os.write(writing, outcome.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return stream.read()


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))


@contextlib.contextmanager
def computing_with(worker):
    context, previous = runtime.RuntimeContext(worker), tff.framework.get_context_stack().current
    tff.framework.set_default_context(context)
    try:
        yield
    finally:
        tff.framework.set_default_context(previous)


@tff.tensorflow.computation(np.int32)
def double(x):
    return 2 * x


def test_it_computes_without_a_port_also_after_a_restart(worker):
    with computing_with(worker):
        assert double(3) == 6
        first = worker.pid
        assert open_ports(first) == []
        worker.kill()
        assert double(4) == 8
        assert worker.pid != first
        assert open_ports(worker.pid) == []


@as_root
def test_another_user_is_refused_and_the_owner_is_not(worker):
    worker.start()
    path = socket_of(worker)
    assert outcome_in_fork(lambda: connect(path)) == "none"
    assert outcome_in_fork(lambda: connect(path), user=NOBODY) == "PermissionError"
    assert outcome_in_fork(lambda: os.listdir(path.parent), user=NOBODY) == "PermissionError"


def test_its_folder_goes_with_it(worker):
    worker.start()
    folder = socket_of(worker).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    worker.stop()
    assert not folder.exists()


def test_the_owner_keeps_nothing_that_a_fork_could_inherit(worker):
    """A copy of the socket would outlive the worker; one of the notifications would keep a later bind waiting."""
    worker.start()
    mine, workers = descriptors_of(os.getpid()), descriptors_of(worker.pid)
    sockets = {link for link in workers if link.startswith("socket:")}
    assert sockets
    assert not sockets & mine
    assert not any("seccomp" in link or "worker_binary" in link for link in mine)


def descriptors_of(pid):
    links = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the others is closed again
            links.add(os.readlink(entry))
    return links


# A script whose environment says what the kernel shall refuse, starts a worker and tells how it is reached.
OWNER = """
import json, sys, time
from fedlearn_edu.errors import RunError
from fedlearn_edu.engine.worker import Worker
worker = Worker()
try:
    access = worker.start()
    told = {"reached_by": access.reached_by, "pid": worker.pid, "target": access.target}
except RunError as error:
    told = {"error": str(error)}
print(json.dumps(told), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def owner(cache, *, filters=(), flags=0, **variables):
    """Starts OWNER below these seccomp filters; yields its process and what it told."""
    environment = {**os.environ, CACHE_VARIABLE: str(cache), **variables}

    def install():
        for program in filters:
            install_filter(program, flags)

    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OWNER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, preexec_fn=install, text=True,
        close_fds=not flags,
    )  # fmt: skip
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_kill_minus_nine_of_the_owner_leaves_nobody_listening(cache, tmp_path, monkeypatch):
    """An empty folder stays, since nobody is there to remove it; the next start does so when it is old enough."""
    with owner(cache, XDG_RUNTIME_DIR=str(tmp_path)) as (process, told):
        path = pathlib.Path(told["target"].removeprefix("unix:"))
        assert path.parent.parent == tmp_path
        connect(path)
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: not pathlib.Path(f"/proc/{told['pid']}").exists())
        with pytest.raises(ConnectionRefusedError):
            connect(path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    os.utime(path.parent, (0, 0))
    folder = SocketFolder()
    assert not path.parent.exists()
    folder.remove()


def line(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value)


def refusing(calls, number=errno.EPERM):
    """A filter that refuses these system calls (x86-64) with this error."""
    tests = b"".join(line(0x15, call, 0, 1) + line(0x06, 0x00050000 | number) for call in calls)
    return line(0x20, 0) + tests + line(0x06, 0x7FFF0000)


def refusing_ioctl(request, number):
    refuse = line(0x20, 24) + line(0x15, request, 0, 1) + line(0x06, 0x00050000 | number)  # 24: the second argument
    return line(0x20, 0) + line(0x15, 16, 0, len(refuse) // 8) + refuse + line(0x06, 0x7FFF0000)


def install_filter(program, flags=0):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc.prctl(38, 1, 0, 0, 0)
    result = libc.syscall(317, 1, flags, header)
    assert result >= 0, os.strerror(ctypes.get_errno())
    if flags:
        os.set_inheritable(result, True)


# What Docker's default profile refuses to a container without capabilities, as far as it could matter here:
# unshare, setns, mount, umount2, pivot_root, chroot, ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_getfd,
# bpf, perf_event_open, userfaultfd, add_key, request_key, keyctl, open_by_handle_at, io_uring_setup, fanotify_init.
LIKE_DOCKER = refusing(
    [272, 308, 165, 166, 155, 161, 101, 310, 311, 312, 438, 321, 298, 323, 248, 249, 250, 304, 425, 300]
)
NO_CLONE3 = refusing([435], errno.ENOSYS)
NO_SECCOMP = refusing([317])
OLD_KERNEL = refusing_ioctl(0x40182103, errno.EINVAL)  # SECCOMP_IOCTL_NOTIF_ADDFD is of Linux 5.9


def test_below_a_filter_like_dockers_the_notification_does(cache):
    """No user namespaces, no ptrace, no pidfd_getfd."""
    with owner(cache, filters=[LIKE_DOCKER, NO_CLONE3]) as (_, told):
        assert "only you can enter (system call notification)" in told["reached_by"]
        assert open_ports(told["pid"]) == []


@pytest.mark.parametrize("program", [NO_SECCOMP, OLD_KERNEL], ids=["seccomp_refused", "old_kernel"])
def test_where_there_are_no_notifications_the_copy_does(cache, program):
    with owner(cache, filters=[program]) as (_, told):
        assert "only you can enter (private copy)" in told["reached_by"]
        assert open_ports(told["pid"]) == []


def test_where_another_program_has_the_notifications_the_copy_does(cache):
    """Linux lets only one filter of a process notify: so below a container manager that watches its containers."""
    new_listener = 8
    with owner(cache, filters=[line(0x06, 0x7FFF0000)], flags=new_listener) as (_, told):
        assert "only you can enter (private copy)" in told["reached_by"]


def test_where_nothing_closes_it_it_is_not_started_unless_asked_for_by_name(tmp_path):
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    with owner(not_a_folder, filters=[NO_SECCOMP], **{OPEN_VARIABLE: ""}) as (_, told):
        assert "\n" not in told["error"]
        assert "(system call notification: Operation not permitted; private copy: " in told["error"]
        assert "with FEDLEARN_EDU_OPEN_WORKER=1 it starts open" in told["error"]
    with owner(not_a_folder, filters=[NO_SECCOMP], **{OPEN_VARIABLE: "1"}) as (_, told):
        [port] = open_ports(told["pid"])
        assert told["reached_by"] == f"OPEN: TCP port {port} of all interfaces, without a password"


def test_who_asks_for_an_open_worker_where_a_closed_one_can_be_had_gets_the_closed_one(cache):
    with owner(cache, **{OPEN_VARIABLE: "1"}) as (_, told):
        assert open_ports(told["pid"]) == []


class SaysItIsClosed(OpenPort):
    is_open = False


def test_a_worker_that_has_a_port_all_the_same_is_not_used(monkeypatch):
    """If a way failed silently, nobody would notice: so the kernel's tables are read before the first call."""
    monkeypatch.setenv(OPEN_VARIABLE, "1")
    monkeypatch.setattr(worker_module, "CLOSED_WAYS", (SaysItIsClosed,))
    monkeypatch.setattr(worker_module, "OpenPort", SaysItIsClosed)
    worker = Worker()
    with pytest.raises(fl.RunError, match=r"the worker opened port \d+ all the same"):
        worker.start()
    assert worker.pid is None


# What a program may try before it is taken over for good, and after.
BINDER = """
import ctypes, socket, sys
def attempt(action):
    try:
        return action() or "done"
    except OSError as error:
        return error.errno
first, second, third, loose = (socket.socket(socket.AF_INET6) for _ in range(4))
datagrams = socket.socket(type=socket.SOCK_DGRAM)
bound = [attempt(lambda: s.bind(("::", 0))) for s in (first, second, third)], attempt(lambda: datagrams.bind(("", 0)))
print(*bound, attempt(lambda: loose.listen()), [attempt(lambda: s.listen()) for s in (second, third)], flush=True)
sys.stdin.readline()
for listening in (second, third):  # both are the Unix socket now: as gRPC does on a machine with eight cores
    connection, _ = socket.socket(socket.AF_UNIX, fileno=listening.detach()).accept()
    connection.send(b"hello")
sys.stdin.readline()
late = socket.socket()
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 1, ctypes.create_string_buffer(120))
print(attempt(lambda: late.bind(("", 0))), attempt(lambda: late.listen()), ring, ctypes.get_errno(), flush=True)
sys.stdin.readline()
"""


def test_whatever_a_program_binds_it_gets_our_socket_and_later_nothing():
    folder = SocketFolder()
    swap = BindSwap(folder.socket)
    child = subprocess.Popen(
        [sys.executable, "-c", BINDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        preexec_fn=swap.install_in_child,
    )  # fmt: skip
    try:
        swap.take_over()
        deadline = time.monotonic() + 20
        while not select.select([child.stdout], [], [], 0)[0]:
            assert time.monotonic() < deadline
            swap.answer(0.05)
        assert swap.listens
        assert child.stdout.readline() == "['done', 'done', 'done'] done done ['done', 'done']\n"
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
            one.connect(str(folder.socket_path))
            two.connect(str(folder.socket_path))
            child.stdin.write("\n")
            assert (one.recv(5), two.recv(5)) == (b"hello", b"hello")
        assert open_ports(child.pid) == []
        swap.close()
        child.stdin.write("\n")
        gone = errno.ENOSYS
        assert child.stdout.readline() == f"{gone} {gone} -1 {gone}\n"
        assert open_ports(child.pid) == []
    finally:
        child.kill()
        child.communicate()
        swap.close()
        folder.remove()


KNOWN = b"\x7fELF--port\0[::]:\0 and what else a program holds [::]: "
LIKE_WORKER = KNOWN + bytes(range(256)) * 40


def source_in(folder, content=LIKE_WORKER):
    source = folder / "source"
    source.write_bytes(content)
    return source


def content_of(descriptor):
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def test_the_copy_differs_in_five_bytes_and_is_its_owners(tmp_path):
    source = source_in(tmp_path)
    os.close(open_private_copy(source, tmp_path / "private"))
    [copy] = (tmp_path / "private").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    changed = [(a, b) for a, b in zip(source.read_bytes(), copy.read_bytes(), strict=True) if a != b]
    assert bytes(a for a, _ in changed) == b"[::]"  # the colon stays
    assert bytes(b for _, b in changed) == b"unix"
    before = copy.stat().st_ino
    os.close(open_private_copy(source, copy.parent))
    assert copy.stat().st_ino == before  # a good copy is kept


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_planted_or_damaged_copy_is_never_opened(data):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        source, private = source_in(folder), folder / "private"
        good = content_of(open_private_copy(source, private))
        content = data.draw(
            st.one_of(
                st.binary(max_size=200),
                st.integers(0, len(good) - 1).map(lambda i: good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :]),
                st.integers(0, len(good)).map(lambda i: good[:i]),
                st.binary(min_size=1, max_size=9).map(lambda more: good + more),
            )
        )
        (private / "worker_binary").write_bytes(content)
        assert content_of(open_private_copy(source, private)) == good


def test_the_copy_of_another_installed_worker_is_replaced(tmp_path):
    content_of(open_private_copy(source_in(tmp_path), tmp_path / "private"))
    newer = LIKE_WORKER + b"newer"
    assert content_of(open_private_copy(source_in(tmp_path, newer), tmp_path / "private")).endswith(b"newer")


@pytest.mark.parametrize("content", [b"no address", KNOWN * 2], ids=["none", "twice"])
def test_an_unknown_worker_is_not_changed(tmp_path, content):
    with pytest.raises(ValueError, match="not the one of TFF"):
        open_private_copy(source_in(tmp_path, content), tmp_path / "private")
    assert list((tmp_path / "private").iterdir()) == []


@as_root
@pytest.mark.parametrize("plant", ["file_of_another", "readable_by_others", "link", "pipe"])
def test_a_copy_that_others_may_have_made_is_replaced(tmp_path, plant):
    source, private = source_in(tmp_path), tmp_path / "private"
    good = content_of(open_private_copy(source, private))
    copy = private / "worker_binary"
    if plant == "file_of_another":
        os.chown(copy, NOBODY, NOBODY)
    elif plant == "readable_by_others":
        copy.chmod(0o755)
    else:
        elsewhere = tmp_path / "elsewhere"
        copy.rename(elsewhere)
        copy.symlink_to(elsewhere) if plant == "link" else os.mkfifo(copy)
    descriptor = open_private_copy(source, private)
    status = os.fstat(descriptor)
    assert (status.st_uid, stat.S_IMODE(status.st_mode), stat.S_ISREG(status.st_mode)) == (os.geteuid(), 0o700, True)
    assert content_of(descriptor) == good
    assert not copy.is_symlink()


@as_root
@pytest.mark.parametrize("plant", ["folder_of_another", "writable_by_others", "link"])
def test_a_folder_that_others_may_have_filled_is_refused(tmp_path, plant):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    if plant == "folder_of_another":
        os.chown(private, NOBODY, NOBODY)
    elif plant == "writable_by_others":
        private.chmod(0o777)
    else:
        private.rename(tmp_path / "elsewhere")
        private.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="must be a folder of your own with mode 0700"):
        open_private_copy(source_in(tmp_path), private)


@pytest.fixture
def short_path():
    """A folder with a short name: a socket's path has at most 107 bytes, and pytest's own folders have long ones."""
    with tempfile.TemporaryDirectory(prefix="fl_") as folder:
        yield pathlib.Path(folder)


def folder_in(place, monkeypatch):
    """Returns where a worker's folder is made if XDG_RUNTIME_DIR is `place`."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(place))
    folder = SocketFolder()
    folder.remove()
    return folder.path.parent


@as_root
@pytest.mark.parametrize(
    "fault", ["missing", "file", "of_another", "writable", "below_anothers", "too_long", "relative"]
)
def test_a_place_that_will_not_do_is_passed_over(short_path, monkeypatch, fault):
    place = short_path / "place"
    if fault == "below_anothers":
        place = short_path / "theirs" / "ours"
    if fault == "too_long":
        place = short_path / ("x" * 100)
    if fault == "file":
        place.touch()
    elif fault != "missing":
        place.mkdir(parents=True, mode=0o700)
    if fault == "of_another":
        os.chown(place, NOBODY, NOBODY)
    if fault == "writable":
        place.chmod(0o777)
    if fault == "below_anothers":
        os.chown(place.parent, NOBODY, NOBODY)
    fallback = pathlib.Path(tempfile.gettempdir())
    if fault == "relative":
        monkeypatch.chdir(short_path)
        assert folder_in("place", monkeypatch) == place
        return
    assert folder_in(place, monkeypatch) == fallback
    assert not place.is_dir() or list(place.iterdir()) == []


def test_the_users_own_runtime_folder_is_taken(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    assert folder_in(tmp_path, monkeypatch) == tmp_path


def test_a_link_that_changes_after_the_check_leads_nowhere_else(short_path, monkeypatch):
    checked, another, link = short_path / "checked", short_path / "another", short_path / "link"
    for place in (checked, another):
        place.mkdir(mode=0o700)
    link.symlink_to(checked)

    def check_and_change(place):
        check_nobody_else_can_rename(place)
        link.unlink()
        link.symlink_to(another)

    monkeypatch.setattr(socket_folder, "check_nobody_else_can_rename", check_and_change)
    assert folder_in(link, monkeypatch) == checked


def test_no_place_at_all_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(socket_folder, "_places", lambda: ["/nowhere", "/proc"])
    with pytest.raises(OSError, match=r"^no folder for the socket \(/nowhere: .*; /proc: .*\): set XDG_RUNTIME_DIR"):
        SocketFolder()
    monkeypatch.setattr(worker_module, "CLOSED_WAYS", (SwappedSocket,))
    with pytest.raises(fl.RunError, match="set XDG_RUNTIME_DIR"):
        Worker().start()


@pytest.mark.parametrize("name", [b"a b%41#?&", "Zoë 東京".encode(), b"not utf-8 \xe9", b"dots..:;"])
def test_the_worker_is_reached_whatever_the_folder_is_called(short_path, monkeypatch, name):
    place = os.path.join(os.fsencode(short_path), name)
    os.mkdir(place, 0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fsdecode(place))
    monkeypatch.setattr(worker_module, "CLOSED_WAYS", (SwappedSocket,))
    worker = Worker()
    worker.start()
    try:
        assert [entry for entry in os.listdir(place) if entry.startswith(b"fedlearn_edu_worker_")]
    finally:
        worker.stop()
    assert os.listdir(place) == []


def test_only_folders_of_dead_owners_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    alive, dead, young, empty, other = (
        [SocketFolder() for _ in range(3)] + [tmp_path / "fedlearn_edu_worker_e"] + [tmp_path / "somebody_elses"]
    )
    empty.mkdir()
    other.mkdir()
    dead.socket.close()
    young.socket.close()
    for path in (alive.path, dead.path, empty, other):
        os.utime(path, (0, 0))
    new = SocketFolder()
    assert {entry.name for entry in tmp_path.iterdir()} == {alive.path.name, young.path.name, other.name, new.path.name}

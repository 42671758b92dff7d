"""A folder is believed only where no other user can change it: the oracle is another user who tries."""

import os
import pathlib
import stat
import subprocess
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fedlearn_edu as fl
from fedlearn_edu import folders

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user, or become one")


def check(path, **options):
    folders.check_private(path, what="cache", advice="choose another", **options)


def is_refused(path, **options) -> bool:
    try:
        check(path, **options)
    except fl.RunError as error:
        return "\n" not in str(error)
    return False


@pytest.fixture
def place():
    """A folder of this user's alone, in the one where everybody has theirs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield pathlib.Path(folder)


def test_what_is_made_is_the_owners_alone_whatever_the_umask(place):
    before = os.umask(0)
    try:
        made = folders.make_private(place / "a" / "b", what="cache", advice="")
    finally:
        os.umask(before)
    assert made == place / "a" / "b"
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (made.parent, made)] == [0o700, 0o700]
    check(made)


def test_the_message_says_what_where_why_and_what_to_do(place):
    (place / "a").mkdir()
    (place / "a").chmod(0o777)
    with pytest.raises(fl.RunError) as caught:
        check(place / "a" / "b")
    assert str(caught.value) == (
        f"cache: expected a folder that nobody else can change, but {place}/a can be written by every user; "
        "choose another"
    )


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o1777, False), (0o755, False), (0o703, True)])
def test_a_folder_above_may_be_open_only_if_each_removes_only_their_own(place, mode, refused):
    (place / "above" / "cache").mkdir(parents=True)
    (place / "above").chmod(mode)
    assert is_refused(place / "above" / "cache") == refused


def test_a_folder_in_which_all_may_write_is_refused_even_if_none_may_remove(place):
    place.chmod(0o1777)  # /tmp itself as a cache: anyone puts the file there first
    assert is_refused(place)


def test_a_group_of_others_may_not_write_and_ones_own_may(place, monkeypatch):
    place.chmod(0o775)
    assert not is_refused(place)
    me = folders.pwd.getpwuid(os.geteuid()).pw_name
    shared = folders.grp.struct_group(("course", "x", place.stat().st_gid, [me, "mallory"]))
    monkeypatch.setattr(folders.grp, "getgrgid", lambda gid: shared)
    assert is_refused(place)
    # A group that names nobody, but is another account's first one.
    monkeypatch.setattr(folders.grp, "getgrgid", lambda gid: folders.grp.struct_group(("g", "x", gid, [])))
    other = folders.pwd.struct_passwd(("mallory", "x", 4242, place.stat().st_gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(folders.pwd, "getpwall", lambda: [other])
    assert is_refused(place)


@needs_root
def test_what_belongs_to_another_is_refused_at_every_step(place):
    (place / "mine").mkdir()
    (place / "theirs").mkdir()
    os.chown(place / "theirs", NOBODY, NOBODY)
    for link, target in [("direct", "mine"), ("through", "theirs/on"), ("chain", "direct"), ("up", "mine/../mine")]:
        (place / link).symlink_to(place / target)
    (place / "theirs" / "on").symlink_to(place / "mine")
    os.lchown(place / "direct", NOBODY, NOBODY)
    refused = {name for name in ("mine", "theirs", "direct", "through", "chain", "up") if is_refused(place / name)}
    assert refused == {"theirs", "direct", "through", "chain"}
    assert is_refused(place / "theirs" / "not there yet")


def test_a_circle_of_links_is_no_folder(place):
    (place / "a").symlink_to(place / "b")
    (place / "b").symlink_to(place / "a")
    assert is_refused(place / "a")


@needs_root
@pytest.mark.parametrize(
    "end",
    ["closed/features", "closed/features/more", "x" * 300, "zero\0byte"],
    ids=["closed", "below closed", "too long", "zero byte"],
)
def test_what_cannot_be_looked_at_is_one_line(place, end):
    (place / "closed").mkdir(mode=0o700)
    place.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(fl.RunError, match=r"^cache: cannot look at .*; choose another$"):
            check(place / end)
    finally:
        os.seteuid(0)


def test_contents_are_looked_at_when_asked(place):
    (place / "variables").mkdir()
    (place / "variables" / "data").write_text("")
    (place / "variables" / "data").chmod(0o666)
    assert not is_refused(place)
    assert is_refused(place, contents=True)
    (place / "variables" / "data").chmod(0o644)
    (place / "pb").symlink_to(place.parent / f"{place.name}-not-there")
    assert not is_refused(place, contents=True)
    with tempfile.NamedTemporaryFile(dir="/tmp") as elsewhere:
        os.chmod(elsewhere.name, 0o666)
        (place / "link").symlink_to(elsewhere.name)
        assert is_refused(place, contents=True)


def test_links_to_folders_are_followed_once(place):
    (place / "module").mkdir()
    (place / "elsewhere").mkdir()
    (place / "module" / "variables").symlink_to(place / "elsewhere")
    (place / "elsewhere" / "back").symlink_to(place / "module")
    assert not is_refused(place / "module", contents=True)
    (place / "elsewhere" / "data").write_text("")
    (place / "elsewhere" / "data").chmod(0o666)
    assert is_refused(place / "module", contents=True)


def test_deep_folders_are_no_trouble(place):
    here = os.getcwd()
    os.chdir(place)
    for _ in range(1010):  # above Python's limit of calls within calls
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    assert not is_refused(place, contents=True)
    subprocess.run(["rm", "-rf", place / "d"], check=True)  # what Python's own removal cannot


def _nobody_can_change(root: pathlib.Path, cache: pathlib.Path) -> bool:
    """Lets another user try to put a file into `cache`, or to take any folder on the way out of its place."""
    child = os.fork()
    if child == 0:
        changed = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            changed = 0
            for folder in (cache, *cache.parents):
                if folder == root:
                    break
                for attempt in (
                    lambda folder=folder: (folder / "planted").write_text("x") if folder == cache else folder / "x",
                    lambda folder=folder: folder.rename(folder.with_name("aside")),
                ):
                    try:
                        before = (cache / "planted").exists(), cache.exists()
                        attempt()
                        changed |= before != ((cache / "planted").exists(), cache.exists())
                    except OSError:
                        pass
        finally:
            os._exit(changed)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@needs_root
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0o700, 0o711, 0o755, 0o775, 0o777, 0o1777, 0o733]),
            st.sampled_from([0, NOBODY]),
            st.sampled_from([0, NOBODY]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_another_user_manages_to_change_is_refused(levels):
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        os.chmod(root, 0o755)
        cache = pathlib.Path(root)
        for number, (_, _, _) in enumerate(levels):
            cache = cache / str(number)
        cache.mkdir(parents=True)
        folder = cache
        for mode, uid, gid in reversed(levels):
            os.chown(folder, uid, gid)
            folder.chmod(mode)
            folder = folder.parent
        refused = is_refused(cache)
        if _nobody_can_change(pathlib.Path(root), cache):
            assert refused

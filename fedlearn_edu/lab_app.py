"""JupyterLab as a learner needs it: it opens a lesson, says where in one line, and advertises nothing.

python -m fedlearn_edu.lab_app FOLDER LESSON [JUPYTERLAB'S OWN ARGUMENTS]
"""

from __future__ import annotations

import hashlib
import logging
import os
import pathlib
import sys
import urllib.parse

from jupyter_core.paths import jupyter_config_dir
from jupyter_server.serverapp import WILDCARD_IPS
from jupyterlab.commands import get_workspaces_dir
from jupyterlab.labapp import LabApp
from traitlets.config import Config

# Holds a style sheet; one of the user's own, where Jupyter looks for it, goes before it.
_LOOK = pathlib.Path(__file__).parent / "lab_look"


class LessonsApp(LabApp):
    """JupyterLab with other defaults; its command line overrules each of them."""

    lessons_root: str = ""
    first_lesson: str = ""

    @classmethod
    def get_extension_package(cls) -> str:
        """Returns the package that has the extension to start: JupyterLab, not the one of this class."""
        return "jupyterlab"

    @classmethod
    def make_serverapp(cls, **kwargs):
        """Returns the server with our defaults, before it reads its command line."""
        config = Config()
        config.ServerApp.root_dir = cls.lessons_root
        config.LabApp.default_url = f"/lab/tree/{urllib.parse.quote(cls.first_lesson)}"
        config.LabApp.workspaces_dir = _workspaces_of(cls.lessons_root)
        config.LabApp.custom_css = True
        config.LabApp.news_url = None
        config.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
        # Not for ServerApp: a more special section would win over `--debug`, which sets this one.
        config.Application.log_level = logging.ERROR
        if os.geteuid() == 0:
            config.ServerApp.allow_root = True
        server = super().make_serverapp(config=config, **kwargs)
        server.static_custom_path = [os.path.join(jupyter_config_dir(), "custom"), str(_LOOK)]  # no option of Jupyter's
        return server

    @classmethod
    def initialize_server(cls, *args, **kwargs):
        """Returns the server, set up; it will say where the lesson is once it listens."""
        server = super().initialize_server(*args, **kwargs)
        server.log.addFilter(_is_no_address)
        server.web_app.settings["page_config_hook"] = _without_announcements
        if os.geteuid() == 0 and server.allow_root:
            print("Warning: you are root, and so is every notebook here; take another user where you can.", flush=True)
        server.io_loop.add_callback(_tell_address, server, cls.first_lesson)
        return server


def _workspaces_of(root: str) -> str:
    """A place for this folder's tabs: Jupyter's own is for all folders, and reopens tabs by their paths within one."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return os.path.join(get_workspaces_dir(), f"fedlearn-edu-{name}")


def _without_announcements(handler, page_config: dict) -> dict:
    """Leaves out the plugin that asks whether one wants news, which it does also where there are none to fetch."""
    if page_config["news"]["disabled"]:
        page_config["disabledExtensions"].append("@jupyterlab/apputils-extension:announcements")
    return page_config


def _is_no_address(record: logging.LogRecord) -> bool:
    """Tells that a line is not Jupyter's own word on the server's address, of which ours takes the place."""
    return not (record.levelno == logging.CRITICAL and "token=" in record.getMessage())


def _tell_address(server, lesson: str) -> None:
    # "All interfaces" is no address; this machine's own works here, and outside a container whose port is published.
    address = server.local_url if server.ip in WILDCARD_IPS and not server.custom_display_url else server.public_url
    what = f"Lesson {pathlib.PurePath(lesson).name[:2]}" if lesson in server.default_url else "JupyterLab"
    print(f"\nTo end it: Ctrl-C, twice.\n{what}: {address}", flush=True)


def main(argv: list[str]) -> None:
    """Starts JupyterLab.

    Args:
        argv: The folder to serve, the lesson to open relative to it, and arguments for JupyterLab.
    """
    LessonsApp.lessons_root, LessonsApp.first_lesson, *rest = argv
    LessonsApp.launch_instance(rest)


if __name__ == "__main__":
    main(sys.argv[1:])

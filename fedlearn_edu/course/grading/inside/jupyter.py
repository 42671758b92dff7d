"""What a notebook finds in Jupyter without importing it: `get_ipython`, `display`, `In` and `Out`."""

from __future__ import annotations

import builtins
import site
import sys


class _Nothing:
    """Has every attribute, can be called with anything, and does nothing."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args, **kwargs):
        return self

    def __contains__(self, item):
        return True  # "IPKernelApp" in get_ipython().config

    def __iter__(self):
        return iter(())


class ZMQInteractiveShell(_Nothing):
    """Stands in for the shell: notebooks ask for its name to find out whether they run in Jupyter."""

    __module__ = "ipykernel.zmqshell"

    def __init__(self, names: dict):
        self.user_ns = names

    def getoutput(self, command, *args, **kwargs) -> list[str]:
        """What `x = !command` gives."""
        import subprocess  # here, as few notebooks need it

        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, shell=True, text=True, errors="replace", **options).stdout.splitlines()


def furnish(names: dict) -> None:
    """Puts Jupyter's names where a notebook finds them: most in `names`, its globals; two for all modules."""
    shell, nothing = ZMQInteractiveShell(names), _Nothing()
    names.update(__name__="__main__", __builtins__=builtins, __doc__=None, __package__=None, __loader__=None)
    names.update(__spec__=None, In=[""], Out={}, _="", __="", ___="", exit=sys.exit, quit=sys.exit)
    site.sethelper()
    builtins.get_ipython = lambda: shell
    builtins.display = lambda *objects, **options: nothing if options.get("display_id") else None

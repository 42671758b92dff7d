"""What a process listens on, as the kernel's own tables say."""

import os
import pathlib

_LISTENS = "0A"


def open_ports(pid):
    """Returns the TCP ports that a process listens on and the UDP ports that it has bound, from /proc."""
    held = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith("socket:["):
            held.add(target[8:-1])
    assert held, "a process without any socket would make the next lines worth nothing"
    ports = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if rest[5] in held and (state == _LISTENS or table.startswith("udp")):
                ports.append(int(local.split(":")[1], 16))
    return ports

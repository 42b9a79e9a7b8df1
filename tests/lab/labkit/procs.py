"""The processes of a lab: start, find, end.  Waiting is by pidfd or pipe, never by time."""
import contextlib
import os
import select
import signal
import subprocess
import time

from . import netns
from .layout import MARKER, LabError, search_path


def environment(lab, **more):
    """For a process of the lab: marked, our programs first in PATH, nothing of the caller's OVS or Sluice."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("OVS_", "SLUICE_RUN", "SLUICE_CNI", "CNI_")) and key != "NOTIFY_SOCKET"}
    return {**kept, MARKER: lab.dir, "PATH": search_path(), **more}


def run(argv, what=None, **options):
    """Runs a command to its end; its complaint is the error."""
    options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
    if "input" in options:
        options.pop("stdin")
    done = subprocess.run(argv, capture_output=True, text=True, **options)
    if done.returncode != 0:
        text = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"{what or os.path.basename(argv[0])} failed: {' / '.join(text[-3:]) or done.returncode}")
    return done.stdout


def run_in(name, argv, **options):
    return netns.call(name, run, argv, **options)


def environ_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _ancestors():
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def members(lab):
    """Pids of all processes that carry the lab's marker or live in one of its namespaces, but for the caller's own."""
    marker = f"{MARKER}={lab.dir}".encode()
    inside = {netns.inode(name) for name in lab.all_netns()} - {None, os.stat("/proc/self/ns/net").st_ino,
                                                                 _netns_of("1")}
    spared = _ancestors()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in spared:
            continue
        if marker in environ_of(entry).split(b"\0") or _netns_of(entry) in inside:
            yield int(entry)


def _netns_of(pid):
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return -1


def end(pids, how=signal.SIGKILL, seconds=20):
    """Signals processes and waits until they are gone.  True if they are."""
    waiting = select.poll()
    open_fds = set()
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                open_fds.add(fd)
                waiting.register(fd, select.POLLIN)
                signal.pidfd_send_signal(fd, how)
        deadline = time.monotonic() + seconds
        left = set(open_fds)
        while left:
            ready = waiting.poll(max(0, (deadline - time.monotonic()) * 1000))
            if not ready:
                return False
            for fd, _ in ready:
                waiting.unregister(fd)
                left.discard(fd)
        return True
    finally:
        for fd in open_fds:
            os.close(fd)


def end_all(lab):
    """Ends every process of the lab, also those that are born meanwhile."""
    for _ in range(20):
        pids = list(members(lab))
        if not pids:
            return
        end(pids)
    raise LabError(f"processes of lab {lab.name} do not end: {pids}")


def pid_alive(path, name):
    """The pid in a pid file if it is alive and such a program, else None."""
    try:
        with open(path) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat") as file:
            line = file.read()
        command, state = line[line.index("(") + 1:line.rindex(")")], line[line.rindex(")") + 2]
        return pid if command == name[:15] and state != "Z" else None
    except (OSError, ValueError):
        return None

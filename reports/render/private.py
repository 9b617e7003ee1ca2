"""What a page that is sent to others does not tell: home folders, names of hosts and users, where folders lie."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable
from pathlib import Path

MIN_HOST, MIN_USER = 4, 3  # characters of a name: shorter ones are syllables of other words
# A host or a user may be called as something that every page speaks of, and then tells nobody anything.
COMMON = frozenset({
    "adam", "admin", "alexbench", "alexnet", "all", "and", "audit", "batch", "build", "cpu", "cuda", "data", "default",
    "device", "docker", "error", "evaluate", "file", "float32", "for", "forward", "gpu", "host", "image", "images",
    "jax", "layer", "level", "linux", "local", "localhost", "machine", "max", "mean", "model", "net", "network", "node",
    "nobody", "none", "paper", "parity", "pass", "pool", "python", "relu", "report", "root", "run", "runner", "runs",
    "seed", "server", "sgd", "speed", "split", "step", "stock", "tensorflow", "test", "the", "time", "torch", "train",
    "training", "tuned", "ubuntu", "user", "weights", "worker", "yes",
})  # fmt: skip

_PART = r"[^\s\\/\"'`<>|,;:*?()\[\]{}…]++"  # of a path, where no quotes say how far it goes
_ROOT = r"(?:[A-Za-z]:[\\/]++|\\\\++|/++)"  # of an absolute path: C:\, \\server, /
_TILDE = r"~(?:[A-Za-z_][\w.-]*+)?"  # somebody's home folder; ~3 is a number
_PATHS = re.compile(
    # An address of the network stays, without the user's name and password in it.
    # It is found by what stands behind its scheme: to look for schemes from each word on takes forever.
    rf"(?P<address>(?<=[A-Za-z0-9+.-])(?<!file)://)(?:[^\s/@\"'<>]++@)?(?P<rest>[^\s\"'<>]*+)"
    # Within quotes a path may hold spaces.
    rf"|(?P<quote>[\"'`])(?P<quoted>(?:file://)?(?:{_ROOT}|{_TILDE}[\\/])[^\"'`\n]*+)(?P=quote)"
    # Beside a word or a percent sign a slash means "per" or "or", after a dot, a tilde or … the path is not absolute.
    rf"|(?P<bare>(?:file://+|(?<![\w.…~/%\\:])[A-Za-z]:[\\/]+|(?<![\w.…~/%\\])(?:\\\\+|/)|(?<![\w.…/\\]){_TILDE}[\\/]+"
    rf"|(?=/(?:home|Users)/)/){_PART}(?:[\\/]+{_PART})*+[\\/]*+)"
)
_HOME = re.compile(
    rf"^(?:(?:[A-Za-z]:)?[\\/]+(?:home|Users)[\\/]+(?P<user>[^\\/]+)|/root|{_TILDE})(?=[\\/]|$)", re.IGNORECASE
)
_BETWEEN = re.compile(r"[\\/]+")


class Private:
    """Takes out of texts what is nobody's business. A text that went through once is not changed again."""

    def __init__(self, folders: Iterable[str] = (), host: str | None = None, home: str | None = None) -> None:
        """`folders` are absolute paths of runs: what lies in them is named from there on.

        Host and home are this machine's and this user's where they are None.
        """
        self._folders = sorted({_even(folder) for folder in folders} - {""}, key=len, reverse=True)
        self._home, self._user = (home, Path(home).name) if home is not None else _own()
        host = socket.gethostname() if host is None else host
        known = ((host, MIN_HOST), (host.partition(".")[0], MIN_HOST), (self._user, MIN_USER))
        names = [re.escape(one) for one, least in known if len(one) >= least and one.lower() not in COMMON]
        self._names = re.compile(rf"(?<![\w-])(?:{'|'.join(names)})(?![\w-])", re.IGNORECASE) if names else None

    def __call__(self, said: str) -> str:
        """The text without absolute paths, home folders, and the names of this host and user."""
        if "/" in said or "\\" in said:
            said = _PATHS.sub(self._path, said)
        return self._names.sub("…", said) if self._names else said

    def _path(self, found: re.Match[str]) -> str:
        if found["address"]:
            return found["address"] + found["rest"]
        if found["quote"]:
            return found["quote"] + self._relative(found["quoted"]) + found["quote"]
        return self._relative(found["bare"])

    def _relative(self, path: str) -> str:
        """`peak.csv` within a run's folder, else `…/name`; one that has no folder before its name stays."""
        even = _even(path)
        for folder in self._folders:
            if even.startswith(f"{folder}/"):
                return even[len(folder) + 1 :]
        home = _HOME.match(even)
        if even == _even(self._home) or (home and home.end() == len(even)):
            return "~"
        parts = even.strip("/").split("/")
        if len(parts) == 1 and not home:
            return path
        name = parts[-1]
        return "…" if name == self._user or (home and name == home["user"]) else f"…/{name}"


def _even(path: str) -> str:
    r"""A path with single slashes in the place of \ and //, without one at its end."""
    return _BETWEEN.sub("/", path.removeprefix("file://")).rstrip("/")


def _own() -> tuple[str, str]:
    """This user's home folder and name; empty where the system knows none, as in some containers."""
    try:
        return str(Path.home()), getpass.getuser()
    except (KeyError, OSError, RuntimeError):
        return "", ""

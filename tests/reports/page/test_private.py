"""A page is sent to others: paths, home folders, names of hosts and users are not on it, and nothing else is lost."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from reports.render.private import Private

HOME = "/home/alice"
FOLDERS = ["/home/alice/runs/a", "/srv/runs/b c", r"D:\runs\d"]


def private(said: str, host: str = "kepler.lab.example") -> str:
    return Private(FOLDERS, host=host, home=HOME)(said)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("/home/alice/runs/a/peak.csv", "peak.csv"),
        ("/home/alice/runs/a//layers/peak.csv", "layers/peak.csv"),
        ("/home/alice/runs/a", "…/a"),
        ("/home/alice/runs/abc/peak.csv", "…/peak.csv"),
        ("'/srv/runs/b c/peak.csv' is damaged", "'peak.csv' is damaged"),
        (r"D:\runs\d\peak.csv", "peak.csv"),
        ("D:/runs/d/peak.csv", "peak.csv"),
        ("--out=/home/alice/x --impl /home/alice/code/net.py:build", "--out=…/x --impl …/net.py:build"),
        ("torch:/home/alice/net.py:AlexNet", "torch:…/net.py:AlexNet"),
        ("imagefolder:/data/cats/small", "imagefolder:…/small"),
        ("PATH=/usr/bin:/home/bob/bin", "PATH=…/bin:…/bin"),
        ("-I/home/bob/include -L/Users/eve/lib", "-I…/include -L…/lib"),
        ("/home/alice", "~"),
        ("/home/bob", "~"),
        ("/root", "~"),
        ("/root/x/y", "…/y"),
        ("/mnt/users/alice", "…"),
        ("~/data/imagenet and ~bob/x", "…/imagenet and …/x"),
        (r"C:\Users\Bob\code\net.py", "…/net.py"),
        (r"'C:\\Users\\Bob Smith\\my net.py'", "'…/my net.py'"),
        (r"\\server\share\net.py", "…/net.py"),
        ("c:/users/bob", "~"),
        ('File "/opt/my libs/a b.py", line 3, in f', 'File "…/a b.py", line 3, in f'),
        ("(/opt/a/b.py), [/opt/a/c.py]; /opt/a/d.py.", "(…/b.py), […/c.py]; …/d.py."),
        ("No such file: '/home/alice/x.png'", "No such file: '…/x.png'"),
        ("file:///home/alice/net.py", "…/net.py"),
        ("runs/alice/parity/report.md alice/x", "runs/…/parity/report.md …/x"),
        ("alice@kepler:/home/alice/x", "…@…:…/x"),
        ("on kepler and KEPLER.lab.example:29500", "on … and …:29500"),
        ("https://alice:secret@example.org/a/b?c=/d/e", "https://example.org/a/b?c=/d/e"),
        ("user alice, USER=alice; owner: Alice's", "user …, USER=…; owner: …'s"),
        ("git+https://alice:secret@example.org/a", "git+https://example.org/a"),
        ("https://example.org/alice/x", "https://example.org/…/x"),
        ("two\n/opt/a/b\nlines", "two\n…/b\nlines"),
    ],
)
def test_what_is_private_is_left_out_once_and_for_all(said: str, shown: str) -> None:
    assert private(said) == shown
    assert private(shown) == shown


@pytest.mark.parametrize(
    "said",
    [
        "top-1/top-5 error, images/s, GFLOP/s, 3/4, ±1.8%/step/s, n/a, and/or",
        "error / gauge and error / baseline",
        "https://example.org/home/eve/x?y=/a/b",
        "http://localhost:29500/a/b",
        "./mine.py:build and ../x/y.py and runs/2026/report.md",
        "alexbench:0.1.0|network:paper|weights:b56b7b2b5190|device:cpu",
        "conv1/weight [h, w, in/groups, out]",
        "keplerian malice kepler-22b alice_x alice-2",
        "~3/4 of it, ~/",
        "</script><a/>",
        "/data holds it: 1 / 2",
        "2026-12-01T07:51:30.960Z",
        r"\x1b[2J \u202e α/n",
        "",
    ],
)
def test_what_is_not_private_stays_as_it_is(said: str) -> None:
    assert private(said) == said


@pytest.mark.parametrize("user", ["torch", "al", "root", "layer"])
def test_a_user_called_as_every_page_has_it_costs_no_word(user: str) -> None:
    assert Private(host="", home=f"/home/{user}")("torch, al, root and a layer") == "torch, al, root and a layer"


NASTY = (
    "a-",
    "a.",
    "//",
    "\\",
    "'/",
    "/a",
    "~a",
    "file://",
    "'file:////",
    "://",
    "://a@",
    "a:/",
    "/home",
    "~_.-",
    "…/",
)


@pytest.mark.parametrize("piece", NASTY)
def test_a_long_text_takes_time_as_its_length(piece: str) -> None:
    taken = {}
    for length in (125_000, 1_000_000):
        said = (piece * length)[:length]
        for whole in (f"{said} /", f"'{said[0] * length}/"):
            start = time.process_time()
            private(whole)
            taken[length] = max(taken.get(length, 0.0), time.process_time() - start)
    assert taken[1_000_000] < 24 * max(taken[125_000], 0.02)  # eight times as long; the square would be 64 times


@pytest.mark.parametrize("host", ["torch", "pc", "localhost", ""])
def test_a_host_called_as_every_page_has_it_costs_no_word(host: str) -> None:
    assert private("torch on a pc: localhost", host) == "torch on a pc: localhost"


def test_without_names_this_machine_and_this_user_are_meant() -> None:
    said = Private()(f"{Path.home()}/x/y and {Path.home()}")
    assert said == "…/y and ~"
    host = socket.gethostname()
    if len(host) > 3 and host != "localhost":
        assert host not in Private()(f"at {host}, port 1")

"""Limits of memory and processor time, read from made files in the layouts that systems and containers have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from impls import control_groups

MIB = 1 << 20
NO_LIMIT_V1 = 9223372036854771712

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
    "37 31 0:34 {root} /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
V1_OF = "9:name=systemd:{0}\n4:memory:{0}\n2:cpuacct,cpu:{0}\n1:cpuset:/other\n0::{0}\n"

Made = Callable[..., Path]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A system of eight cores with these mounts, this group for the process, and these files under sys/fs/cgroup."""

    def made(mounts: str, groups: str, files: Mapping[str, object]) -> Path:
        texts = {"proc/self/mountinfo": mounts, "proc/self/cgroup": groups}
        texts |= {f"sys/fs/cgroup/{name}": f"{value}\n" for name, value in files.items()}
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    monkeypatch.setattr(control_groups.os, "sched_getaffinity", lambda _process: set(range(8)))
    return made


def found(system: Path) -> tuple[int | None, int | None, int]:
    """Limit and what is left of it in MiB, and cores."""
    sizes = (control_groups.memory_limit(system), control_groups.memory_left(system))
    limit, left = (None if size is None else size // MIB for size in sizes)
    return limit, left, control_groups.usable_cores(system)


def test_a_system_without_groups_sets_no_limit(system: Made) -> None:
    assert found(system("", "", {})) == (None, None, 8)


def test_version_2_in_a_container_that_sees_its_own_group_as_the_top(system: Made) -> None:
    files = {
        "memory.max": 512 * MIB, "memory.current": 300 * MIB,
        "memory.stat": f"anon {100 * MIB}\ninactive_file {120 * MIB}\nactive_file 7", "cpu.max": "250000 100000",
    }  # fmt: skip
    assert found(system(V2, "0::/\n", files)) == (512, 332, 2)


def test_version_2_the_smallest_limit_up_to_the_top_counts(system: Made) -> None:
    files = {
        "a.slice/memory.max": 1000 * MIB, "a.slice/memory.current": 900 * MIB, "a.slice/cpu.max": "300000 100000",
        "a.slice/b.scope/memory.max": 700 * MIB, "a.slice/b.scope/memory.current": 200 * MIB,
        "a.slice/b.scope/cpu.max": "max 100000",
        "a.slice/b.scope/c/memory.max": "max", "a.slice/b.scope/c/memory.current": 200 * MIB,
        "a.slice/b.scope/c/cpu.max": "400000 100000",
        "a.slice/other/memory.max": 1 * MIB, "a.slice/other/cpu.max": "1000 100000",
    }  # fmt: skip
    # The limit is b.scope's, and less than it is left above.
    assert found(system(V2, "0::/a.slice/b.scope/c\n", files)) == (700, 100, 3)


def test_version_2_without_limits(system: Made) -> None:
    files = {"a/memory.max": "max", "a/memory.current": 5, "a/cpu.max": "max 100000"}
    assert found(system(V2, "0::/a\n", files)) == (None, None, 8)


def test_version_1_of_a_service(system: Made) -> None:
    files = {
        "memory/memory.limit_in_bytes": NO_LIMIT_V1, "memory/memory.usage_in_bytes": 9000 * MIB,
        "memory/a/memory.limit_in_bytes": 400 * MIB, "memory/a/memory.usage_in_bytes": 350 * MIB,
        "memory/a/memory.stat": f"inactive_file 1\ntotal_inactive_file {50 * MIB}",
        "memory/a/b/memory.limit_in_bytes": NO_LIMIT_V1, "memory/a/b/memory.usage_in_bytes": 10 * MIB,
        "cpu,cpuacct/a/cpu.cfs_quota_us": 50000, "cpu,cpuacct/a/cpu.cfs_period_us": 100000,
        "cpu,cpuacct/a/b/cpu.cfs_quota_us": -1, "cpu,cpuacct/a/b/cpu.cfs_period_us": 100000,
        "memory/other/memory.limit_in_bytes": 1,
    }  # fmt: skip
    assert found(system(V1.format(root="/"), V1_OF.format("/a/b"), files)) == (400, 100, 1)


def test_version_1_without_limits(system: Made) -> None:
    files = {
        "memory/memory.limit_in_bytes": NO_LIMIT_V1, "memory/memory.usage_in_bytes": 9000 * MIB,
        "cpu,cpuacct/cpu.cfs_quota_us": -1, "cpu,cpuacct/cpu.cfs_period_us": 100000,
    }  # fmt: skip
    assert found(system(V1.format(root="/"), V1_OF.format("/"), files)) == (None, None, 8)


@pytest.mark.parametrize("inside", ["", "/nested"])
def test_version_1_in_a_container_whose_group_is_named_as_the_host_names_it(system: Made, inside: str) -> None:
    files = {
        "memory/memory.limit_in_bytes": 600 * MIB, "memory/memory.usage_in_bytes": 100 * MIB,
        "memory/nested/memory.limit_in_bytes": 300 * MIB, "memory/nested/memory.usage_in_bytes": 50 * MIB,
        "cpu,cpuacct/cpu.cfs_quota_us": 450000, "cpu,cpuacct/cpu.cfs_period_us": 100000,
    }  # fmt: skip
    made = system(V1.format(root="/docker/1f"), V1_OF.format(f"/docker/1f{inside}"), files)
    assert found(made) == ((300, 250, 4) if inside else (600, 500, 4))


def test_a_group_that_cannot_be_seen_has_the_limits_of_the_top_that_can(system: Made) -> None:
    files = {"memory.max": 512 * MIB, "memory.current": 12 * MIB, "cpu.max": "200000 100000"}
    for groups in ("0::/../../elsewhere\n", "0::/not/mounted/here\n"):
        assert found(system(V2, groups, files)) == (512, 500, 2)


def test_both_versions_at_once_count_together(system: Made) -> None:
    files = {
        "unified/a/memory.max": 100 * MIB, "unified/a/memory.current": 0,
        "memory/a/memory.limit_in_bytes": 200 * MIB, "memory/a/memory.usage_in_bytes": 150 * MIB,
    }  # fmt: skip
    assert found(system(V1.format(root="/"), V1_OF.format("/a"), files)) == (100, 50, 8)


def test_more_in_use_than_allowed_leaves_nothing_and_a_sliver_of_a_core_is_one(system: Made) -> None:
    files = {"memory.max": 10 * MIB, "memory.current": 11 * MIB, "cpu.max": "1000 100000"}
    assert found(system(V2, "0::/\n", files)) == (10, 0, 1)


def test_names_with_blanks_and_colons_are_followed(system: Made) -> None:
    mounts = "31 23 0:28 / /sys/fs/cgroup/my\\040groups rw - cgroup2 cgroup2 rw\n"
    files = {"my groups/a b:c/memory.max": 5 * MIB}
    assert found(system(mounts, "0::/a b:c\n", files)) == (5, 5, 8)


@pytest.mark.parametrize("text", ["", "max", "nonsense", "-1", "12 x", "\x00"])
def test_what_is_no_number_is_no_limit(system: Made, text: str) -> None:
    files = {"memory.max": text, "memory.current": text, "memory.stat": text, "cpu.max": f"{text} {text}"}
    assert found(system(V2, "0::/\n" + text, files)) == (None, None, 8)


def test_kills_for_want_of_memory_are_counted_in_either_version(system: Made) -> None:
    made = system(V2, "0::/a\n", {"a/memory.events": "low 0\noom 9\noom_kill 3"})
    assert control_groups.out_of_memory_kills(made) == 3
    made = system(V1.format(root="/"), V1_OF.format("/a"), {"memory/a/memory.oom_control": "under_oom 0\noom_kill 2"})
    (made / "proc/vmstat").write_text("oom_kill 40\n")
    assert control_groups.out_of_memory_kills(made) == 42

"""How much memory this process may still take, so that a data set too large for it is refused instead of killed."""

from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = _GROUP) -> int | None:
    """Free memory [bytes]: of the machine or of this process's container, whichever is less; None where unknown."""
    limits = []
    fields = dict(line.split(":", 1) for line in _lines(meminfo) if ":" in line)
    if "MemAvailable" in fields:
        limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    limit, used = group / "memory.max", group / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        # Files read lately count as used, but give way.
        statistics = dict(line.split() for line in _lines(group / "memory.stat"))
        cache = int(statistics.get("inactive_file", 0)) + int(statistics.get("active_file", 0))
        limits.append(max(int(text) - int(used.read_text()) + cache, 0))
    return min(limits, default=None)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []

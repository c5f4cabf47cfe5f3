"""How much memory this process may still take, so that a data set too large for it is refused instead of killed."""

from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = _GROUP) -> int | None:
    """Free memory [bytes]: of the machine or of this process's container, whichever is less; None where unknown."""
    limits = []
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in fields:
            limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    limit, used = group / "memory.max", group / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        limits.append(max(int(text) - int(used.read_text()), 0))
    return min(limits, default=None)

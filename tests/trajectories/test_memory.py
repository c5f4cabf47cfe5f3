from trajectories.memory import available_memory


def test_the_smaller_of_machine_and_container_counts(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       100 kB\nMemAvailable:       50 kB\n")
    assert available_memory(meminfo, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available_memory(meminfo, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("11000\n")
    assert available_memory(meminfo, tmp_path) == 10_000
    (tmp_path / "memory.stat").write_text("anon 1\nactive_file 200\ninactive_file 300\n")
    assert available_memory(meminfo, tmp_path) == 10_500
    assert available_memory(tmp_path / "none", tmp_path / "none") is None

import subprocess
import sys


def test_triton_is_loaded_before_a_renderer_can_be(tmp_path):
    (tmp_path / "triton.py").write_text("")
    program = "import sys; import policies; sys.exit('triton' not in sys.modules)"
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0

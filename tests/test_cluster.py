"""Work on a cluster: a real SLURM of one node."""

import subprocess


def test_a_slurm_runs_a_job(slurm, tmp_path):
    out = tmp_path / "out"
    subprocess.run(["sbatch", "--wait", f"--output={out}", "--wrap", "echo $SLURM_JOB_ID"], check=True)
    assert out.read_text().strip().isdigit()

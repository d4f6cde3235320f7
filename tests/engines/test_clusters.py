"""The page on clusters: its scripts are valid, and run on two nodes that are one machine under a stand-in for Slurm."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from effrob.errors import UsageProblem
from effrob.evaluation.evaluator import engine_for
from effrob.evaluation.request import Request

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clusters.md"
SCRIPTS = dict(re.findall(r'```bash title="(\w+)\.sbatch"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL))

# A task a node, each knowing its number; options are read as srun reads them, `--exclude` leaves one node fewer.
SRUN = """#!/bin/bash
tasks=$SLURM_NNODES
while [[ $1 == --* ]]; do
  case $1 in --ntasks=*) tasks=${1#*=};; esac
  shift
done
for ((i = 0; i < tasks; i++)); do SLURM_PROCID=$i SLURM_NODEID=$i "$@" & done
code=0
for job in $(jobs -p); do wait "$job" || code=$?; done
exit $code
"""
STAND_INS = {
    "srun": SRUN,
    "scontrol": "#!/bin/bash\necho 127.0.0.1; echo 127.0.0.1\n",
    "hostname": "#!/bin/bash\necho 127.0.0.1\n",
}


def test_the_page_has_both_scripts_and_bash_reads_them(tmp_path: Path) -> None:
    assert set(SCRIPTS) == {"torchrun", "ray"}
    for name, text in SCRIPTS.items():
        assert text.startswith("#!/bin/bash\n#SBATCH") and f"--engine {name}" in text
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torchrun", "ray"])
def test_a_script_of_the_page_runs_on_two_nodes(engine: str, pocket_data: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    address = "127.0.0.1" if engine == "torchrun" else pytest.importorskip("ray").util.get_node_ip_address()
    for name, text in {**STAND_INS, "hostname": f"#!/bin/bash\necho {address}\n"}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (tmp_path / "job.sbatch").write_text(SCRIPTS[engine])
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment |= {
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "OMP_NUM_THREADS": "1",
        "EFFROB_CONFIG": str(tmp_path / "config"),
    }
    options = ["--model", "pocket:cnn-small", "--suite", "pocket", "--shift", "pocket-v2", "--data", str(pocket_data)]
    options += ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path / "results"), "--device", "cpu"]
    with (tmp_path / "told").open("w") as told:
        command = ["bash", str(tmp_path / "job.sbatch"), *options]
        job = subprocess.Popen(command, env=environment, stdout=told, stderr=told, start_new_session=True)
        try:
            code = job.wait(timeout=180)
        finally:  # Slurm ends every process of a job that is over
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGTERM)
    said = (tmp_path / "told").read_text()
    assert code == 0, said
    assert len(list((tmp_path / "results").rglob("record.json"))) >= 1 and "pocket-v2" in said


@pytest.mark.parametrize("rank", [None, "1"])
def test_many_processes_that_would_each_do_everything_are_refused(
    rank: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(UsageProblem, match=r"4 processes.*--engine torchrun.*unset WORLD_SIZE"):
        engine_for(Request(models=("pocket:cnn-small",), shifts=("pocket-v2",)))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert engine_for(Request(models=("pocket:cnn-small",), shifts=("pocket-v2",))).workers == 1

"""deploy/ and the documents: commands that exist, manifests and scripts that work."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bqnn.config import Config
from bqnn.final.config import FinalConfig
from launch import __main__ as command
from tests.helpers.paths import ROOT

DEPLOY = ROOT / "deploy"
SCRIPTS = sorted(DEPLOY.glob("*.sh"))
MANIFESTS = sorted(DEPLOY.glob("*.yaml"))
DOCUMENTS = [
    *sorted(DEPLOY.iterdir()),
    *(ROOT / "docs").glob("*.md"),
    *ROOT.glob("*.md"),
]
PINNED = dict(
    line.split(";")[0].strip().split("==")
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if "==" in line
)


@pytest.fixture(scope="module")
def known_flags() -> dict[str, list[str]]:
    """The names of the flags of every program, and of `ray start`."""
    code = f"""
import importlib, json
from absl import flags
found = {{}}
for name in {command.PROGRAMS}:
    importlib.import_module(f"launch.{{name}}")
    found[name] = sorted(flags.FLAGS)
    for flag in list(flags.FLAGS):
        delattr(flags.FLAGS, flag)
try:
    from ray.scripts import scripts
except ImportError:
    pass
else:
    for name, of in (("start", scripts.start), ("health-check", scripts.healthcheck)):
        found["ray " + name] = [o[2:] for p in of.params for o in p.opts]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Find commands in a text: yields the program and the names of its flags."""
    program = r"\b(?:launch\.|bqnn |(?=ray (?:start|health-check)))((?:ray )?[a-z-]+)"
    for line in re.sub(r"\\\n[#\s]*", " ", text).splitlines():
        if found := re.search(program + "(.* --.*)", line):
            arguments = found[2].split(" && ")[0]
            yield found[1], re.findall(r"(?<=\s)--([a-z_.-]+)", arguments)


def _exists(name: str, known: list[str]) -> bool:
    """Tell whether a flag exists; `config` stands for all fields of a configuration."""
    if name in known or "config" not in known:
        return name in known
    for at in (Config(), FinalConfig()):
        parts = name.split(".")[1:]
        while parts and hasattr(at, parts[0]):
            at = getattr(at, parts.pop(0))
        if not parts:
            return name.startswith("config.")
    return False


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_have_only_flags_that_exist(
    path: Path, known_flags: dict[str, list[str]]
) -> None:
    for program, names in _commands(path.read_text()):
        if program.startswith("ray ") and program not in known_flags:
            continue  # Ray is not installed.
        assert program in known_flags, (program, names)
        unknown = [name for name in names if not _exists(name, known_flags[program])]
        assert not unknown, program


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_say_how_to_run_them(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(script, os.X_OK)
    head = script.read_text().partition("\nset -euo pipefail\n")[0]
    assert f"deploy/{script.name}" in head


def _documents(path: Path) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_have_what_the_schema_of_kuberay_requires(path: Path) -> None:
    claim, resource = _documents(path)
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert resource["apiVersion"] == "ray.io/v1"
    job = resource["kind"] == "RayJob"
    cluster = resource["spec"]["rayClusterSpec"] if job else resource["spec"]
    assert cluster["rayVersion"] == PINNED["ray"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for worker in groups[1:]:
        assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]
    for group in groups:
        assert all(isinstance(v, str) for v in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        (container,) = pod["containers"]
        assert {m["name"] for m in container.get("volumeMounts", ())} == volumes
    claims = [
        v.get("persistentVolumeClaim") for v in groups[0]["template"]["spec"]["volumes"]
    ]
    assert {"claimName": claim["metadata"]["name"]} in claims


def test_the_job_asks_for_what_its_pods_have() -> None:
    _, job = _documents(DEPLOY / "kuberay.yaml")
    flags = dict(
        word[2:].split("=", 1) for word in shlex.split(job["spec"]["entrypoint"])[2:]
    )
    asked = dict(pair.split("=") for pair in flags["worker_resources"].split(","))
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert float(asked["GPU"]) <= float(limits["nvidia.com/gpu"])
    assert float(asked["CPU"]) <= float(limits["cpu"])


def test_the_image_is_made_of_files_and_extras_that_exist() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ",".join(re.findall(r"EXTRAS=([a-z,]+)", text)).split(",")
    assert {"ray", "gpu"} <= {*extras} <= {*project["optional-dependencies"]}
    version = re.findall(r"^FROM python:([\d.]+)-", text, re.MULTILINE)
    assert version == re.findall(
        r"Python ([\d.]+\d)", (ROOT / "requirements.txt").read_text()
    )


def _stand_in(path: Path, code: str) -> None:
    """Write a program of Python that takes the place of another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -S\nimport os, sys\n{code}")
    path.chmod(0o755)


def _recorder(log: Path) -> str:
    return f"""
with open({str(log)!r}, "a") as log:
    name = os.path.basename(sys.argv[0])
    print(os.environ.get("HOST", ""), name, *sys.argv[1:], file=log)
"""


def _run(script: str, *arguments: str, path: Path, **more: str) -> None:
    done = subprocess.run(
        [DEPLOY / script, *arguments],
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": str(path.parent), **more},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_hosts_are_started_searched_on_and_stopped_by_ssh(tmp_path: Path) -> None:
    log, there = tmp_path / "log", tmp_path / "a folder"
    for name in ("ray", "python"):
        _stand_in(there / ".venv" / "bin" / name, _recorder(log))
    # As sshd does: a shell reads all that follows the host as one text.
    shell = """
options = [word for word in sys.argv[1:] if not word.startswith("-")]
os.environ["HOST"] = options[0]
os.execvp("bash", ["bash", "-c", " ".join(options[1:])])
"""
    _stand_in(tmp_path / "bin" / "ssh", shell)
    hosts = tmp_path / "hosts"
    hosts.write_text("me@first  # the head\n\nsecond\n")
    at: dict[str, Any] = {"path": tmp_path / "bin", "BQNN": str(there)}
    _run("hosts.sh", str(hosts), "up", **at, RAY_OPTIONS="--num-cpus=4")
    _run("hosts.sh", str(hosts), "search", "--config.train.rungs=(1, 3)", **at)
    _run("hosts.sh", str(hosts), "join", "third", **at)
    _run("hosts.sh", str(hosts), "down", **at)
    search = "--executor=ray --ray_address=first:6379 --worker_resources=CPU=1"
    assert log.read_text().splitlines() == [
        "me@first ray start --head --port=6379 --include-dashboard=false --num-cpus=4",
        "second ray start --address=first:6379 --num-cpus=4",
        f"me@first python -m launch.search {search} --config.train.rungs=(1, 3)",
        "third ray start --address=first:6379",
        "me@first ray stop",
        "second ray stop",
    ]


def test_a_slice_of_tpus_is_one_head_and_the_other_hosts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    describe = """
if "describe" in sys.argv:
    print("10.0.0.2" if "ipAddress" in sys.argv[-1] else "4")
"""
    _stand_in(tmp_path / "bin" / "gcloud", _recorder(log) + describe)
    _run("tpu_pod.sh", "pod", "zone", "up", path=tmp_path / "bin")
    _run("tpu_pod.sh", "pod", "zone", "train", "--rank=1", path=tmp_path / "bin")
    *_, head, others, train = (
        re.sub(r"\s+", " ", part) for part in log.read_text().split(" gcloud ")
    )
    assert "--worker=0 --command=cd ~/bqnn && " in head and "ray start --head " in head
    assert "--worker=1-3 " in others and "start --address=10.0.0.2:6379" in others
    assert "--worker=all " in train and "launch.train --distributed --rank=1" in train


def test_a_job_of_slurm_out_of_time_stops_the_search_and_queues_again(
    tmp_path: Path,
) -> None:
    log, tools, started = tmp_path / "log", tmp_path / "bin", tmp_path / "started"
    venv = tmp_path / ".venv" / "bin"
    task = "words = [w for w in sys.argv[1:] if not w.startswith('--')]\n"
    _stand_in(tools / "srun", f"{task}os.execvp(words[0], ['bash', *sys.argv[3:]])")
    _stand_in(tools / "scontrol", _recorder(log))
    start = "if sys.argv[1] == 'start':\n    os.execvp('sleep', ['sleep', '60'])"
    _stand_in(venv / "ray", _recorder(log) + start)
    search = f"""
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
open({str(started)!r}, "w").close()
signal.pause()
"""
    _stand_in(venv / "python", _recorder(log) + search)
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "4",
        "SLURM_PROCID": "0",
    }
    arguments = ["--config=quickstart", "--workdir=runs/first"]
    job = subprocess.Popen(
        [DEPLOY / "slurm.sh", *arguments], cwd=tmp_path, env=environment
    )
    while not started.exists():
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 130
    lines = log.read_text().splitlines()
    assert any("ray start --head --port=20007 " in line for line in lines)
    (searched,) = (line for line in lines if "launch.search" in line)
    assert searched.endswith("GPU=1,CPU=8 --config=quickstart --workdir=runs/first")
    assert lines[-1] == " scontrol requeue 7"

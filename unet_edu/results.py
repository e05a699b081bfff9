"""Recorded results: one finished job is one JSON file, data/results/EXPERIMENT/JOB.json.

The book quotes no number that neither a cell computed nor one of these files holds.
"""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from unet_edu.files import whole
from unet_edu.resources import data_path


def read(experiment):
    """The complete jobs of an experiment, a list of dictionaries in the order of their names.

    Raises FileNotFoundError if nothing of this experiment is recorded.
    """
    files = sorted(data_path(f"results/{experiment}").glob("*.json"))
    if not files:
        raise FileNotFoundError(f"data/results/{experiment} holds no results; run the experiment first")
    jobs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [job for job in jobs if job["complete"]]


def write(experiment, job, values, folder=None):
    """Record a finished job with where, when and with what it was computed; returns the path.

    `values` holds what the job knows: data, metrics, config, steps, seconds, ... The file appears under
    its name only when it is complete.
    """
    folder = Path(folder or data_path("results")) / experiment
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job}.json"
    record = {"experiment": experiment, "job": job, "complete": True, **values, **circumstances()}
    with whole(path) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def circumstances():
    """Device, versions, commit and date of a computation made now, in this place."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": version("numpy")},
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit():
    """Commit of the checkout this library lies in, "+changes" if files differ from it.

    Outside a checkout what $UNET_EDU_COMMIT says, else None.
    """

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("UNET_EDU_COMMIT")

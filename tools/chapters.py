"""The chapters of the book: which there are, and running each of them once.

An executed chapter is kept in `_build/executed/PROFILE/NAME.ipynb` and carries a key over everything that
its outputs depend on. As long as the key holds, the chapter is not run again: `make test` and `make book`
share one execution, and a changed library, weight or data set means a new one.

The kernel is that of this interpreter, or of $UNET_EDU_PYTHON where that is set: `tools.alone` makes an
environment that holds nothing but the wheel.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import nbformat
import papermill
import yaml
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from unet_edu import datasets

ROOT = Path(__file__).resolve().parents[1]
STAMP = "unet_edu.sha256"  # in an environment that `tools.alone` made: of which library the wheel there is
CLAIM = re.compile(r"^# claim (\d+\.\d+)\b", re.M)
HEADING = re.compile(r"^#{1,3} (.+)", re.M)
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class ChapterError(Exception):
    """A chapter that does not run to its end; the message shows the failing cell and what it raised."""

    cell = raised = ""  # source of that cell and name of the exception; empty if the kernel itself failed


class Claim(NamedTuple):
    number: str  # "6.3": the third of chapter 6
    section: str  # heading above it


class Executed(NamedTuple):
    notebook: NotebookNode
    seconds: float  # of the execution that made the outputs, whenever that was
    fresh: bool  # the outputs were there already, and everything they depend on is unchanged


def chapters(root: Path = ROOT) -> list[Path]:
    """The notebooks of the table of contents, in its order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [root / file for file in files if file.endswith(".ipynb")]


def numbered(number: int, root: Path = ROOT) -> Path:
    """The chapter of this number."""
    [path] = [path for path in chapters(root) if int(path.name[:2]) == number]
    return path


def title(notebook: NotebookNode) -> str:
    """The first line of a chapter: 4. Overlap-tile."""
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ")


def claims(chapter: Path) -> list[Claim]:
    """The claims of a chapter in its order: `# claim 6.3` at the start of a line of a code cell."""
    found, section = [], ""
    for cell in nbformat.read(chapter, as_version=4).cells:
        if cell.cell_type == "markdown":
            section = [section, *HEADING.findall(cell.source)][-1]
        elif cell.cell_type == "code":
            found += [Claim(number, section) for number in CLAIM.findall(cell.source)]
    return found


def real_data() -> dict[str, Path]:
    """The real data sets at hand, in $UNET_EDU_DATA or the cache, and where."""
    return {name: datasets.find(name) for name in datasets.REAL if datasets.available(name)}


def key(chapter: Path, profile: str, root: Path = ROOT) -> str:
    """sha256 over all that the outputs of a chapter depend on."""
    seen = [profile, platform.platform(), sys.version, os.environ.get("UNET_EDU_PYTHON", "")]
    for name, folder in real_data().items():
        files = [(p, p.stat()) for p in sorted(folder.rglob("*")) if p.is_file()]
        seen += [f"{name} {p.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}" for p, stat in files]
    digest = hashlib.sha256(json.dumps(seen).encode())
    digest.update(chapter.name.encode() + chapter.read_bytes())
    digest.update(library_sha256(root).encode())
    return digest.hexdigest()


def library_sha256(root: Path = ROOT) -> str:
    """sha256 over the library, what travels with it, and the versions it runs with."""
    digest = hashlib.sha256()
    own = [p for folder in ("unet_edu", "data") for p in sorted((root / folder).rglob("*"))]
    for path in [root / "constraints.txt", *own]:
        # What chapters recorded is compared with them, and never read by one.
        if path.is_file() and "__pycache__" not in path.parts and path.parent != root / "data/results/chapters":
            digest.update(f"\n{path.relative_to(root).as_posix()} ".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def execute(chapter: Path, profile: str, *, root: Path = ROOT, build: Path | None = None) -> Executed:
    """The executed chapter: from `build` if nothing changed since, else run now.

    Raises
    ------
    ChapterError : a cell failed, or $UNET_EDU_PYTHON holds another library; nothing of the chapter is left then
    """
    target = (build or root / "_build") / "executed" / profile / chapter.name
    expected = key(chapter, profile, root)
    if target.is_file():
        notebook = nbformat.read(target, as_version=4)
        if notebook.metadata["unet_edu"]["key"] == expected:
            return Executed(notebook, notebook.metadata["unet_edu"]["seconds"], True)
        target.unlink()
    if os.environ.get("UNET_EDU_PYTHON"):
        stamp = Path(interpreter()).parents[1] / STAMP
        if not stamp.is_file() or stamp.read_text() != library_sha256(root):
            raise ChapterError(f"{interpreter()} does not hold the library as it is here; run: make alone")
    start = time.monotonic()
    notebook = run(nbformat.read(chapter, as_version=4), chapter.name, profile)
    seconds = round(time.monotonic() - start, 1)
    notebook.metadata["unet_edu"] = {
        "key": expected,
        "profile": profile,
        "seconds": seconds,
        "real_data": sorted(real_data()),
        **circumstances(interpreter()),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".tmp")
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, target)
    return Executed(notebook, seconds, False)


def execute_all(profile: str, root: Path, build: Path) -> dict[Path, NotebookNode]:
    """The executed chapters; a failing one is reported and left out, the others still run."""
    done = {}
    for chapter in chapters(root):
        print(f"{chapter.stem:36}", end=" ", flush=True)
        try:
            result = execute(chapter, profile, root=root, build=build)
        except ChapterError as error:
            print(f"failed\n\n{error}\n", flush=True)
            continue
        print(f"{result.seconds:6.1f} s  {'fresh' if result.fresh else 'executed'}", flush=True)
        done[chapter] = result.notebook
    return done


def interpreter() -> str:
    """The Python that runs the chapters: $UNET_EDU_PYTHON, else this one."""
    return os.path.abspath(os.environ.get("UNET_EDU_PYTHON") or sys.executable)


@cache
def circumstances(python: str) -> dict:
    """Device, versions and date, as the library of this interpreter finds them."""
    code = "import json; from unet_edu import results; print(json.dumps(results.circumstances()))"
    with tempfile.TemporaryDirectory() as empty, surroundings():
        said = subprocess.run([python, "-c", code], cwd=empty, capture_output=True, text=True, check=True).stdout
    return json.loads(said)


@contextmanager
def surroundings(figures: str = "static") -> Iterator[None]:
    """The environment variables a chapter is run with; figures are "static" or "live", as in `teaching.explore`."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        spec = Path(folder) / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        command = [interpreter(), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
        # JUPYTER_PATH comes first in the search: no other kernel of this name is found.
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        os.environ["UNET_EDU_FIGURES"] = figures
        os.environ.pop("MPLBACKEND", None)  # a test may have set it; the kernel draws into the page
        if os.environ.get("UNET_EDU_DATA"):
            os.environ["UNET_EDU_DATA"] = str(Path(os.environ["UNET_EDU_DATA"]).resolve())
        if os.environ.get("UNET_EDU_PYTHON"):  # alone: this checkout must not be found by accident
            os.environ.pop("PYTHONPATH", None)
            os.environ["GIT_CEILING_DIRECTORIES"] = str(Path(interpreter()).parents[2])
        yield


def run(notebook: NotebookNode, name: str, profile: str, figures: str = "static") -> NotebookNode:
    """The notebook run by `interpreter()`, in an empty folder."""
    with tempfile.TemporaryDirectory() as empty, surroundings(figures):
        if profile == "smoke":  # its networks are too small to share out; on a busy machine threads wait for each other
            os.environ["OMP_NUM_THREADS"] = "1"
        try:
            return papermill.execute_notebook(
                notebook,
                None,
                {"PROFILE": profile},
                kernel_name="python3",
                cwd=empty,
                progress_bar=False,
                coalesce_streams=True,  # one text per stream, and a line that replaces itself stands once
                extra_arguments=["--log-level=50"],  # else each kernel warns that it talks over TCP
            )
        except PapermillExecutionError as error:
            trace = ANSI.sub("", "\n".join(error.traceback)) or f"{error.ename}: {error.evalue}"
            failure = ChapterError(f"{name}: this cell failed\n\n{error.source}\n\n{trace}")
            failure.cell, failure.raised = error.source, error.ename
            raise failure from None
        except Exception as error:  # a kernel that died or did not start
            raise ChapterError(f"{name}: {type(error).__name__}: {error}") from error

"""Run chapters where nothing is but what their own first cell installs.

    python -m tools.alone            makes _build/alone: Python, papermill, and what a chapter brings with it
    python -m tools.alone --colab    runs two chapters under the versions that Colab publishes

The wheel of this checkout takes the place of the published library. With UNET_EDU_PYTHON=_build/alone/bin/python
the book, its tests and the regression run every chapter there, each in an empty folder.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import nbformat

from tools.chapters import ROOT, STAMP, library_sha256, numbered, run, surroundings

FIRST = 5  # a short one; it is run by the one command that a reader would type
# What Colab publishes, and torch, of which any version will do.
COLAB = ("numpy==2.1.3", "scipy==1.16.3", "matplotlib==3.10.0", "ipywidgets==7.7.1", "ipykernel==6.17.1",
         "ipython==7.34.0", "torch")  # fmt: skip
ON_COLAB = (2, 13)  # with a movable figure; with zarr, which Colab lacks


def command(*arguments: str | Path, **options) -> str:
    """What a command prints; SystemExit with all it said if it fails."""
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}\nfailed:\n{done.stdout}{done.stderr}")
    return done.stdout


def wheel(root: Path, folder: Path) -> Path:
    """The wheel of this checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    command(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, root)
    [path] = folder.glob("*.whl")
    return path


def environment(folder: Path, packages: tuple[str, ...], constraints: Path) -> Path:
    """A new environment with these packages and nothing else; returns its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    command(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    command(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *packages)
    return python


def installed(python: Path) -> dict[str, str]:
    """Version of every package of an environment."""
    listed = json.loads(command(python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
    return {package["name"].lower(): package["version"] for package in listed}


def replaced(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """What is gone, or there in another version."""
    return {name: f"{version} -> {after.get(name, 'gone')}" for name, version in before.items()
            if after.get(name) != version}  # fmt: skip


def alone(root: Path, build: Path) -> Path:
    """Bring _build/alone up to date; returns its Python.

    A new environment gets papermill, and then runs one downloaded chapter, whose first cell installs the wheel.
    """
    folder, constraints = build / "alone", root / "constraints.txt"
    source = numbered(FIRST, root)
    bootstrap = next(cell.source for cell in nbformat.read(source, 4).cells if cell.cell_type == "code")
    parts = [
        sys.version,
        bootstrap,
        *(path.read_text(encoding="utf-8") for path in (constraints, root / "pyproject.toml")),
    ]
    made_from = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    python, stamp, made = folder / "bin" / "python", folder / STAMP, folder / "made_from.sha256"
    library = library_sha256(root)
    if stamp.is_file() and stamp.read_text() == library and made.read_text() == made_from:
        return python
    ours = wheel(root, build / "wheel")
    if made.is_file() and made.read_text() == made_from:  # only the library is another one
        stamp.unlink(missing_ok=True)
        command(python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", ours)
    else:
        print("making an environment with nothing but papermill, a minute or two", flush=True)
        environment(folder, ("papermill", "ipykernel"), constraints)
        variables = {"UNET_EDU_PYTHON": str(python), "UNET_EDU_SOURCE": str(ours), "PIP_CONSTRAINT": str(constraints)}
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, variables), surroundings():
            shutil.copy(source, empty)
            command(folder / "bin" / "papermill", source.name, "out.ipynb", "-p", "PROFILE", "smoke", cwd=empty)
        made.write_text(made_from)
    stamp.write_text(library)
    return python


def colab(root: Path, build: Path) -> None:
    """Run two chapters under Colab's versions; SystemExit if one fails, or if a package was replaced."""
    ours = wheel(root, build / "wheel")
    torch = [line for line in (root / "constraints.txt").read_text().splitlines() if line.startswith("torch==")]
    constraints = build / "colab.txt"
    constraints.write_text("\n".join(torch) + "\n")  # the build without CUDA
    python = environment(build / "colab", COLAB, constraints)
    before = installed(python)
    variables = {"UNET_EDU_PYTHON": str(python), "UNET_EDU_SOURCE": str(ours), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with mock.patch.dict(os.environ, variables):
        for number in ON_COLAB:
            path = numbered(number, root)
            print(f"{path.stem:36}", end=" ", flush=True)
            run(nbformat.read(path, 4), path.name, "smoke", figures="live")  # Colab's readers move them
            print("runs under Colab's versions", flush=True)
    if changed := replaced(before, installed(python)):
        raise SystemExit(f"The chapters replaced packages that Colab has: {changed}; loosen them in pyproject.toml")
    print(f"{len(before)} packages were there, and all of them still are, in the same version.")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.alone", description=__doc__.splitlines()[0])
    parser.add_argument("--colab", action="store_true", help="run two chapters under Colab's versions instead")
    options = parser.parse_args(arguments)
    if options.colab:
        colab(root, root / "_build")
    else:
        print(f"Chapters run alone with UNET_EDU_PYTHON={alone(root, root / '_build')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Build the book: run the chapters that changed, then make the pages from their outputs.

    python -m tools.build_book --profile smoke
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from PIL import Image

from tools import front_page, show_runs
from tools.chapters import ROOT, chapters, execute_all, real_data

PICTURE = re.compile(r"(_images/)([0-9a-f]+\.png)")


def overlay(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """The chapter as it is in git, with the outputs of its executed cells: what papermill adds stays away."""
    ran = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"}
    for count, cell in enumerate((c for c in source.cells if c.cell_type == "code"), 1):
        cell.outputs, cell.execution_count = ran[cell.id].outputs, count
    if "widgets" in executed.metadata:
        source.metadata["widgets"] = executed.metadata["widgets"]
    return source


def stage(executed: dict[Path, NotebookNode], root: Path, target: Path) -> None:
    """Lay out everything the pages are made from, execution switched off."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for folder in ("book", "web", "tools"):
        shutil.copytree(root / folder, target / folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    shutil.copy(root / "_toc.yml", target)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["execute"]["execute_notebooks"] = "off"
    (target / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    for chapter, notebook in executed.items():
        page = overlay(nbformat.read(chapter, as_version=4), notebook)
        nbformat.write(page, target / chapter.relative_to(root))
    show_runs.fill_in(executed, root, target)
    front_page.fill_in(executed, target / "book" / "index.md")


def pages(staged: Path, html: Path) -> int:
    """Make the pages; any warning is a failure. From an empty folder: a warm one forgets its warnings."""
    book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["--path-output", str(staged), "--all", "-W", "--keep-going", "-n", "-q"]
    # Warnings come on stderr; stdout only names the staging folder as the place of the pages.
    run = subprocess.run([*book, "build", str(staged), *options], stdout=subprocess.DEVNULL, check=False)
    if run.returncode == 0:
        shutil.move(staged / "_build" / "html", html)
    return run.returncode


def lighten(html: Path) -> None:
    """Keep the pictures of the chapters as WebP where that is smaller: a micrograph takes a third of the bytes."""
    names = {}
    for png in (html / "_images").glob("*.png"):
        webp = png.with_suffix(".webp")
        Image.open(png).convert("RGBA").save(webp, quality=90)
        if webp.stat().st_size < png.stat().st_size:
            names[png.name] = webp.name
            png.unlink()
        else:
            webp.unlink()
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(PICTURE.sub(lambda m: m[1] + names.get(m[2], m[2]), text), encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.build_book", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="smoke", choices=["smoke", "cpu", "gpu", "paper"])
    parser.add_argument("--build", type=Path, default=root / "_build", help="default: _build")
    options = parser.parse_args(arguments)
    build = options.build.resolve()
    shutil.rmtree(build / "html", ignore_errors=True)  # a failure must not leave an older book behind

    executed = execute_all(options.profile, root, build)
    failed = [chapter.stem for chapter in chapters(root) if chapter not in executed]
    if failed:
        print(f"The book was not built: {', '.join(failed)} failed.", file=sys.stderr)
        return 1
    stage(executed, root, build / "stage")
    if code := pages(build / "stage", build / "html"):
        print("The book was not built: see the warnings above.", file=sys.stderr)
        return code
    lighten(build / "html")
    real = ", ".join(f"{name} in {folder}" for name, folder in real_data().items())
    print(f"Data: {real or 'synthetic; no real set was found (unet-edu data fetch isbi2012 brings one)'}")
    print(f"Book: {build / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

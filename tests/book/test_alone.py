"""A chapter brings what it needs and replaces nothing that is there."""

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import alone, chapters
from tools.chapters import ROOT, STAMP, ChapterError, execute, library_sha256

BOOTSTRAP = next(c.source for c in nbformat.read(chapters.chapters()[0], 4).cells if c.cell_type == "code")


def asked_for(monkeypatch, there):
    """What the first cell of a chapter would install, with these modules there."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in there or None)
    commands = []
    code = TransformerManager().transform_cell(BOOTSTRAP)
    shell = type("Shell", (), {"run_line_magic": lambda self, *line: commands.append(line)})()
    names = {"get_ipython": lambda: shell}
    exec(code, names)
    [line] = commands or [("pip", "")]
    assert line[0] == "pip"
    return line[1].replace("{missing}", str(names["missing"]))


def test_the_first_cell_installs_what_is_missing_and_only_that(monkeypatch):
    monkeypatch.setenv("UNET_EDU_SOURCE", "here.whl")
    assert asked_for(monkeypatch, []) == "install --quiet here.whl scikit-image zarr"
    assert asked_for(monkeypatch, ["skimage"]) == "install --quiet here.whl zarr"  # Colab
    assert asked_for(monkeypatch, ["unet_edu", "zarr"]) == "install --quiet scikit-image"
    assert asked_for(monkeypatch, ["unet_edu", "skimage", "zarr"]) == ""
    monkeypatch.delenv("UNET_EDU_SOURCE")
    assert "install --quiet git+https://github.com/" in asked_for(monkeypatch, [])


def test_the_first_cell_is_short():
    assert len(BOOTSTRAP.splitlines()) <= 6


def test_a_package_that_was_replaced_is_noticed():
    before = {"numpy": "2.1.3", "torch": "2.11.0", "pillow": "11"}
    assert alone.replaced(before, {**before, "zarr": "3"}) == {}
    assert alone.replaced(before, {"numpy": "2.4.6", "torch": "2.11.0"}) == {
        "numpy": "2.1.3 -> 2.4.6",
        "pillow": "11 -> gone",
    }


def test_a_wheel_of_another_library_is_refused(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("UNET_EDU_PYTHON", str(tmp_path / "bin" / "python"))
    ran = []
    monkeypatch.setattr(chapters, "run", lambda notebook, *_: ran.append(1) or notebook)
    monkeypatch.setattr(chapters, "circumstances", lambda python: {})
    chapter = chapters.chapters()[0]
    for stamp in (None, "another"):
        if stamp:
            (tmp_path / STAMP).write_text(stamp)
        with pytest.raises(ChapterError, match="does not hold the library as it is here; run: make alone"):
            execute(chapter, "smoke", build=tmp_path)
    (tmp_path / STAMP).write_text(library_sha256(ROOT))
    execute(chapter, "smoke", build=tmp_path)
    assert ran == [1]


def test_alone_this_checkout_is_not_found_by_accident(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("UNET_EDU_PYTHON", str(tmp_path / "alone" / "bin" / "python"))
    with chapters.surroundings():
        assert "PYTHONPATH" not in chapters.os.environ
        assert chapters.os.environ["GIT_CEILING_DIRECTORIES"] == str(tmp_path)
    assert chapters.os.environ["PYTHONPATH"] == str(ROOT)

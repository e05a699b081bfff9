"""Figures that move: as a page shows them, and with a kernel behind them."""

import base64
import importlib
import io
import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from unet_edu.teaching import explore

matplotlib.use("Agg")
module = importlib.import_module("unet_edu.teaching.explore")


class Elements(HTMLParser):
    """The tags of a piece of HTML, as (name, attributes); unclosed or misnested ones are an error."""

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        assert len(dict(attributes)) == len(attributes)
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(module, "display", outputs.append)
    return outputs


def gray(level=0, **others):
    return np.full((4, 6, 3), level, np.uint8)


def pixels(image):
    kind, data = image["src"].split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), int)


def static(shown, draw=gray, alt="gray {level}", **axes):
    explore(draw, alt=alt, **axes)
    return Elements(shown[-1].data)


def test_one_picture_for_each_combination_last_axis_fastest(shown):
    def draw(level, more):
        return gray(level + {"less": 0, "more": 40}[more])

    page = static(shown, draw, "{level} and {more}", level=[0, 100, 200], more=["less", "more"])
    images = page.all("img")
    assert [pixels(image).max() for image in images] == pytest.approx([0, 40, 100, 140, 200, 240], abs=2)
    assert [image["alt"] for image in images][:3] == ["0 and less", "0 and more", "100 and less"]
    sliders = page.all("input")
    assert [json.loads(slider["data-values"]) for slider in sliders] == [["0", "100", "200"], ["less", "more"]]
    assert [(slider["type"], slider["min"], slider["max"], slider["value"]) for slider in sliders] == [
        ("range", "0", "2", "0"), ("range", "0", "1", "0"),
    ]  # fmt: skip
    assert [slider["aria-label"] for slider in sliders] == ["level", "more"]


def visible(page):
    return [k for k, image in enumerate(page.all("img")) if "display:none" not in image["style"]]


def test_one_picture_stands_without_javascript(shown):
    assert visible(static(shown, level=[0, 100, 200])) == [0]
    page = static(shown, level=[0, 100, 200], start={"level": 100})
    assert visible(page) == [1]
    assert page.all("input")[0]["value"] == "1"
    assert page.all("input")[0]["aria-valuetext"] == "100"


def test_page_asks_nobody_and_says_changes_aloud(shown):
    page = static(shown, level=[0, 255])
    for _, attributes in page.found:
        assert not {"id", "href", "onclick"} & set(attributes)
        assert attributes.get("src", "data:").startswith("data:")
    assert "http" not in shown[-1].data
    assert [attributes["role"] for attributes in page.all("div") if "role" in attributes] == ["group", "status"]


def test_same_figure_twice_is_the_same_text(shown):
    def draw(level):
        plt.figure(figsize=(1, 1)).gca().plot([0, level])

    static(shown, draw, level=[1, 2])
    static(shown, draw, level=[1, 2])
    assert shown[0].data == shown[1].data
    assert 'id="' not in shown[0].data  # so that no id stands twice on a page


def test_text_is_escaped(shown):
    page = static(shown, lambda mode: gray(), 'a "b" <c> {mode}', mode=["x<y", 'q"'])
    assert [image["alt"] for image in page.all("img")] == ['a "b" <c> x<y', 'a "b" <c> q"']
    assert json.loads(page.all("input")[0]["data-values"]) == ["x<y", 'q"']


@pytest.mark.parametrize("give", ["drawn", "returned", "axes"])
def test_figures_are_taken_and_closed(shown, give):
    mine = plt.figure()

    def draw(level):
        figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
        figure.set_facecolor(str(level))
        return {"drawn": None, "returned": figure, "axes": (figure, axes)}[give]

    page = static(shown, draw, level=[0.25, 0.75])
    assert [(image["width"], image["height"]) for image in page.all("img")] == [("100", "50")] * 2
    assert [pixels(image)[0, 0, 0] for image in page.all("img")] == pytest.approx([64, 191], abs=8)
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


def test_finer_values_are_for_the_kernel(shown):
    page = static(shown, level=([0, 10], range(0, 11, 5)))
    assert json.loads(page.all("input")[0]["data-values"]) == ["0", "10"]


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ({}, ValueError, r"no axis.*add one, such as"),
        ({"level": 3}, TypeError, r"level=3: an axis is a list of values, such as level=\[2, 5, 10\]"),
        ({"level": "abc"}, TypeError, "level='abc': an axis is a list"),
        ({"level": [3]}, ValueError, r"level=\[3\]: an axis needs at least two values"),
        ({"level": []}, ValueError, "at least two"),
        ({"level": [1, 2, 1]}, ValueError, "all different"),
        ({"level": [0.10001, 0.10002]}, ValueError, "all different to four digits"),
        ({"level": [1, None]}, TypeError, "None is neither a number nor a text"),
        ({"level": [True, False]}, TypeError, "True is neither a number nor a text"),
        ({"level": ([0, 1], [0])}, ValueError, "at least two"),
        ({"level": [1, 2], "start": {"level": 3}}, ValueError, r"level=3 is not among .*\[1, 2\]"),
        ({"level": [1, 2], "start": {"other": 1}}, ValueError, "other=1 is not among"),
        ({"level": [1, 2], "alt": "{lvl}"}, ValueError, "'lvl' is not an axis; there are level"),
        ({"level": [1, 2], "alt": " "}, ValueError, "alt says nothing for {'level': 1}"),
        ({"level": [1, 2], "draw": lambda level: None}, TypeError, "made 0 figures and returned NoneType"),
        ({"level": [1, 2], "draw": lambda level: np.zeros((2, 2))}, TypeError, "returned ndarray; .*uint8"),
    ],
)
def test_mistakes_are_explained(shown, axes, error, message):
    with pytest.raises(error, match=message):
        static(shown, **axes)
    assert not shown


def test_figure_too_large_for_a_page(shown):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    with pytest.raises(ValueError, match=r"4 pictures of \d+ kB: a page holds 1500000 bytes; move along fewer"):
        static(shown, lambda level: noise, level=[1, 2, 3, 4])


# Who is there to ask?


@pytest.fixture
def kernel(monkeypatch):
    request = {"content": {"allow_stdin": True}}
    monkeypatch.setattr(module, "get_ipython", lambda: SimpleNamespace(kernel=SimpleNamespace(
        get_parent=lambda channel: request if channel == "shell" else {})))  # fmt: skip
    monkeypatch.delenv("UNET_EDU_FIGURES", raising=False)
    return request["content"]


def test_live_where_a_reader_can_be_asked(kernel, monkeypatch):
    assert module.is_live()
    kernel["allow_stdin"] = False
    assert not module.is_live()
    monkeypatch.setitem(module.sys.modules, "google.colab", None)
    assert module.is_live()
    monkeypatch.setenv("UNET_EDU_FIGURES", "static")
    assert not module.is_live()
    monkeypatch.setenv("UNET_EDU_FIGURES", "moving")
    with pytest.raises(ValueError, match="UNET_EDU_FIGURES='moving': must be static or live"):
        module.is_live()


def test_without_a_kernel_it_stands(monkeypatch):
    monkeypatch.delenv("UNET_EDU_FIGURES", raising=False)
    assert not module.is_live()


@pytest.mark.parametrize("asked", [False, True])
def test_executed_notebook(asked, monkeypatch):
    """A run without a reader gives HTML; the same cell under a front end gives widgets."""
    monkeypatch.delenv("UNET_EDU_FIGURES", raising=False)
    source = """
import numpy as np
from unet_edu.teaching import explore
explore(lambda level: np.full((4, 4), level, np.uint8), alt="gray {level}", level=[0, 9])"""
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix) / "share" / "jupyter"))  # the kernel beside this Python
    client = nbclient.NotebookClient(new_notebook(cells=[new_code_cell(source)]), kernel_name="python3",
                                     extra_arguments=["--log-level=50"])  # fmt: skip
    with client.setup_kernel():
        client.kc.allow_stdin = asked
        client.execute_cell(client.nb.cells[0], 0)
    [output] = [output for output in client.nb.cells[0].outputs if "data" in output]
    assert ("application/vnd.jupyter.widget-view+json" in output.data) == asked
    assert ("data-values" in output.data.get("text/html", "")) != asked
    nbformat.validate(client.nb)


@pytest.mark.parametrize("figures", ["static", "live"])
def test_later_figures_are_still_shown(figures, monkeypatch):
    monkeypatch.setenv("UNET_EDU_FIGURES", figures)
    first = """import matplotlib.pyplot as plt
from unet_edu.teaching import explore
def draw(a):
    plt.figure(figsize=(1, 1))
explore(draw, alt='{a}', a=[1, 2])"""
    later = "plt.figure(figsize=(1, 1)); plt.plot([1, 2]);"
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix) / "share" / "jupyter"))
    client = nbclient.NotebookClient(new_notebook(cells=[new_code_cell(first), new_code_cell(later)]),
                                     kernel_name="python3", extra_arguments=["--log-level=50"])  # fmt: skip
    client.execute()
    assert any("image/png" in output.get("data", {}) for output in client.nb.cells[1].outputs)


def test_live_sliders_compute_anew(shown, monkeypatch):
    monkeypatch.setenv("UNET_EDU_FIGURES", "live")
    drawn = []

    def draw(sigma, mode):
        drawn.append((sigma, mode))
        return gray()

    explore(draw, alt="{sigma}, {mode}", sigma=([2, 8], [5, 3.5]), mode=["a", "b"], start={"sigma": 8})
    figure = next(output for output in shown if hasattr(output, "children"))
    figure.update()
    sigma, mode = figure.children[:2]
    assert [value for _, value in sigma.options] == [2, 3.5, 5, 8]
    assert [label for label, _ in sigma.options] == ["2", "3.5", "5", "8"]
    assert (sigma.value, sigma.description, mode.value) == (8, "sigma", "a")
    assert set(drawn) == {(8, "a")}
    sigma.value = 3.5
    mode.value = "b"
    assert drawn[-2:] == [(3.5, "a"), (3.5, "b")]
    image = Elements(shown[-1].data).all("img")[0]
    assert image["alt"] == "3.5, b"
    assert "display:none" not in image["style"]

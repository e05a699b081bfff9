"""A figure that moves: frames and sliders in the published page, live widgets where a kernel can be asked."""

import base64
import io
import itertools
import json
import os
import sys
from html import escape
from numbers import Number
from pathlib import Path
from string import Template

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import HTML, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

LARGEST = 1_500_000  # bytes of a page, and so of a figure
PAGE = Template(Path(__file__).with_name("explore.html").read_text(encoding="utf-8"))


def explore(draw, *, alt, start=None, **axes):
    """Show a figure that the reader moves along its axes.

    In a page that was executed without a reader (papermill, nbclient, `make book`) it becomes one picture
    for each combination of values, and one slider for each axis: HTML that needs no kernel, no network and
    no other file. Where somebody sits before the kernel, it becomes ipywidgets that call `draw` anew.
    The environment variable UNET_EDU_FIGURES, "static" or "live", overrules that.

    Parameters
    ----------
    draw : function of one value per axis, by name; it makes one matplotlib figure, or returns a PIL image
        or an (H, W) or (H, W, 3) uint8 array
    alt : what is to be seen, for those who do not see it: a text with the axes in braces, such as
        "Weights for sigma {sigma}", or a function of the values that returns the text
    start : values to begin with, by axis; the first of each where nothing is said
    axes : the values of each axis, numbers or short texts; or a pair of such lists: the values in the page,
        and finer ones for a live kernel: sigma=([2, 5, 10], range(1, 21))

    Raises
    ------
    ValueError : an axis of fewer than two values, a start that is none of them, an alt text with another
        name, a figure too large for a page
    TypeError : values that are neither numbers nor texts; a draw that draws nothing
    """
    published, finer = _read(axes)
    # Loaded while figures are held back, as below, the inline backend would hold back those of all later cells.
    plt.switch_backend(plt.get_backend())
    values = _start(start or {}, published)
    if is_live():
        return _show_live(draw, alt, {n: finer[n] or published[n] for n in axes}, values)
    return _show_static(draw, alt, published, values)


def is_live():
    """Whether somebody sits before the kernel: only then do the front ends say that the reader may be asked."""
    choice = os.environ.get("UNET_EDU_FIGURES", "")
    if choice not in ("", "static", "live"):
        raise ValueError(f"UNET_EDU_FIGURES={choice!r}: must be static or live, or not be set at all")
    kernel = getattr(get_ipython(), "kernel", None)
    if choice or kernel is None:
        return choice == "live"
    # An execute request says whether input() would be answered: yes from JupyterLab, VS Code and the like,
    # no from nbclient, which papermill and Jupyter Book run on. Colab asks in a way of its own.
    return "google.colab" in sys.modules or bool(kernel.get_parent("shell")["content"].get("allow_stdin"))


def _read(axes):
    """Values of the page and finer ones, or None, of every axis."""
    if not axes:
        raise ValueError("explore() has no axis to move along; add one, such as sigma=[2, 5, 10]")
    published, finer = {}, {}
    for name, given in axes.items():
        pair = isinstance(given, tuple) and len(given) == 2 and all(_is_list(part) for part in given)
        page, live = given if pair else (given, None)
        published[name] = _values(name, page)
        finer[name] = pair and _united(published[name], _values(name, live))
    return published, finer


def _is_list(thing):
    return isinstance(thing, list | tuple | range | np.ndarray)


def _values(name, given):
    if not _is_list(given):
        raise TypeError(f"{name}={given!r}: an axis is a list of values, such as {name}=[2, 5, 10]")
    values = [value.item() if isinstance(value, np.generic) else value for value in given]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, Number | str):
            raise TypeError(f"{name}={values!r}: {value!r} is neither a number nor a text; name it by a text")
    if len(set(map(_text, values))) < max(len(values), 2):
        raise ValueError(f"{name}={values!r}: an axis needs at least two values, all different to four digits")
    return values


def _united(page, live):
    """The finer values, with those of the page among them."""
    known = {_text(value) for value in page}
    values = [*page, *(value for value in live if _text(value) not in known)]
    return values if any(isinstance(value, str) for value in values) else sorted(values)


def _start(start, axes):
    for name, value in start.items():
        if name not in axes or value not in axes[name]:
            raise ValueError(f"start={start!r}: {name}={value!r} is not among the values in the page, {axes}")
    return {name: start.get(name, values[0]) for name, values in axes.items()}


def _text(value):
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _describe(alt, values):
    try:
        text = alt(**values) if callable(alt) else alt.format(**values)
    except KeyError as error:
        raise ValueError(f"alt={alt!r}: {error} is not an axis; there are {', '.join(values)}") from None
    if not text.strip():
        raise ValueError(f"alt says nothing for {values}; say what is to be seen")
    return " ".join(text.split())


def _picture(draw, values):
    """What draw makes of these values, as a PIL image; its figure is closed."""
    earlier = plt.get_fignums()
    with plt.ioff():
        made = draw(**values)
    figures = [plt.figure(number) for number in plt.get_fignums() if number not in earlier]
    for figure in figures:
        plt.close(figure)
    if isinstance(made, Image.Image):
        return made.convert("RGB")
    if isinstance(made, np.ndarray) and made.dtype == np.uint8:
        return Image.fromarray(made).convert("RGB")
    if isinstance(made, plt.Figure):
        figures = [made]
    if len(figures) != 1:
        raise TypeError(f"draw{tuple(values)} made {len(figures)} figures and returned {type(made).__name__}; "
                        "make one matplotlib figure, or return a PIL image or a uint8 array")  # fmt: skip
    canvas = FigureCanvasAgg(figures[0])
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _frame(draw, alt, values, shown=True):
    """An <img> that carries its picture."""
    picture, webp = _picture(draw, values), io.BytesIO()
    picture.save(webp, "webp", quality=80)
    style = "max-width:100%;height:auto" + ("" if shown else ";display:none")
    return (f'<img alt="{escape(_describe(alt, values))}" width="{picture.width}" height="{picture.height}" '
            f'style="{style}" src="data:image/webp;base64,{base64.b64encode(webp.getvalue()).decode()}">')  # fmt: skip


def _show_static(draw, alt, axes, start):
    frames = []
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        frames.append(_frame(draw, alt, values, shown=values == start))
    if (size := sum(map(len, frames))) > LARGEST:
        raise ValueError(f"{len(frames)} pictures of {size // len(frames) // 1000} kB: a page holds {LARGEST} bytes; "
                         "move along fewer values, or draw a smaller figure")  # fmt: skip
    controls = "\n".join(_slider(name, values, values.index(start[name])) for name, values in axes.items())
    names = " and ".join(map(_name, axes))
    display(HTML(PAGE.substitute(names=escape(names), frames="\n".join(frames), controls=controls)))


def _name(axis):
    return axis.replace("_", " ")


def _slider(axis, values, start):
    texts, name = list(map(_text, values)), escape(_name(axis))
    # JupyterLab would take the arrow keys for itself
    return (f'<label>{name} <input type="range" min="0" max="{len(texts) - 1}" value="{start}" step="1" '
            f'autocomplete="off" data-lm-suppress-shortcuts="true" aria-label="{name}" '
            f'aria-valuetext="{escape(texts[start])}" data-values="{escape(json.dumps(texts, ensure_ascii=False))}">'
            f" <b>{escape(texts[start])}</b></label>")  # fmt: skip


def _show_live(draw, alt, axes, start):
    import ipywidgets

    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(_text(value), value) for value in values], value=start[name], description=_name(name),
            continuous_update=False, style={"description_width": "initial"},
        )
        for name, values in axes.items()
    }  # fmt: skip
    display(ipywidgets.interactive(lambda **values: display(HTML(_frame(draw, alt, values))), **sliders))

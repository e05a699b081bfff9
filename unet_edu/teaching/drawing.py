"""The pen of the book's own drawings: plain SVG, legible on any page.

Lines and words take the color of the text around them and nothing paints a background, so that a drawing is read
on a light page and on a dark one. What a color tells, a shape, a dash or a word tells too.
"""

from html import escape

FONT = 14  # in units of the drawing; of 500 to 560 units across: 8 to 9 pixels on a phone
LINE = {"fill": "none", "stroke": "currentColor", "stroke_width": 1.2}
DASHED = {"stroke_dasharray": "4 2.5"}


class Drawing:
    """An SVG picture with a title and a description: shown inline by notebooks and by the pages of the book.

    svg : the picture as text
    alt : what is seen, for those who do not see it
    """

    def __init__(self, parts, *, title, alt, width, height):
        self.alt = alt
        self.svg = tag(
            "svg", tag("title", escape(title)), tag("desc", escape(alt)), *parts,
            xmlns="http://www.w3.org/2000/svg", class_="drawing", role="img", viewBox=f"0 0 {width:g} {height:g}",
            style="display: block; width: 100%; max-width: 42rem; height: auto; margin: auto",
            font_size=FONT, fill="currentColor",
        )  # fmt: skip

    def _repr_html_(self):
        return self.svg


def tag(name, *inside, **attributes):
    """An element: `stroke_width=2` becomes stroke-width="2", `class_` class; numbers are rounded to a hundredth."""
    written = ""
    for key, value in attributes.items():
        value = f"{round(value, 2):g}" if isinstance(value, int | float) else escape(str(value))
        written += f' {key.rstrip("_").replace("_", "-")}="{value}"'
    return f"<{name}{written}>{''.join(map(str, inside))}</{name}>"


def text(x, y, words, anchor="middle", **style):
    return tag("text", escape(str(words)), x=x, y=y, text_anchor=anchor, **style)


def rectangle(x, y, width, height, *inside, **style):
    return tag("rect", *inside, x=x, y=y, width=width, height=height, **style)


def path(*steps, **style):
    """A line: letters as SVG has them, numbers rounded to a tenth."""
    d = " ".join(step if isinstance(step, str) else f"{round(step, 1):g}" for step in steps)
    return tag("path", d=d, **(LINE | style))


def head(x, y, direction, size=5, **style):
    """The head of an arrow that ends at (x, y), pointing "left", "right", "up" or "down"."""
    dx, dy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[direction]
    back_x, back_y, half = x - size * dx, y - size * dy, 0.6 * size
    corners = (x, y, "L", back_x + half * dy, back_y + half * dx, "L", back_x - half * dy, back_y - half * dx, "Z")
    return path("M", *corners, **({"fill": "currentColor", "stroke": "none"} | style))


def dimension(x, stop, y, words, above=True, **style):
    """A measure: a line from x to stop with a stroke at both ends, and its length in words over or under its middle."""
    ends = path("M", x, y - 4, "V", y + 4, "M", stop, y - 4, "V", y + 4, "M", x, y, "H", stop)
    return [ends, text((x + stop) / 2, y - 5 if above else y + FONT + 2, words, **style)]

"""Sphinx extension: shows the sections of our docstrings, in which `name : what it is` stands on a line."""

import enum
import re


def readable(lines: list[str]) -> list[str]:
    """reStructuredText of a docstring: a bold line for each section's title, a list of what it names."""
    shown, inside = [], False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch("-{3,}", following):
            shown += [f"**{line}**", ""]
            inside = True
        elif inside and re.fullmatch("-{3,}", line):
            continue
        elif inside and line[:1].strip():
            name, colon, text = line.partition(" : ")
            shown.append(f"- ``{name}``: {text}" if colon else f"- {line}")
        else:
            shown.append(f"  {line.strip()}" if inside and line else line)
    return shown


def setup(app):
    def rewrite(app, what, name, obj, options, lines):
        named_tuple_field = lines and lines[0].startswith("Alias for field number")
        lines[:] = [] if named_tuple_field else readable(lines)

    def plain(app, what, name, obj, options, signature, annotation):
        enumeration = what == "class" and issubclass(obj, enum.Enum)
        return ("", None) if enumeration else None  # else the machinery of enum would stand there

    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-process-signature", plain)
    return {"parallel_read_safe": True}

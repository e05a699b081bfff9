"""Source code of the installed library, shown as it is, never as a copy."""

import ast
import inspect
import textwrap
from pathlib import Path

from IPython.display import Markdown, display


def show_source(thing):
    """Show the code of a function or class, with the file and the line it stands in, without its docstring."""
    lines, first = inspect.getsourcelines(thing)
    lines = textwrap.dedent("".join(lines)).splitlines(keepends=True)
    for start, stop in sorted(_docstrings(lines), reverse=True):
        del lines[start:stop]
    file = Path(inspect.getsourcefile(thing))
    module = inspect.getmodule(thing).__name__.split(".")
    name = "/".join([*module[:-1], file.name])
    display(Markdown(f"`{name}`, line {first}\n\n```python\n{''.join(lines).strip()}\n```"))


def _docstrings(lines):
    """Start and stop, in lines, of every docstring in a piece of source."""
    for node in ast.walk(ast.parse("".join(lines))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(node) is not None and len(node.body) > 1:  # else it is the whole body
            yield node.body[0].lineno - 1, node.body[0].end_lineno

"""A training's configuration as a TOML file: what a user may write, and what is kept beside the result."""

import dataclasses
import difflib
import json
import tomllib
from pathlib import Path
from types import NoneType
from typing import get_args, get_type_hints

NONE = "none"  # TOML has no word for it
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text in quotes", NoneType: f'"{NONE}"'}


def read(path, config):
    """A configuration with the values of a TOML file in place of its own; those the file does not name stay.

    Raises FileNotFoundError, or ValueError for what is no TOML, an unknown name (with the nearest known one) or a
    value of another type.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except ValueError as error:  # not TOML, not text
        raise ValueError(f"{path}: not a TOML file ({error}); write lines such as steps = 2000") from error
    try:
        return changed(config, values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def changed(config, values):
    """A dataclass with some of its fields changed, "none" standing for None; ValueError as in `read`."""
    kinds = get_type_hints(type(config))
    fitting = {}
    for name, value in values.items():
        if name not in kinds:
            nearest = difflib.get_close_matches(name, kinds, n=1, cutoff=0)[0]
            raise ValueError(f"{name}: no such setting; the nearest is {nearest}, all are {', '.join(kinds)}")
        fitting[name] = _fitting(name, value, kinds[name], getattr(config, name))
    return dataclasses.replace(config, **fitting)


def text(config):
    """A configuration as TOML, which `read` turns into the same one, whatever was set before."""
    values = dataclasses.asdict(config)
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if name not in tables]
    for table, fields in tables.items():
        lines += ["", f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in fields.items())]
    return "\n".join(lines) + "\n"


def _fitting(name, value, kind, present):
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return changed(present, value)
    kinds = get_args(kind) or (kind,)
    if value == NONE and NoneType in kinds:
        return None
    if type(value) is int and float in kinds:
        return float(value)
    if type(value) not in kinds:
        wanted = " or ".join(WORDS.get(one, f"a table, [{name}]") for one in kinds)
        raise ValueError(f"{name} = {_toml(value)}: must be {wanted}")
    return value


def _toml(value):
    if value is None:
        return f'"{NONE}"'
    return repr(value) if isinstance(value, float) else json.dumps(value, default=str)  # 1e-05, inf, nan as in TOML

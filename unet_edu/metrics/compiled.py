"""Loops over pixels as machine code."""

from numba import njit


def compiled(loop):
    """A function compiled by numba, kept on disk for the next run wherever something may be written."""
    try:
        return njit(cache=True)(loop)
    except RuntimeError:  # neither beside the library, nor in the user's cache: compiled anew in every run
        return njit(loop)

"""The same chapter small or large: smoke, cpu, gpu or paper."""

from types import SimpleNamespace

PROFILES = ("smoke", "cpu", "gpu", "paper")


def choose(profile, **settings):
    """The settings of one profile, as attributes: choose("cpu", smoke={"steps": 10}, cpu={"steps": 4000}).steps

    A profile without settings of its own takes those of the next smaller one. ValueError for a profile
    that does not exist.
    """
    if profile not in PROFILES:
        raise ValueError(f"PROFILE={profile!r}: must be one of {', '.join(PROFILES)}")
    smaller = [name for name in PROFILES[: PROFILES.index(profile) + 1] if name in settings]
    if not smaller:
        raise ValueError(f"PROFILE={profile!r}: there are settings for {', '.join(settings)} only; add smoke={{...}}")
    return SimpleNamespace(**settings[smaller[-1]])

"""One line that says how far a long computation is, and how long it will still take."""

import sys
import time


class Progress:
    """Iterate over `items` while one line reports the count, the rate and the time left.

    The line replaces itself in a terminal and in a notebook; in a log file a new one appears every half
    minute. `note` is free text behind it, such as the current loss. A single item has no line: it would come when
    all is done.
    """

    def __init__(self, items, label, unit, *, show=True):
        self.items, self.label, self.unit, self.show, self.note = items, label, unit, show and len(items) > 1, ""
        self._line = status_line() if self.show else None

    def __iter__(self):
        self._started = time.perf_counter()
        due, done = self._started, 0
        try:
            for done, item in enumerate(self.items, start=1):
                yield item
                if self.show and time.perf_counter() >= due:
                    due = time.perf_counter() + self._line.interval
                    self._line.write(self._text(done))
        finally:
            if self.show:
                self._line.close(self._text(done))

    def _text(self, done):
        seconds = time.perf_counter() - self._started
        rate = done / max(seconds, 1e-9)
        left = (len(self.items) - done) / max(rate, 1e-9)
        time_left = f"{clock(left)} left" if done < len(self.items) else f"{clock(seconds)} in all"
        note = f", {self.note}" if self.note else ""
        return f"{self.label}: {done}/{len(self.items)} {self.unit}, {rate:.3g}/s, {time_left}{note}"


def clock(seconds):
    """75 -> "1:15"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def status_line():
    """A line that `write` replaces and `close` ends; `interval` is the least time between writes, in seconds."""
    if _in_notebook():
        return _NotebookLine()
    return _TerminalLine() if sys.stderr.isatty() else _LogLine()


def _in_notebook():
    """Whether a kernel runs this, not merely whether somebody imported one."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _TerminalLine:
    interval = 0.2

    def write(self, text):
        sys.stderr.write(f"\r{text}\x1b[K")  # erase what a longer line before left
        sys.stderr.flush()

    def close(self, text):
        self.write(text)
        sys.stderr.write("\n")


class _LogLine:
    interval = 30.0

    def write(self, text):
        print(text, file=sys.stderr, flush=True)

    close = write


class _NotebookLine:
    """An output that is replaced, not appended to: a saved notebook keeps only the last state."""

    interval = 0.5

    def __init__(self):
        self._handle = None

    def write(self, text):
        from IPython.display import display

        shown = {"text/plain": text}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    close = write

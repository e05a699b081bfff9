"""Values that a chapter computed, kept in the notebook for whoever compares runs."""

from IPython.display import display


def record(**values):
    """Show named numbers and keep them, unrounded, in the metadata of the cell's output."""
    values = {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
    text = "\n".join(f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {value}"
                     for name, value in values.items())  # fmt: skip
    display({"text/plain": text}, raw=True, metadata={"unet_edu": {"record": values}})

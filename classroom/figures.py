"""Pictures in a notebook: shown side by side, with a text for those who cannot see them."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np


def show(pictures: np.ndarray | Sequence[np.ndarray], titles: str | Sequence[str] = "", columns: int = 3) -> None:
    """Show BGR uint8 pictures (H, W, 3) under their titles, which are the alternative text as well."""
    from matplotlib.figure import Figure

    pictures = [pictures] if isinstance(pictures, np.ndarray) else list(pictures)
    titles = [titles] if isinstance(titles, str) else list(titles)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width = 11 if columns > 1 else 8  # inches
    slope = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    figure = Figure(figsize=(width, rows * min(width / columns * slope + 0.35, width)))
    for index, picture in enumerate(pictures):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(picture[..., ::-1])  # matplotlib wants RGB
        axes.set_title(titles[index] if index < len(titles) else "")
        axes.axis("off")
    figure.tight_layout()
    show_figure(figure, "; ".join(title for title in titles if title) or "a picture")


def show_figure(figure, alt: str) -> None:
    """Show a matplotlib figure as PNG with an alternative text."""
    from IPython.display import display

    out = BytesIO()
    figure.savefig(out, format="png", dpi=84, bbox_inches="tight")
    display({"image/png": out.getvalue()}, raw=True, metadata={"image/png": {"alt": alt}})

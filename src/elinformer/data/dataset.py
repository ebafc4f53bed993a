"""What the catalogue says of a data set before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """One file as it was published.

    Attributes:
        name: What it is called in the cache.
        urls: Addresses of the same bytes, tried in order; none where it has to be placed by hand.
        checksum: "sha256:..." or "md5:..." where a source states it; otherwise it is noted on first use.
    """

    name: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set of the catalogue.

    Attributes:
        name: Its name in the catalogue.
        title: What it is, in a few words.
        description: What is particular about it.
        shape: (T, N, C) = steps, series, channels of the panel.
        freq: The step as pandas writes it.
        start: The time of the first step.
        licence: As its publisher states it.
        source: The page it is published on.
        paper: Where it was introduced.
        form: The form of its files, a key of `READERS` in convert/published.py.
        files: Its files.
        value_range: The lowest and the highest value that can be right, a pair for each channel.
        channels: C names.
        split: The fractions of training, validation and test part in the literature.
        null_value: The number that stands for missing in the literature, or None.
        window: Steps of input in the literature.
        horizon: Steps to forecast in the literature.
        steps_per_day: Set where only a part of every day is recorded.
        homogeneous: Whether all series have one unit; where not, training weighs each by its own scale.
        embedded: Whether its files come with the package.
        folder: Where in the cache its files are, the name by default.
    """

    name: str
    title: str
    description: str
    shape: tuple[int, int, int]
    freq: str
    start: str
    licence: str
    source: str
    paper: str
    form: str
    files: tuple[RemoteFile, ...]
    value_range: tuple[tuple[float, float], ...]
    channels: tuple[str, ...] = ("value",)
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    null_value: float | None = None
    window: int = 12
    horizon: int = 12
    steps_per_day: int | None = None
    homogeneous: bool = True
    embedded: bool = False
    folder: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address that its files are fetched from; none where they are placed by hand or embedded."""
        return tuple(url for file in self.files for url in file.urls)

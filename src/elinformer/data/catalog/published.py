"""Read the published files of a data set of the catalogue, and check shape and range of the values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from elinformer.data.catalog.matlab import read_matlab
from elinformer.data.catalog.rdata import read_rdata
from elinformer.data.io.folder import write_recording
from elinformer.data.io.hdf5 import read_hdf5
from elinformer.data.io.read import read_panel
from elinformer.data.io.recording import Recording
from elinformer.data.panel import Panel
from elinformer.data.pieces import Piece, Pieces, row_blocks
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elinformer.data.catalog.entries import Dataset
    from elinformer.data.pieces import Progress

LARGEST_DISTRICTS = {"largest-sd": (11,), "largest-gba": (4,), "largest-gla": (7, 8, 12)}
SLOTS_OF_5_MINUTES = 3  # in the 15 minutes of the literature


def read_published(dataset: Dataset, folder: Path) -> Panel:
    """Read the panel of `dataset` from its files in `folder`, and check it.

    Raises:
        InputError: The files have another form, shape or range of values than the catalogue states.
    """
    content = READERS[dataset.form](dataset, folder)
    panel = content.to_panel() if isinstance(content, Recording) else content
    check_panel(panel, dataset)
    return panel


def convert_published(
    dataset: Dataset, files: Path, folder: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> Panel:
    """Write the panel of `dataset`, whose files are in the folder `files`, to a folder, and open it from there.

    Raises:
        InputError: As in `read_published`, or the folder cannot be written.
    """
    content = READERS[dataset.form](dataset, files)
    recording = content if isinstance(content, Recording) else Recording.of_panel(content)
    return write_recording(
        recording, folder, overwrite=overwrite, progress=progress, check=lambda panel: check_panel(panel, dataset)
    )


def check_panel(panel: Panel, dataset: Dataset) -> None:
    """Check that a panel has the shape and the range of values of `dataset`.

    Raises:
        InputError: It has not.
    """
    if panel.values.shape != dataset.shape:
        raise InputError(
            f"expected {dataset.name} of shape {dataset.shape} = (steps, series, channels), got {panel.values.shape}"
        )
    blocks = [panel.values[rows] for rows in row_blocks(panel.values.shape)]  # views
    lowest, highest = (extreme.reduce([extreme.reduce(x, (0, 1)) for x in blocks], 0) for extreme in (np.fmin, np.fmax))
    for i, (low, high) in enumerate(dataset.value_range):
        if lowest[i] < low or highest[i] > high:
            raise InputError(
                f"expected values from {low:g} to {high:g} in channel {panel.channels[i]!r} of {dataset.name}, "
                f"got {lowest[i]:g} to {highest[i]:g}"
            )


def _read_table(dataset: Dataset, folder: Path) -> Panel:
    """Read a wide table: METR-LA, PEMS-BAY, ETTh1 and the embedded data set."""
    return read_panel(
        folder / dataset.files[0].name,
        null_value=dataset.null_value,
        freq=dataset.freq,
        channels=dataset.channels,
        name=dataset.name,
    )


def _read_pems(dataset: Dataset, folder: Path) -> Panel:
    """Read the first channel, traffic flow; the literature leaves occupancy and speed out."""
    panel = read_panel(
        folder / dataset.files[0].name,
        null_value=dataset.null_value,
        start=dataset.start,
        freq=dataset.freq,
        name=dataset.name,
    )
    return replace(panel, values=panel.values[..., :1], mask=panel.mask[..., :1], channels=dataset.channels)


def _read_tensor(dataset: Dataset, folder: Path) -> Panel:
    """Read a MATLAB array `tensor`: (stations, days, slots) of Hangzhou, (origins, destinations, hours) of New York."""
    file = dataset.files[0].name
    tensor = read_matlab(folder / file).get("tensor")
    if tensor is None or tensor.ndim != 3:
        raise InputError(f"expected a three-dimensional array 'tensor' in {file}, got none")
    is_pairs = dataset.steps_per_day is None
    names = [f"{i}->{j}" for i in range(len(tensor)) for j in range(tensor.shape[1])] if is_pairs else None
    return Panel.from_arrays(
        tensor.reshape(len(names) if names else len(tensor), -1).T,
        start=dataset.start,
        freq=dataset.freq,
        steps_per_day=dataset.steps_per_day,
        series=names,
        channels=dataset.channels,
        name=dataset.name,
    )


def _read_aimsir(dataset: Dataset, folder: Path) -> Panel:
    """Read two data frames of R: `observations`, a row per station and hour, and `stations` with their locations."""
    observations, stations = (_read_data_frame(folder / file.name) for file in dataset.files)
    missing = {"station", "date", *dataset.channels} - set(observations)
    if missing:
        raise InputError(f"expected the columns {', '.join(sorted(missing))} in {dataset.files[0].name}, got none")
    observations["date"] = pd.to_datetime(observations["date"], unit="s")
    # pivot_table would drop a station that never measures a channel.
    table = observations.pivot(index="date", columns="station", values=list(dataset.channels))  # noqa: PD010
    names = sorted(observations["station"].unique())
    values = np.stack([table[channel][names].to_numpy() for channel in dataset.channels], axis=-1)
    return Panel.from_arrays(
        values,
        timestamps=table.index.to_numpy("datetime64[ns]"),
        freq=dataset.freq,
        series=names,
        channels=dataset.channels,
        locations=stations.set_index("station").loc[names, ["latitude", "longitude"]].to_numpy(),
        name=dataset.name,
    )


def _read_data_frame(path: Path) -> pd.DataFrame:
    frame = read_rdata(path).get(path.stem)
    if not isinstance(frame, dict):
        raise InputError(f"expected a data frame called {path.stem!r} in {path.name}, got none")
    return pd.DataFrame(frame)


def _read_largest(dataset: Dataset, folder: Path) -> Recording:
    """Read the flow of the sensors of some districts, averaged from 5 to the 15 minutes of the literature and rounded.

    Source: liuxu77/LargeST, data/ca/process_ca_his.ipynb and data/<name>/generate_<name>_dataset.ipynb.
    """
    flow_file, sensor_file = (folder / file.name for file in dataset.files)
    sensors = pd.read_csv(sensor_file, dtype={"ID": str})
    if dataset.name in LARGEST_DISTRICTS:
        sensors = sensors[sensors["District"].isin(LARGEST_DISTRICTS[dataset.name])]
    recording = read_hdf5(flow_file)
    places = pd.Index(recording.series or ()).get_indexer(pd.Index(sensors["ID"]))
    shape = recording.pieces.shape[:2]
    if (places < 0).any() or recording.times is None or shape[0] % SLOTS_OF_5_MINUTES:
        raise InputError(
            f"expected whole quarters of an hour of the sensors of {sensor_file.name} in {flow_file.name}, "
            f"got {shape} steps and sensors, {(places < 0).sum()} sensors absent"
        )
    return Recording(
        values=_average_pieces(recording.pieces, places),
        times=recording.times[::SLOTS_OF_5_MINUTES],
        freq=dataset.freq,
        series=list(sensors["ID"]),
        channels=dataset.channels,
        locations=sensors[["Lat", "Lng"]].to_numpy(),
        null_value=dataset.null_value,
        name=dataset.name,
    )


def _average_pieces(pieces: Pieces, places: np.ndarray) -> Pieces:
    """Average the observed values of every three steps, (T / 3, N, 1), of the series with the numbers `places`."""
    rank = np.full(pieces.shape[1], -1)
    rank[places] = np.arange(len(places))

    def read() -> Iterator[Piece]:
        rest = np.empty((0, 0), np.float32)  # last rows of a piece, fewer than three, which belong to the next mean
        for rows, columns, numbers in pieces.read():
            to = rank[columns]
            block = numbers[:, to >= 0, 0].astype(np.float32)
            if len(rest):
                block = np.concatenate([rest, block])
            first = (cast("slice", rows).start - len(rest)) // SLOTS_OF_5_MINUTES  # HDF5 tables are read in order
            n = len(block) // SLOTS_OF_5_MINUTES
            rest = block[n * SLOTS_OF_5_MINUTES :]
            means = _means(block[: n * SLOTS_OF_5_MINUTES].reshape(n, SLOTS_OF_5_MINUTES, -1))
            yield Piece(slice(first, first + n), to[to >= 0], means[..., None])

    return Pieces((pieces.shape[0] // SLOTS_OF_5_MINUTES, len(places), 1), read)


def _means(block: np.ndarray) -> np.ndarray:
    """Return the rounded means over axis 1 of the observed values, NaN if there are none."""
    with np.errstate(invalid="ignore"):
        return np.round(np.nansum(block, axis=1) / np.count_nonzero(~np.isnan(block), axis=1))


READERS = {
    "table": _read_table,
    "pems": _read_pems,
    "tensor": _read_tensor,
    "aimsir": _read_aimsir,
    "largest": _read_largest,
}

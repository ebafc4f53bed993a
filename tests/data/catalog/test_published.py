"""Small files of every form in the catalogue, read as published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from elinformer.data import pieces
from elinformer.data.catalog import CATALOG
from elinformer.data.catalog.published import check_panel, convert_published, read_published
from elinformer.data.io.read import read_panel
from elinformer.data.panel import fingerprint
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.data.catalog.entries import Dataset
    from elinformer.data.panel import Panel


def small(name: str, *shape: int) -> Dataset:
    return replace(CATALOG[name], shape=shape)


def test_metr_la_has_its_sensors_as_series_and_zeros_as_missing(tmp_path: Path):
    rows = [",773869,767541", "2012-03-01 00:00:00,64.375,0.0", "2012-03-01 00:05:00,62.5,67.125"]
    (tmp_path / "METR-LA.csv").write_text("\n".join(rows) + "\n")
    panel = read_published(small("metr-la", 2, 2, 1), tmp_path)
    assert panel.series == ("773869", "767541")
    assert panel.timestamps[0] == np.datetime64("2012-03-01 00:00")
    np.testing.assert_array_equal(panel.values[..., 0], [[64.375, np.nan], [62.5, 67.125]])


def test_pems_bay_gets_the_hour_that_daylight_saving_skips_as_missing(tmp_path: Path):
    times = [*pd.date_range("2017-03-12 01:50", periods=2, freq="5min"), pd.Timestamp("2017-03-12 03:00")]
    table = pd.DataFrame({"400001": [70.1, 70.2, 70.3]}, index=times)
    table.to_csv(tmp_path / "PEMS-BAY.csv")
    panel = read_published(small("pems-bay", 15, 1, 1), tmp_path)
    assert panel.mask[..., 0].sum() == 3
    assert not panel.mask[2:14].any()


def test_etth1_is_read_with_its_variables_as_series(tmp_path: Path):
    rows = ["date,HUFL,OT", "2016-07-01 00:00:00,5.827,30.531", "2016-07-01 01:00:00,0.0,-4.08"]
    (tmp_path / "ETTh1.csv").write_text("\n".join(rows) + "\n")
    panel = read_published(small("etth1", 2, 2, 1), tmp_path)
    assert panel.series == ("HUFL", "OT")
    assert panel.mask.all()


@pytest.mark.parametrize("channels", [1, 3])
def test_only_the_flow_of_a_pems_file_is_read(tmp_path: Path, channels: int):
    data = np.arange(1.0, 12 * channels + 1).reshape(6, 2, channels)
    data[0, 0, 0] = 0
    np.savez_compressed(tmp_path / "PEMS04.npz", data=data)
    panel = read_published(small("pems04", 6, 2, 1), tmp_path)
    assert panel.channels == ("flow",)
    assert panel.timestamps[0] == np.datetime64("2018-01-01 00:00")
    assert not panel.mask[0, 0, 0]
    np.testing.assert_array_equal(panel.values[1:, :, 0], data[1:, :, 0])


def test_the_days_and_slots_of_hangzhou_become_steps(write_matlab: Callable[..., None], tmp_path: Path):
    tensor = np.arange(2 * 3 * 108, dtype=np.uint16).reshape(2, 3, 108)  # stations, days, slots
    write_matlab(tmp_path / "hangzhou-metro.mat", {"tensor": tensor}, compress=True)
    panel = read_published(small("hangzhou-metro", 324, 2, 1), tmp_path)
    np.testing.assert_array_equal(panel.values[:, 1, 0], tensor[1].ravel())
    assert panel.timestamps[108] == np.datetime64("2019-01-02 06:00")
    assert panel.mask.all()


def test_every_pair_of_new_york_zones_is_a_series(write_matlab: Callable[..., None], tmp_path: Path):
    tensor = np.arange(3 * 3 * 4, dtype=np.float64).reshape(3, 3, 4)  # origins, destinations, hours
    write_matlab(tmp_path / "nyc-taxi.mat", {"tensor": tensor})
    panel = read_published(small("nyc-taxi", 4, 9, 1), tmp_path)
    np.testing.assert_array_equal(panel.values[:, panel.series.index("1->2"), 0], tensor[1, 2])


@pytest.mark.parametrize("arrays", [{"x": np.zeros((2, 2))}, {"tensor": np.zeros((2, 2))}])
def test_a_matlab_file_without_the_tensor_is_refused(
    write_matlab: Callable[..., None], tmp_path: Path, arrays: dict[str, np.ndarray]
):
    write_matlab(tmp_path / "nyc-taxi.mat", arrays)
    with pytest.raises(InputError, match=r"expected a three-dimensional array 'tensor' in nyc-taxi\.mat"):
        read_published(CATALOG["nyc-taxi"], tmp_path)


def _observations(stations: list[str], n_hours: int) -> dict[str, object]:
    names = [name for name in stations for _ in range(n_hours)]
    hours = 1_483_228_800.0 + 3600 * np.arange(n_hours)  # 2017-01-01 00:00 UTC
    channels = {name: np.arange(len(names), dtype=float) for name in ("rain", "temp", "rhum", "wdsp", "wddir")}
    return {"station": names, "date": np.tile(hours, len(stations)), **channels, "msl": np.full(len(names), 1013.0)}


def test_irish_stations_are_series_with_locations(write_rdata: Callable[..., None], tmp_path: Path):
    observations = _observations(["VALENTIA", "ATHENRY"], 3)
    observations["wdsp"] = np.array([np.nan, np.nan, np.nan, 1.0, 2.0, 3.0])
    places = {
        "station": ["ATHENRY", "VALENTIA"],
        "latitude": np.array([53.3, 51.9]),
        "longitude": np.array([-8.8, -10.2]),
    }
    write_rdata(tmp_path / "observations.rda", {"observations": observations})
    write_rdata(tmp_path / "stations.rda", {"stations": places})
    panel = read_published(small("irish-weather", 3, 2, 6), tmp_path)
    assert panel.series == ("ATHENRY", "VALENTIA")
    assert panel.timestamps[0] == np.datetime64("2017-01-01 00:00")
    assert panel.locations is not None
    np.testing.assert_array_equal(panel.locations, [[53.3, -8.8], [51.9, -10.2]])
    np.testing.assert_array_equal(panel.values[:, 0, panel.channels.index("temp")], [3, 4, 5])
    np.testing.assert_array_equal(panel.mask[..., panel.channels.index("wdsp")], [[True, False]] * 3)


def test_a_workspace_without_the_data_frame_is_refused(write_rdata: Callable[..., None], tmp_path: Path):
    write_rdata(tmp_path / "observations.rda", {"eirgrid17": {"year": np.array([2017])}})
    with pytest.raises(InputError, match="expected a data frame called 'observations'"):
        read_published(CATALOG["irish-weather"], tmp_path)


def test_a_data_frame_without_a_channel_is_refused(write_rdata: Callable[..., None], tmp_path: Path):
    observations = {name: column for name, column in _observations(["A"], 2).items() if name != "msl"}
    write_rdata(tmp_path / "observations.rda", {"observations": observations})
    write_rdata(tmp_path / "stations.rda", {"stations": {"station": ["A"]}})
    with pytest.raises(InputError, match=r"expected the columns msl in observations\.rda"):
        read_published(CATALOG["irish-weather"], tmp_path)


def _write_largest(folder: Path, flow: np.ndarray, sensors: dict[str, int]) -> None:
    """Write a pandas table of fixed format under `t`, as LargeST publishes it, and the list of its sensors."""
    h5py = pytest.importorskip("h5py")
    times = pd.date_range("2019-01-01", periods=len(flow), freq="5min").to_numpy("datetime64[ns]")
    with h5py.File(folder / "ca_his_raw_2019.h5", "w") as file:
        names = np.array(list(sensors), "S9")
        file["t/axis0"], file["t/block0_items"], file["t/block0_values"] = names, names, flow
        file["t/axis1"] = times.view(np.int64)
        file["t/axis1"].attrs["kind"] = b"datetime64"
    meta = pd.DataFrame({"ID": list(sensors), "Lat": 32.5, "Lng": -117.1, "District": list(sensors.values())})
    meta.to_csv(folder / "ca_meta.csv", index=False)


SENSORS = {"1114091": 11, "400001": 4, "1118333": 11}


def test_largest_is_averaged_to_15_minutes_and_cut_to_its_districts(tmp_path: Path):
    flow = np.array([[10, 1, np.nan], [12, 1, np.nan], [13, 1, np.nan], [0, 1, 5], [0, 1, np.nan], [0, 1, 6]])
    _write_largest(tmp_path, flow, SENSORS)
    panel = read_published(small("largest-sd", 2, 2, 1), tmp_path)
    assert panel.series == ("1114091", "1118333")
    np.testing.assert_array_equal(panel.timestamps, np.array(["2019-01-01T00:00", "2019-01-01T00:15"], "M8[ns]"))
    np.testing.assert_array_equal(panel.values[..., 0], [[12, np.nan], [np.nan, 6]])
    np.testing.assert_array_equal(panel.locations, [[32.5, -117.1]] * 2)


@pytest.mark.parametrize("values_at_a_time", [30, 1 << 21], ids=["rows that are no quarters", "all at once"])
def test_all_of_california_is_every_sensor_over_many_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values_at_a_time: int
):
    monkeypatch.setattr(pieces, "VALUES_AT_A_TIME", values_at_a_time)
    rng = np.random.default_rng(0)
    flow = rng.integers(1, 900, (3 * 700, 3)).astype(float)
    _write_largest(tmp_path, flow, SENSORS)
    panel = read_published(small("largest-ca", 700, 3, 1), tmp_path)
    np.testing.assert_array_equal(panel.values[..., 0], flow.reshape(700, 3, 3).mean(axis=1).round())


@pytest.mark.parametrize("name", ["largest-sd", "pems04"])
def test_a_converted_data_set_equals_the_loaded_one(tmp_path: Path, name: str):
    rng = np.random.default_rng(0)
    flow = rng.integers(0, 5, (60, 3)).astype(float)
    _write_largest(tmp_path, np.where(flow == 4, np.nan, flow), SENSORS)
    np.savez(tmp_path / "PEMS04.npz", data=flow[..., None])
    dataset = small("largest-sd", 20, 2, 1) if name == "largest-sd" else small(name, 60, 3, 1)
    panel = read_published(dataset, tmp_path)
    converted = convert_published(dataset, tmp_path, tmp_path / "panel")
    assert fingerprint(converted) == fingerprint(panel)
    assert converted.name == panel.name == name


def test_a_data_set_of_another_shape_is_not_converted(tmp_path: Path):
    np.savez(tmp_path / "PEMS04.npz", data=np.ones((6, 2, 1)))
    with pytest.raises(InputError, match=r"expected pems04 of shape \(7, 2, 1\)"):
        convert_published(small("pems04", 7, 2, 1), tmp_path, tmp_path / "panel")
    assert [path.name for path in tmp_path.iterdir()] == ["PEMS04.npz"]


@pytest.mark.parametrize(("n_rows", "sensors"), [(7, SENSORS), (6, {"1": 11, "2": 11, "3": 11})])
def test_largest_files_that_do_not_belong_together_are_refused(tmp_path: Path, n_rows: int, sensors: dict[str, int]):
    _write_largest(tmp_path, np.ones((n_rows, 3)), SENSORS)
    meta = pd.DataFrame({"ID": list(sensors), "Lat": 0.0, "Lng": 0.0, "District": list(sensors.values())})
    meta.to_csv(tmp_path / "ca_meta.csv", index=False)
    with pytest.raises(InputError, match=r"whole quarters of an hour of the sensors of ca_meta\.csv"):
        read_published(CATALOG["largest-sd"], tmp_path)


def test_a_panel_of_another_shape_is_refused(tmp_path: Path):
    np.savez(tmp_path / "PEMS08.npz", data=np.ones((6, 2, 3)))
    with pytest.raises(InputError, match=r"expected pems08 of shape \(17856, 170, 1\) = .*, got \(6, 2, 1\)"):
        read_published(CATALOG["pems08"], tmp_path)


@pytest.mark.parametrize("wrong", [-1.0, 3001.0])
def test_values_out_of_range_are_refused(tmp_path: Path, wrong: float):
    data = np.ones((6, 2, 1))
    data[3, 1] = wrong
    np.savez(tmp_path / "PEMS08.npz", data=data)
    with pytest.raises(InputError, match=r"expected values from 0 to 3000 in channel 'flow' of pems08, got"):
        read_published(small("pems08", 6, 2, 1), tmp_path)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("hangzhou-metro", "hangzhou_metro"),
        ("nyc-taxi", "nyc_taxi_od"),
        ("irish-weather", "irish_weather"),
        ("etth1", "etth1"),
    ],
)
def test_the_real_data_are_as_the_catalogue_states(shared_data: Path, name: str, file: str):
    dataset = CATALOG[name]
    panel: Panel = read_panel(shared_data / f"{file}.npz")
    check_panel(panel, dataset)
    assert panel.freq == dataset.freq
    assert panel.steps_per_day == dataset.steps_per_day
    assert panel.timestamps[0] == np.datetime64(dataset.start)


@pytest.mark.shared_data
def test_pairs_of_zones_are_named_as_in_the_real_data(
    shared_data: Path, write_matlab: Callable[..., None], tmp_path: Path
):
    real = read_panel(shared_data / "nyc_taxi_od.npz")
    tensor = real.values[..., 0].T.reshape(30, 30, -1).astype(np.uint16)
    write_matlab(tmp_path / "nyc-taxi.mat", {"tensor": tensor}, compress=True)
    panel = read_published(CATALOG["nyc-taxi"], tmp_path)
    assert panel.series == real.series
    np.testing.assert_array_equal(panel.values, real.values)

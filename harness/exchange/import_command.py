"""`alexbench weights import`: somebody's weights file becomes a canonical one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import run_claim
from harness.data.preprocessing import METADATA_KEY, Pixels
from harness.errors import UsageError
from harness.exchange import opening, pixels, placing, recognise
from harness.exchange.foreign import Array, Colours, Flatten, ForeignWeights, FormatError
from impls import derive, tensor_file, weights
from impls.spec import Network
from impls.spec import Preprocessing as Kind
from reports.render.terminal import say


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the command line says; None leaves it to the file."""

    file: Path
    out: Path
    network: str | None = None
    flatten: Flatten | None = None
    colours: Colours | None = None
    preprocessing: Kind | None = None
    mean: Path | None = None
    large: bool = False


def run(options: ImportOptions) -> None:
    """Read, recognise, place, write, and say what was done.

    Raises FormatError, UsageError, UnknownNetwork, WeightsError, CannotMeasure.
    """
    if options.out.resolve() == options.file.resolve():
        raise UsageError(f"--out {options.out} is the file that is read: name another")
    run_claim.check_file(options.out)
    mean = _mean(options.mean)
    found = opening.read(options.file)
    network, notes = recognise.network_for(found, options.network)
    if network.large and not options.large:
        size_gb = 4 * derive.parameter_count(network) / 1e9
        raise UsageError(f"network {network.name!r} has {size_gb:.1f} GB of weights: pass --large to write them")
    layout = placing.Layout(_flatten(found, network, options.flatten), options.colours or found.colours)
    pixel = pixels.recorded(found, network, options.preprocessing, mean)
    write(found, network, layout, pixel.text, options.out)
    written = weights.load(options.out, network, verify=False)
    say(f"{options.out}: {network.name}, from {found.format} {options.file.name}, sha256 {written.content_hash}")
    for line in (*_done(found, network, layout), f"preprocessing: {pixel.said}", *_marked(found, network)):
        say(f"  {line}")
    for note in (*notes, *found.notes):
        say(f"  note: {note}")


def write(
    found: ForeignWeights, network: Network, layout: placing.Layout, preprocessing: str | None, out: Path
) -> None:
    """The canonical file, one tensor in memory at a time. Raises FormatError, WeightsError."""
    shapes = derive.parameter_shapes(network)
    metadata = {"network": network.name, "imported_from": f"{found.format} {found.path.name}"}
    metadata |= {} if preprocessing is None else {METADATA_KEY: preprocessing}

    def chunks() -> Iterator[Array]:
        for name, array in placing.tensors(found, network, layout):
            assert array.shape == shapes[name]
            yield from tensor_file.chunks_of(array)

    tensor_file.write(out, shapes, chunks(), metadata)


def _flatten(found: ForeignWeights, network: Network, asked: Flatten | None) -> Flatten:
    if (known := asked or found.flatten) is not None:
        return known
    if first := _first_dense(network):
        raise FormatError(
            f"{str(found.path)!r} does not tell in which order {first}'s inputs were a map: say with --flatten chw or"
            " hwc"
        )
    return "hwc"


def _mean(path: Path | None) -> Pixels | None:
    if path is None:
        return None
    from harness.exchange import mean_file

    found: Pixels = mean_file.read_mean(path)
    return found


def _done(found: ForeignWeights, network: Network, layout: placing.Layout) -> Iterator[str]:
    """What was turned, in a line."""
    turned = [f"{2 * len(found.layers)} tensors of {len(found.layers)} layers"]
    axes = dict.fromkeys(layer.axes for layer in found.layers if layer.axes not in placing.CANONICAL.values())
    if axes:
        turned.append(f"axes {' and '.join(axes)} to {' and '.join(placing.CANONICAL[len(one)] for one in axes)}")
    if layout.flatten == "chw" and (first := _first_dense(network)):
        turned.append(f"inputs of {first} from C,H,W to H,W,C")
    if layout.colours == "bgr" and network.channels == 3:
        turned.append("colours of the first layer from BGR to RGB")
    yield "; ".join(turned)
    if names := placing.rounded(found):
        yield f"rounded to float32: {len(names)} tensors of float64"


def _first_dense(network: Network) -> str:
    rows = (row for row in derive.facts(network) if row.multiply_adds and len(row.output_shape) == 1)
    return next((row.layer.name for row in rows if len(row.input_shape) == 3), "")


def _marked(found: ForeignWeights, network: Network) -> Iterator[str]:
    if found.network is not None and found.network != network.name:
        yield f"note: the file says it is of network {found.network!r}"

"""What note 003 says: a summary in Chinese, with a class in PyTorch and a training on cats and dogs."""

from __future__ import annotations

from functools import partial

from harness.data import images
from harness.paper import note_counts
from harness.paper.claims import Answer, NoteClaim
from harness.paper.claims_of_note_001 import views_printed
from impls import catalog, derive
from impls.spec import Conv, Dense, Dropout, DropoutScaling, MaxPool, Network

Claim = partial(NoteClaim, note="003")

PETS = 10  # "ten images of cats and dogs"


def _pooled(network: Network) -> Answer:
    """How many convolutions have a pool behind them, beside the depth."""
    pools = sum(isinstance(layer, MaxPool) for layer in network.layers)
    depth = note_counts.depth(5, 3)(network)
    return Answer(f"{depth.ours}, {pools} pooled", depth.agrees and pools == 3)


def _kept_when_predicting(network: Network) -> Answer:
    """The share of units that dropout drops, and keeps, when it predicts."""
    drops = [layer for layer in network.layers if isinstance(layer, Dropout)]
    inverted = all(layer.scaling is DropoutScaling.IN_TRAINING for layer in drops)
    factor = "1" if inverted else f"{1 - drops[0].rate:g}"
    note = f"a dropout of 1 would drop every unit; outputs are multiplied by {factor}"
    return Answer("0", not drops, note, "the share that is kept" if inverted else "")


def _sum(name: str, printed: int) -> note_counts.Check:
    """A side of the maps as the note works it out: (side - size + 2 padding) / stride + 1."""

    def check(network: Network) -> Answer:
        row = note_counts.row_of(network, name)
        layer = row.layer
        assert isinstance(layer, Conv | MaxPool)
        side, padding = row.input_shape[0], layer.padding.top + layer.padding.bottom
        worked = (side - layer.size + padding) / layer.stride + 1
        note = f"({side} - {layer.size} + {padding}) / {layer.stride} + 1 = {worked:g}"
        return Answer(f"{row.output_shape[0]}", row.output_shape[0] == printed == worked, note)

    return check


def _flattened(network: Network) -> Answer:
    first = next(row for row in derive.facts(network) if isinstance(row.layer, Dense))
    found, units = derive.volume(first.input_shape), first.output_shape[0]
    return Answer(f"{found:,}", found == 4096, note_counts.sides(first.input_shape), f"{first.layer.name}'s outputs"
                  if units == 4096 else "")  # fmt: skip


def _batches(network: Network) -> Answer:
    """Batches of an epoch that a DataLoader gives, which keeps the last one, against a whole-number division."""
    batch = network.recipe.batch_size
    given, printed = -(-PETS // batch), PETS // batch
    note = f"{PETS} images in batches of {batch}: `Iter [1/{printed}]` would be printed"
    return Answer(str(given), given == printed, note)


def _classes(network: Network) -> Answer:
    return Answer(str(network.classes), network.classes == 2)


def _arithmetic(side: int) -> int:
    """The printed (256 - 224) * (2^2)."""
    return (images.resized_side(side) - side) * 2**2


CLAIMS: tuple[NoteClaim, ...] = (
    Claim(
        place="1", claim="won ILSVRC 2012 with a top-5 error rate of 16.4 %", figure="16.4 %",
        check=note_counts.winning_error(16.4), known="misnamed",
    ),
    Claim(
        place="2", claim="8 layers: 5 convolutions, three of them with a max-pool behind, and 3 fully connected",
        figure="5 and 3, 3 pooled", check=_pooled,
    ),
    Claim(
        place="2", claim="630 million connections", figure="630 million",
        check=note_counts.all_connections(630_000_000), known="contradicted",
    ),
    Claim(place="2", claim="60 million parameters", figure="60 million", check=note_counts.total(60_000_000)),
    Claim(place="2", claim="650 thousand neurons", figure="650 thousand", check=note_counts.neurons(650_000)),
    Claim(
        place="3, 4", claim="crops and mirror images add (256-224)*(2^2) = 2048 times the data", figure="2048",
        check=views_printed(2048, _arithmetic(catalog.get("paper").width)), known="contradicted",
    ),
    Claim(
        place="3, 6", claim="no dropout in prediction, that is, Dropout is 1", figure="1", of="note-003",
        check=_kept_when_predicting, known="misnamed",
    ),
    Claim(
        place="4, AlexNet.py", claim="input of 227*227*3: (227-11)/4+1=55", figure="55", of="note-003",
        check=_sum("conv1", 55),
    ),
    Claim(
        place="4, AlexNet.py", claim="conv1 gives 55*55*96", figure="55*55*96", of="note-003",
        check=note_counts.output("conv1", (55, 55, 96)),
    ),
    Claim(
        place="4, AlexNet.py", claim="first pool: (55-3)/2+1=27", figure="27", of="note-003", check=_sum("pool1", 27),
    ),
    Claim(
        place="4, AlexNet.py", claim="conv2: (27-5 + 2*2)/ 1 + 1 = 27, 27*27*256", figure="27", of="note-003",
        check=_sum("conv2", 27),
    ),
    Claim(
        place="4, AlexNet.py", claim="second pool: (27 - 3 )/2 + 1 = 13", figure="13", of="note-003",
        check=_sum("pool2", 13),
    ),
    Claim(
        place="4, AlexNet.py", claim="conv3: (13 - 3 +1*2)/1 + 1 = 13, 13*13*384", figure="13*13*384", of="note-003",
        check=note_counts.output("conv3", (13, 13, 384)),
    ),
    Claim(
        place="4, AlexNet.py", claim="conv5: 13*13*256", figure="13*13*256", of="note-003",
        check=note_counts.output("conv5", (13, 13, 256)),
    ),
    Claim(
        place="4, AlexNet.py", claim="last pool: (13 - 3 )/2 +1 =6", figure="6", of="note-003", check=_sum("pool5", 6),
    ),
    Claim(
        place="4, AlexNet.py", claim="6*6*256 = 9216 output features", figure="9216", of="note-003",
        check=note_counts.inputs("fc6", (6, 6, 256)),
    ),
    Claim(
        place="4, AlexNet.py", claim="flattened to (batch_size, 4096)", figure="4096", of="note-003", check=_flattened,
        known="misnamed",
    ),
    Claim(
        place="4, AlexNet.py", claim="2 outputs, for cats and dogs alone", figure="2", of="note-003", check=_classes,
    ),
    Claim(
        place="4, train.py", claim="ten images: Iter [%d/%d] of len(train_dataset) // args.batch_size", figure="0",
        of="note-003", check=_batches, known="contradicted",
    ),
)  # fmt: skip

"""Whatever a reader makes of a file, an audit compares it, counts it and writes it down; it never breaks."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.audit import command, rows
from harness.audit.consequence import in_order
from harness.audit.departures import compare
from harness.audit.options import AuditOptions
from impls import catalog
from impls.reading import Foreign, Reading, numbered
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Init, MaxPool, Padding, ReLU, SpatialNorm, Tanh
from reports import tables
from reports.documents.audit import listing
from reports.render import markdown

WHOLE = st.one_of(st.integers(-2, 12), st.sampled_from([96, 256, 384, 4096, 1000, 10**6, 10**12, 10**30]))
REAL = st.one_of(
    st.floats(-3, 3), st.sampled_from([0.0, 1e-4, 2e-5, 0.75, math.nan, math.inf, -math.inf, 1e300, 1e-300])
)
PADDING = st.builds(Padding, *[st.integers(-1, 6)] * 4)
INIT = st.one_of(REAL, st.sampled_from(Init))
WORD = st.text(max_size=12) | st.sampled_from(
    ["GELU", "LRN", "dropout", "AvgPool2d", "BatchNorm2d", "pool", "activation"]
)
NAME = st.just("x")

LAYER = st.one_of(
    st.builds(Conv, name=NAME, kernels=WHOLE, size=WHOLE, stride=WHOLE, padding=PADDING, groups=WHOLE, init=INIT,
              init_bias=REAL),
    st.builds(Dense, name=NAME, units=WHOLE, init=INIT, init_bias=REAL),
    st.builds(ReLU, name=NAME),
    st.builds(Tanh, name=NAME),
    st.builds(LRN, name=NAME, size=WHOLE, alpha=REAL, beta=REAL, k=REAL, groups=WHOLE),
    st.builds(SpatialNorm, name=NAME, size=WHOLE, alpha=REAL, beta=REAL, k=REAL),
    st.builds(MaxPool, name=NAME, size=WHOLE, stride=WHOLE, padding=PADDING),
    st.builds(Dropout, name=NAME, rate=REAL, scaling=st.sampled_from(DropoutScaling)),
    st.builds(Foreign, name=NAME, kind=WORD, detail=WORD, parameters=WHOLE,
              output_shape=st.lists(WHOLE, max_size=3).map(tuple)),
)  # fmt: skip
READING = st.builds(
    Reading,
    name=WORD,
    source=WORD,
    height=WHOLE,
    width=WHOLE,
    channels=WHOLE,
    layers=st.one_of(
        st.lists(LAYER, max_size=30),
        # a network of the catalog with some layers put in or taken out reaches further than mere noise
        st.tuples(st.sampled_from(list(catalog.NETWORKS.values())), st.lists(st.tuples(st.integers(0, 20), LAYER))).map(
            lambda given: _strewn(list(given[0].layers), given[1])
        ),
    ).map(numbered),
    preprocessing=st.sampled_from([None, "none", "mean-image", "unit-scale"]),
)


def _strewn(layers: list, added: list) -> list:
    for place, layer in added:
        layers[place : place + 1] = [layer]
    return layers


@settings(max_examples=200, deadline=None)
@given(READING, st.sampled_from(["paper", "original-2012", "cifar-4layer"]))
def test_any_reading_is_compared_counted_and_written_down(theirs: Reading, against: str) -> None:
    reference = catalog.get(against)
    options = AuditOptions(source="x", against=against, measure=False)

    judged = [command._judged(departure, reference, options) for departure in compare(theirs, reference)]
    made = rows.of(in_order(judged), (theirs.name, against), "")

    table = tables.records(tables.frame("audit", made))
    assert [row["facet"] for row in table] == [row["facet"] for row in made]
    text = markdown.text(listing({"audit": tables.frame("audit", made)}, command._facts(theirs, reference)))
    assert all(row["facet"] in text for row in made)

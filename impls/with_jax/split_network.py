"""The plan of `impls.split` as programs over a mesh.

A canonical tensor or batch is one array whose shares lie on the devices; a program is written for one device's share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec as Spec

from impls.protocol import Settings, Unsupported
from impls.spec import Dropout, Network
from impls.split import Exchange, InvalidSplit, Lies, Stage, plan
from impls.with_jax.engine import AXIS, engine_of, gather, own_key, summed, with_halo
from impls.with_jax.network import Tensors
from impls.with_jax.operators import Tensor, apply_layer, cross_entropy, table_of
from impls.with_jax.sgd import update
from impls.with_jax.tuning import tuning_of

SEED = 0  # of the dropout masks drawn


@functools.lru_cache(maxsize=4)
def split_network(network: Network, settings: Settings) -> SplitNetwork:
    """The network under these settings, whose programs are compiled once. Raises Unsupported, InvalidNetwork."""
    return SplitNetwork(network, settings)


class SplitNetwork:
    """A plan's programs over the devices."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.engine = engine_of(settings)
        try:
            self.plan = plan(network, settings.split, settings.devices)
        except InvalidSplit as error:
            raise Unsupported(str(error)) from None
        self._table = table_of(tuning_of(settings))
        self._generator = tuning_of(settings).generator
        shapes = {name: shape for stage in self.plan.stages for name, shape in stage.whole.parameters.items()}
        self.shapes = shapes
        self.tensor_specs = {name: self._tensor_spec(name, len(shape)) for name, shape in shapes.items()}
        self.image_spec = spec_of(self.plan.stages[0].before, 4)
        self.label_spec = Spec() if self.plan.gather_logits else spec_of(self.plan.stages[-1].after, 1)
        dropouts = [stage for stage in self.plan.stages if isinstance(stage.layer, Dropout)]
        self.mask_specs = {stage.layer.name: _input_spec(stage) for stage in dropouts}
        self._forward_takes = (self.tensor_specs, self.image_spec)
        self._backward_takes = (*self._forward_takes, self.label_spec, self.mask_specs)

    @functools.cached_property
    def outputs_at_test(self) -> Any:
        """Program: tensors and images to every layer's output."""
        return self._outputs_program(functools.partial(self._all_outputs, masks=None), self._forward_takes)

    @functools.cached_property
    def outputs_in_training(self) -> Any:
        """Program: tensors, images and masks to every layer's output."""
        return self._outputs_program(self._all_outputs, (*self._forward_takes, self.mask_specs))

    @functools.cached_property
    def logits_at_test(self) -> Any:
        """Program: tensors and images to logits [N, classes]."""
        gives = Spec() if self.plan.gather_logits else spec_of(self.plan.stages[-1].after, 2)
        return self.engine.program(functools.partial(self._logits, masks=None), self._forward_takes, gives)

    @functools.cached_property
    def loss_and_gradients(self) -> Any:
        """Program: tensors, images, labels and masks to the mean loss and its gradient by every tensor."""
        return self.engine.program(self._loss_and_gradients, self._backward_takes, (Spec(), self.tensor_specs))

    @functools.cached_property
    def training_step(self) -> Any:
        """Program: tensors, velocity, rates, images, labels and masks to the loss, and both after the update."""

        def step(tensors: Tensors, velocity: Tensors, rates: Tensor, *batch: Any) -> tuple[Tensor, Tensors, Tensors]:
            loss, gradients = self._loss_and_gradients(tensors, *batch)
            return loss, *update(tensors, velocity, gradients, rates)

        state = self.tensor_specs, self.tensor_specs
        takes = (*state, Spec(), *self._backward_takes[1:])
        return self.engine.program(step, takes, (Spec(), *state), donated=(0, 1))

    def mask_drawer(self, count: int) -> Any:
        """Program: a step's number to a 0/1 mask for each dropout layer and `count` images."""
        return self.engine.program(functools.partial(self._draw, count), (Spec(),), self.mask_specs)

    def _tensor_spec(self, name: str, sides: int) -> Spec:
        return spec_of(Lies.CHANNELS if self.plan.tensor_is_sharded(name) else Lies.WHOLE, sides)

    def _outputs_program(self, body: Callable[..., list[Tensor]], takes: tuple[Any, ...]) -> Any:
        gives = [spec_of(stage.after, 1 + len(stage.whole.output_shape)) for stage in self.plan.stages]
        return self.engine.program(body, takes, gives)

    def _outputs(
        self, tensors: Tensors, images: Tensor, masks: Mapping[str, Tensor] | None
    ) -> Iterator[tuple[Stage, Tensor]]:
        """Every stage and its output as it lies on one device. With masks as in training, without as at test time."""
        x = images
        for stage in self.plan.stages:
            x = exchanged(stage, x)
            parameters = {name.rpartition("/")[2]: tensors[name] for name in stage.whole.parameters}
            mask = masks[stage.layer.name] if masks is not None and isinstance(stage.layer, Dropout) else None
            x = apply_layer(stage.layer, x, parameters, mask, self._table)
            if stage.exchange is Exchange.HALO:
                x = x[..., stage.reach : x.shape[-1] - stage.reach]
            yield stage, x

    def _all_outputs(self, tensors: Tensors, images: Tensor, masks: Mapping[str, Tensor] | None) -> list[Tensor]:
        return [y for _, y in self._outputs(tensors, images, masks)]

    def _logits(self, tensors: Tensors, images: Tensor, masks: Mapping[str, Tensor] | None) -> Tensor:
        """[N, classes] where the plan gathers them, else one device's rows."""
        *_, (_, logits) = self._outputs(tensors, images, masks)
        return gather(logits, 1) if self.plan.gather_logits else logits

    def _loss_and_gradients(
        self, tensors: Tensors, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensors]:
        """The sum of the devices' parts of the loss, and its gradient by the tensors as one device holds them."""

        def part(tensors: Tensors) -> Tensor:
            return cross_entropy(self._logits(tensors, images, masks), labels) / self.plan.devices

        loss, gradients = jax.value_and_grad(part)(tensors)
        whole = {name: g for name, g in gradients.items() if not self.plan.tensor_is_sharded(name)}
        loss, whole = summed((loss, whole))
        return loss, gradients | whole

    def _draw(self, count: int, step: Tensor) -> Tensors:
        """1 with probability 1 - rate, on each device its own; where an activation is whole so is its mask."""
        key = jax.random.fold_in(jax.random.key(SEED, impl=self._generator), step)
        masks = {}
        for number, stage in enumerate(self.plan.stages):
            if not isinstance(stage.layer, Dropout):
                continue
            common = jax.random.fold_in(key, number)
            own = common if stage.before is Lies.WHOLE else own_key(common)
            shape = _own_shape((count, *stage.whole.input_shape), stage.before, self.plan.devices)
            kept = jax.random.bernoulli(own, 1 - stage.layer.rate, shape)
            masks[stage.layer.name] = kept.astype(self.engine.numerics.dtype)
        return masks


def spec_of(lies: Lies, sides: int) -> Spec:
    """How an activation with so many sides, the batch among them, lies on the mesh."""
    return {Lies.WHOLE: Spec(), Lies.BATCH: Spec(AXIS), Lies.CHANNELS: Spec(*[None] * (sides - 1), AXIS)}[lies]


def _input_spec(stage: Stage) -> Spec:
    return spec_of(stage.before, 1 + len(stage.whole.input_shape))


def exchanged(stage: Stage, x: Tensor) -> Tensor:
    """A stage's input after its exchange."""
    match stage.exchange:
        case Exchange.GATHER_BATCH:
            return gather(x, 0)
        case Exchange.GATHER_CHANNELS:
            return gather(x, x.ndim - 1)
        case Exchange.HALO:
            return with_halo(x, stage.reach)
        case _:
            return x


def _own_shape(shape: tuple[int, ...], lies: Lies, devices: int) -> tuple[int, ...]:
    """Of one device's share."""
    first, *between, last = shape
    match lies:
        case Lies.BATCH:
            return first // devices, *between, last
        case Lies.CHANNELS:
            return first, *between, last // devices
        case _:
            return shape

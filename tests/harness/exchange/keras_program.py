"""Files that Keras itself makes, and the values in them: run in a process of its own, `FOLDER` its argument."""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from keras.src.legacy.saving import legacy_h5_format

folder = Path(sys.argv[1])
keras.utils.set_random_seed(7)


def noted(name: str, model: keras.Model) -> None:
    """Convolutions' and dense layers' values in order, so that a test can hold them against a reader's."""
    inner = [part for layer in model.layers for part in (layer.layers if isinstance(layer, keras.Model) else [layer])]
    learned = [layer for layer in inner if layer.weights and layer.name != "norm"]
    arrays = {f"{place}/{kind}": value for place, layer in enumerate(learned)
              for kind, value in zip(("weight", "bias"), layer.get_weights(), strict=True)}  # fmt: skip
    np.savez(folder / f"{name}.npz", **{key.replace("/", "-"): value for key, value in arrays.items()})


def plain() -> keras.Model:
    """Two convolutions, the second grouped, and two dense layers; biases that are not zero."""
    return keras.Sequential([
        layers.Input((13, 11, 3)),
        layers.Rescaling(1 / 255),
        layers.ZeroPadding2D(((0, 1), (2, 1))),
        layers.Conv2D(8, 3, strides=2, name="stem", bias_initializer="random_normal"),
        layers.ReLU(),
        layers.MaxPooling2D(3, 2, padding="same"),
        layers.Conv2D(6, 3, padding="same", groups=2, activation="relu", bias_initializer="random_normal"),
        layers.Flatten(),
        layers.Dropout(0.25),
        layers.Dense(5, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)),
        layers.Dense(4, activation="softmax", bias_initializer="random_normal"),
    ])  # fmt: skip


def branched() -> keras.Model:
    """A residual block, a response normalisation composed in some other way, an average pool."""
    images = layers.Input((9, 10, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(images)
    x = layers.Add()([x, layers.Conv2D(4, 1, name="short")(x)])
    x = x / ops.power(1.0 + 0.5 * ops.square(x), 0.75)
    x = layers.AveragePooling2D(2)(x)
    return keras.Model(images, layers.Dense(3, name="last")(layers.Flatten()(x)))


def functional() -> keras.Model:
    """A model inside a model, max-pooling over what minus infinity pads, a leaky unit."""
    inner = keras.Sequential([layers.Input((9, 10, 4)), layers.Conv2D(5, 3), layers.LeakyReLU(negative_slope=0.1)])
    images = layers.Input((11, 12, 3))
    x = layers.Conv2D(4, 3, name="outer")(images)
    x = inner(x)
    x = ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-float("inf"))
    x = layers.MaxPooling2D(2)(x)
    return keras.Model(images, layers.Dense(3, name="last")(layers.Flatten()(x)))


def tiny() -> keras.Model:
    """As few bytes as can be: thousands of mutants are made of it."""
    return keras.Sequential([layers.Input((3, 3, 3)), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(2)])


def main() -> None:
    """Each model in each kind of file."""
    for make in (plain, functional, tiny):
        name, model = make.__name__, make()
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        model.save_weights(folder / f"{name}.weights.h5")
        noted(name, model)
    with legacy_h5_format.h5py.File(folder / "plain_weights_only.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, keras.models.load_model(folder / "plain.keras"))
    branched().save(folder / "branched.keras")
    normal = keras.Sequential([layers.Input((6, 6, 3)), layers.Conv2D(2, 3), layers.BatchNormalization(name="norm"),
                               layers.GlobalAveragePooling2D(), layers.Dense(2)])  # fmt: skip
    normal.save(folder / "batch_normalised.keras")
    trained = tiny()
    trained.compile("adam", "mse")
    trained.fit(np.zeros((2, 3, 3, 3), "float32"), np.zeros((2, 2), "float32"), verbose=0)
    trained.save(folder / "trained.keras")
    trained.save(folder / "trained.h5")
    noted("trained", trained)
    code = keras.Sequential([layers.Input((6, 6, 3)), layers.Lambda(lambda x: x + 1, name="code"), layers.Conv2D(2, 3),
                             layers.Flatten(), layers.Dense(2)])  # fmt: skip
    code.save(folder / "code.keras")


if __name__ == "__main__":
    main()

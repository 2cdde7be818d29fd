"""Records small networks that ran on Theano, with what they computed there: for tests/sources.

Runs in environments of Python 3.7, each with one Keras, so it is written for that:

    pip install keras==0.3.3 theano==0.8.2 'numpy<1.17' 'scipy<1.4' h5py==2.10 'setuptools<58'
    pip install keras==1.2.2 theano==1.0.5 'numpy<1.19' h5py==2.10
    pip install keras==2.2.5 theano==1.0.5 'tensorflow<2' 'numpy<1.19' 'protobuf<3.21' h5py==2.10

    python tools/record_theano_files.py --output=tests/sources/keras_files/theano-2.2.5.zip

The archive has `NAME_weights.h5`, from Keras 1 on the whole model as `NAME_model.h5` too, and
`numbers.npz` with its input (`NAME/input`, images as Theano took them) and what it predicted
(`NAME/output`). Keras 2.2 also loads its weights on TensorFlow, which converts them, and has them
in `NAME/converted/0` and so on. NAME is `first` or `last`, for where the channels are.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

HEIGHT, WIDTH, CHANNELS = 7, 8, 3
FLAGS = "floatX=float32,base_compiledir="  # a compiler of C++ is needed


def network_0(_):
    """Of Keras 0.3, which has channels first."""
    from keras.layers import convolutional as conv, core
    from keras.layers.normalization import BatchNormalization
    from keras.models import Sequential

    made = [
        conv.ZeroPadding2D((1, 1), input_shape=(CHANNELS, HEIGHT, WIDTH)),
        conv.Convolution2D(4, 3, 2, activation="relu"),
        BatchNormalization(axis=1),
        conv.MaxPooling2D((2, 2)),
        conv.Convolution2D(5, 2, 3),
        core.Flatten(),
        core.Dense(4, activation="relu"),
        core.Dropout(0.5),
        core.Dense(3),
    ]
    model = Sequential(made)
    model.compile("sgd", "mse")
    return model


def network_1(first):
    """Of Keras 1."""
    from keras import layers
    from keras.models import Sequential

    order = {"dim_ordering": "th" if first else "tf"}
    return Sequential(
        [
            layers.Convolution2D(4, 3, 2, activation="relu", input_shape=shape(first), **order),
            layers.BatchNormalization(axis=1 if first else 3),
            layers.Convolution2D(4, 3, 3, border_mode="same", **order),
            layers.Convolution2D(5, 2, 3, bias=False, **order),
            layers.Flatten(),
            layers.Dense(4, activation="relu"),
            layers.Dense(3),
        ]
    )


def network_2(first):
    """Of Keras 2, with every kind of convolution that both orders of channels have."""
    import keras
    from keras import layers

    order = {"data_format": "channels_first" if first else "channels_last"}
    return keras.models.Sequential(
        [
            layers.Conv2D(4, (3, 2), activation="relu", input_shape=shape(first), **order),
            layers.BatchNormalization(axis=1 if first else 3),
            layers.SeparableConv2D(5, (2, 3), depth_multiplier=2, use_bias=False, **order),
            layers.DepthwiseConv2D((3, 2), depth_multiplier=2, **order),
            layers.Conv2DTranspose(2, (2, 3), strides=(2, 1), **order),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dense(4, activation="relu"),
            layers.Dense(3),
        ]
    )


def shape(first):
    """Return the shape of the images."""
    return (CHANNELS, HEIGHT, WIDTH) if first else (HEIGHT, WIDTH, CHANNELS)


def seed(model):
    """Give a model weights that are the same in every run; variances are positive."""
    random = np.random.RandomState(5)
    made = []
    for array in model.get_weights():
        values = random.uniform(0.05, 0.5, array.shape)
        is_last_of_norm = len(made) > 2 and len({a.shape for a in (*made[-3:], array)}) == 1
        made.append(values if is_last_of_norm else values * random.choice([-1, 1], array.shape))
    model.set_weights(made)


def record(archive, folder):
    """Write both networks into the archive and return the numbers."""
    import keras
    import theano.ifelse  # noqa: F401  which Keras 1 forgets

    generation = int(keras.__version__[0])
    numbers = {}
    for first in (True, False) if generation else (True,):
        name = "first" if first else "last"
        model = (network_0, network_1, network_2)[generation](first)
        seed(model)
        fed = np.random.RandomState(7).uniform(-1, 1, (2, *shape(first))).astype("float32")
        numbers[name + "/input"], numbers[name + "/output"] = fed, model.predict(fed)
        model.save_weights(str(folder / (name + "_weights.h5")), overwrite=True)
        if generation:
            model.save(str(folder / (name + "_model.h5")), overwrite=True)
        if generation == 2:
            environment = dict(os.environ, KERAS_BACKEND="tensorflow")
            program = [sys.executable, __file__, "--convert=" + str(folder / name)]
            subprocess.run(program, env=environment, check=True)
            held = np.load(str(folder / (name + ".npz")))
            for number in range(len(held.files)):
                numbers[f"{name}/converted/{number}"] = held[f"arr_{number}"]
    for file in sorted(folder.glob("*.h5")):
        archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)
    return numbers


def convert(path):
    """Load weights of Theano with Keras 2.2 on TensorFlow, and write them as it has them then.

    Keras 2.2 turns the kernels when it loads them; the dense layer after the flattened images is
    given the order of channels-last ones by a function of its own.
    """
    from keras.utils import layer_utils

    first = path.endswith("first")
    model = network_2(first)
    model.load_weights(path + "_weights.h5")
    if first:
        flat = next(i for i, layer in enumerate(model.layers) if "flatten" in layer.name)
        channels, height, width = model.layers[flat].input_shape[1:]
        before = height, width, channels
        # It only moves rows of the kernel; the norm in between has them too, as one column each.
        norm, dense = model.layers[flat + 1 : flat + 3]
        held = norm.get_weights()
        layer_utils.convert_dense_weights_data_format(dense, before, "channels_last")
        moved = [_Column(a) for a in held]
        for column in moved:
            layer_utils.convert_dense_weights_data_format(column, before, "channels_last")
        norm.set_weights([column.kernel[:, 0] for column in moved])
    np.savez(path + ".npz", *model.get_weights())


class _Column:
    """A vector as the kernel of a dense layer with one output."""

    def __init__(self, vector):
        self.kernel = vector[:, None]

    def get_weights(self):
        """Return kernel and bias."""
        return [self.kernel, np.zeros(1)]

    def set_weights(self, weights):
        """Take kernel and bias."""
        self.kernel = weights[0]


def main():
    """Record with the Keras that is installed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", help="the archive to write")
    parser.add_argument("--convert", help="used by this script itself")
    flags = parser.parse_args()
    if flags.convert:
        convert(flags.convert)
        return
    with zipfile.ZipFile(flags.output, "w") as archive, tempfile.TemporaryDirectory() as folder:
        compiled = Path(tempfile.gettempdir()) / "theano_compiled"  # which Theano tidies at exit
        os.environ.update(KERAS_BACKEND="theano", THEANO_FLAGS=FLAGS + str(compiled))
        numbers = record(archive, Path(folder))
        file = io.BytesIO()
        np.savez_compressed(file, **numbers)
        archive.writestr(zipfile.ZipInfo("numbers.npz"), file.getvalue())
    print(f"{flags.output}: {Path(flags.output).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

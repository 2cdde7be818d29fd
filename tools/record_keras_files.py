"""Records small Keras models with what they compute: the files of tests/sources/keras_files.

Runs under TensorFlow 1.15 (Python 3.7), 2.4 (3.8), 2.12 and 2.21 (3.11), each in an environment of
its own, so it is written for Python 3.7:

    python tools/record_keras_files.py --output=tests/sources/keras_files/tensorflow-2.12.zip

The archive has each model as `NAME.h5`, from TensorFlow 2.12 on as `NAME.keras` too, and
`numbers.npz` with its inputs (`NAME/input/0` …) and outputs (`NAME/output/0` …). Weights and inputs
are the same in every run. A layer that a version does not have is left out, and named.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf

L = tf.keras.layers
# What a version raises for a layer or an argument that it does not have.
_NOT_THERE = (AttributeError, TypeError, ValueError, NotImplementedError)
SEQUENCE, IMAGE, VOLUME = (5, 3), (6, 6, 2), (4, 4, 4, 2)
ACTIVATIONS = (
    "relu elu selu softplus softsign swish gelu exponential hard_sigmoid sigmoid tanh linear mish"
)


def recurrent():
    """Recurrent layers, their gates, and what they are wrapped in."""
    for kind in ("LSTM", "GRU"):
        layer = getattr(L, kind)
        yield f"{kind}_default", SEQUENCE, layer(4)
        yield f"{kind}_hard", SEQUENCE, layer(4, recurrent_activation="hard_sigmoid")
        yield f"{kind}_sigmoid_relu", SEQUENCE, layer(4, "relu", recurrent_activation="sigmoid")
        yield f"{kind}_sequences", SEQUENCE, layer(3, return_sequences=True, use_bias=False)
        yield f"{kind}_backwards", SEQUENCE, layer(3, go_backwards=True, return_sequences=True)
        yield f"{kind}_unrolled", SEQUENCE, layer(3, unroll=True)
        yield f"{kind}_dropout", SEQUENCE, layer(3, dropout=0.2, recurrent_dropout=0.3)
        yield f"{kind}_time_major", (2, 3), lambda x, layer=layer: layer(4, time_major=True)(x)
        yield f"{kind}_state", SEQUENCE, layer(3, return_state=True)
        yield f"{kind}_bidirectional", SEQUENCE, L.Bidirectional(layer(3))
    yield "LSTM_forget_0", SEQUENCE, L.LSTM(3, unit_forget_bias=False, bias_initializer="ones")
    yield "GRU_reset_before", SEQUENCE, L.GRU(4, reset_after=False)
    yield "GRU_reset_after", SEQUENCE, L.GRU(4, reset_after=True, activation="elu")
    yield "SimpleRNN", SEQUENCE, L.SimpleRNN(4)
    yield "SimpleRNN_relu", SEQUENCE, L.SimpleRNN(4, "relu", return_sequences=True)
    cells = [L.LSTMCell(3), L.GRUCell(4), L.SimpleRNNCell(2)]
    yield "StackedRNNCells", SEQUENCE, L.RNN(L.StackedRNNCells(cells))
    yield "RNN_of_LSTMCell", SEQUENCE, L.RNN(L.LSTMCell(3), return_sequences=True)
    yield "masked", SEQUENCE, [L.Masking(0.25), L.LSTM(4)]
    yield "masked_GRU", SEQUENCE, [L.Masking(0.25), L.GRU(4, return_sequences=True)]
    yield "embedded", (5,), [L.Embedding(7, 4, mask_zero=True), L.LSTM(3)]
    yield "embedded_flat", (5,), [L.Embedding(7, 3, input_length=5), L.Flatten()]
    for mode in ("sum", "mul", "ave"):
        both = L.Bidirectional(L.SimpleRNN(3, return_sequences=True), merge_mode=mode)
        yield f"bidirectional_{mode}", SEQUENCE, both
    backward = L.LSTM(2, go_backwards=True, activation="relu")
    yield "two_ways", SEQUENCE, lambda x: L.Bidirectional(L.LSTM(2), backward_layer=backward)(x)
    yield "TimeDistributed", SEQUENCE, L.TimeDistributed(L.Dense(4, "tanh"))
    frames = [L.TimeDistributed(L.Conv2D(2, 3)), L.ConvLSTM2D(3, 2)]
    yield "frames", (3, 6, 6, 2), frames
    yield "ConvLSTM2D_hard", (3, 5, 5, 2), L.ConvLSTM2D(2, 3, recurrent_activation="hard_sigmoid")
    yield "ConvLSTM2D_sequences", (2, 5, 5, 2), L.ConvLSTM2D(2, 3, return_sequences=True)


def convolutions():
    """Convolutions of every kind, with what they pad, skip and group."""
    yield "Conv1D_causal", SEQUENCE, L.Conv1D(4, 2, padding="causal", dilation_rate=2)
    yield "Conv1D_strided", SEQUENCE, L.Conv1D(4, 3, strides=2, activation="relu")
    yield "Conv2D", IMAGE, L.Conv2D(4, 3, activation="relu")
    yield "Conv2D_same", IMAGE, L.Conv2D(4, (3, 2), padding="same", strides=2, use_bias=False)
    yield "Conv2D_dilated", IMAGE, L.Conv2D(3, 2, dilation_rate=2)
    yield "Conv2D_groups", IMAGE, lambda x: L.Conv2D(4, 3, groups=2)(x)
    yield "Conv3D", VOLUME, L.Conv3D(3, 2, padding="same")
    yield "Conv1DTranspose", SEQUENCE, lambda x: L.Conv1DTranspose(3, 2, strides=2)(x)
    yield "Conv2DTranspose", IMAGE, L.Conv2DTranspose(3, 3, strides=2, padding="same")
    yield "Conv2DTranspose_valid", IMAGE, L.Conv2DTranspose(3, 3, strides=2, output_padding=1)
    yield "Conv3DTranspose", VOLUME, L.Conv3DTranspose(2, 2, strides=2)
    yield "SeparableConv1D", SEQUENCE, L.SeparableConv1D(4, 3, depth_multiplier=2)
    yield "SeparableConv2D", IMAGE, L.SeparableConv2D(4, 3, activation="relu")
    yield "DepthwiseConv2D", IMAGE, L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")
    yield "LocallyConnected1D", SEQUENCE, lambda x: L.LocallyConnected1D(3, 2)(x)
    yield "LocallyConnected2D", IMAGE, lambda x: L.LocallyConnected2D(2, 3, strides=2)(x)


def shapes():
    """Pooling, and layers that only move, repeat or resize values."""
    for mode in ("Max", "Average"):
        yield f"{mode}Pooling1D", SEQUENCE, getattr(L, f"{mode}Pooling1D")(2)
        yield f"{mode}Pooling2D", IMAGE, getattr(L, f"{mode}Pooling2D")(3, 2, padding="same")
        yield f"{mode}Pooling3D", VOLUME, getattr(L, f"{mode}Pooling3D")(2)
        for rank, shape in enumerate((SEQUENCE, IMAGE, VOLUME), 1):
            pool = getattr(L, f"Global{mode}Pooling{rank}D")
            yield f"Global{mode}Pooling{rank}D", shape, pool()
            kept = lambda x, pool=pool: pool(keepdims=True)(x)  # noqa: E731
            yield f"Global{mode}Pooling{rank}D_kept", shape, kept
    yield "Cropping1D", SEQUENCE, L.Cropping1D(1)
    yield "Cropping2D", IMAGE, L.Cropping2D(((1, 2), (0, 1)))
    yield "Cropping3D", VOLUME, L.Cropping3D(1)
    yield "ZeroPadding1D", SEQUENCE, L.ZeroPadding1D((1, 2))
    yield "ZeroPadding2D", IMAGE, L.ZeroPadding2D(((1, 0), (2, 1)))
    yield "ZeroPadding3D", VOLUME, L.ZeroPadding3D(1)
    yield "UpSampling1D", SEQUENCE, L.UpSampling1D(2)
    yield "UpSampling2D", IMAGE, L.UpSampling2D((2, 3))
    yield "UpSampling2D_bilinear", IMAGE, L.UpSampling2D(2, interpolation="bilinear")
    yield "UpSampling3D", VOLUME, L.UpSampling3D(2)
    yield "Reshape", IMAGE, L.Reshape((-1, 4))
    yield "Permute", IMAGE, L.Permute((3, 1, 2))
    yield "RepeatVector", (4,), L.RepeatVector(3)
    yield "Flatten", IMAGE, L.Flatten()
    yield "Flatten_first", IMAGE, L.Flatten(data_format="channels_first")
    yield "Resizing", IMAGE, lambda x: _image_layer("Resizing")(4, 3)(x)
    yield "CenterCrop", IMAGE, lambda x: _image_layer("CenterCrop")(4, 4)(x)


def activations():
    """Activations, as names and as layers with arguments."""
    for name in ACTIVATIONS.split():
        yield f"activation_{name}", (6,), [L.Dense(4), lambda x, n=name: L.Activation(n)(x)]
    yield "softmax_axis", SEQUENCE, L.Softmax(axis=1)
    yield "softmax", (6,), L.Dense(4, "softmax")
    yield "ReLU_limits", (6,), lambda x: L.ReLU(max_value=0.5, threshold=0.1)(x)
    yield "ReLU_slope", (6,), lambda x: L.ReLU(negative_slope=0.2)(x)
    yield "LeakyReLU_default", (6,), L.LeakyReLU()
    yield "LeakyReLU", (6,), lambda x: L.LeakyReLU(0.1)(x)
    yield "PReLU", (6,), L.PReLU()
    yield "PReLU_shared", IMAGE, L.PReLU(shared_axes=[1, 2])
    yield "ELU", (6,), L.ELU(0.7)
    yield "ThresholdedReLU", (6,), lambda x: L.ThresholdedReLU(theta=0.3)(x)


def normalizations():
    """Normalizations, noise, and what only works while training."""
    yield "BatchNormalization", IMAGE, L.BatchNormalization()
    yield "BatchNormalization_flat", (6,), L.BatchNormalization(epsilon=0.01, momentum=0.9)
    yield "BatchNormalization_axis", IMAGE, L.BatchNormalization(axis=1)
    yield "BatchNormalization_unscaled", IMAGE, L.BatchNormalization(scale=False, center=False)
    yield "BatchNormalization_fused", IMAGE, lambda x: L.BatchNormalization(fused=True)(x)
    yield "BatchNormalization_unfused", IMAGE, lambda x: L.BatchNormalization(fused=False)(x)
    yield "BatchNormalization_renorm", IMAGE, lambda x: L.BatchNormalization(renorm=True)(x)
    yield "LayerNormalization", SEQUENCE, L.LayerNormalization()
    yield "LayerNormalization_axes", IMAGE, L.LayerNormalization(axis=[1, 2], epsilon=0.01)
    yield "GroupNormalization", IMAGE, lambda x: L.GroupNormalization(groups=2)(x)
    yield "UnitNormalization", SEQUENCE, lambda x: L.UnitNormalization()(x)
    yield "Normalization", (3,), lambda x: L.Normalization(mean=0.3, variance=2.0)(x)
    yield "Rescaling", IMAGE, lambda x: _image_layer("Rescaling")(1 / 127.5, offset=-1)(x)
    yield "Normalization_adapted", (3,), lambda x: _adapted(L.Normalization())(x)
    for name in ("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout"):
        yield name, (6,), [L.Dense(4), getattr(L, name)(0.4)]
    for rank, shape in enumerate((SEQUENCE, IMAGE, VOLUME), 1):
        yield f"SpatialDropout{rank}D", shape, getattr(L, f"SpatialDropout{rank}D")(0.4)
    regular = {"kernel_regularizer": tf.keras.regularizers.l1_l2(0.1, 0.2)}
    held = {
        "kernel_constraint": tf.keras.constraints.MinMaxNorm(0.1, 2.0),
        "bias_constraint": "non_neg",
    }
    made = {
        "kernel_initializer": tf.keras.initializers.VarianceScaling(2.0),
        "bias_initializer": "ones",
    }
    yield "regularized", (6,), L.Dense(4, activity_regularizer="l2", **regular)
    yield "constrained", (6,), L.Dense(4, **held)
    yield "initialized", (6,), L.Dense(4, **made)
    yield "float64", (6,), [L.Dense(4, dtype="float64"), L.LayerNormalization(dtype="float64")]
    yield "ActivityRegularization", (6,), [L.Dense(3), L.ActivityRegularization(0.1)]
    yield (
        "EinsumDense",
        SEQUENCE,
        lambda x: L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x),
    )
    yield "channels_first", (2, 6, 6), L.GlobalAveragePooling2D(data_format="channels_first")


def networks():
    """Models of more than one input, output or level."""
    two = (SEQUENCE, SEQUENCE)
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
        yield name, two, lambda a, b, n=name: getattr(L, n)()([a, b])
    yield "Concatenate_axis", two, lambda a, b: L.Concatenate(axis=1)([a, b])
    yield "Dot", two, lambda a, b: L.Dot(axes=2)([a, b])
    yield "Dot_normal", two, lambda a, b: L.Dot(axes=(1, 1), normalize=True)([a, b])
    yield "Attention", two, lambda a, b: L.Attention()([a, b])
    yield "Attention_scaled", two, lambda a, b: L.Attention(use_scale=True)([a, b])
    yield "AdditiveAttention", two, lambda a, b: L.AdditiveAttention()([a, b])
    yield "MultiHeadAttention", two, lambda a, b: L.MultiHeadAttention(2, 3)(a, b)
    yield "two_outputs", (6,), lambda x: [L.Dense(3, name="left")(x), L.Dense(2, name="right")(x)]
    shared = L.Dense(3, "tanh")
    yield "shared_layer", two, lambda a, b: L.Add()([shared(a), shared(b)])
    yield "residual", IMAGE, lambda x: L.Add()([x, L.Conv2D(2, 3, padding="same")(x)])
    inner = tf.keras.Sequential([L.Conv2D(3, 3, input_shape=IMAGE), L.BatchNormalization()])
    yield "nested_sequential", IMAGE, lambda x: L.Flatten()(inner(x))
    nested_input = tf.keras.Input(IMAGE)
    hidden = L.ReLU()(L.Conv2D(3, 3)(nested_input))
    nested = tf.keras.Model(nested_input, L.GlobalAveragePooling2D()(hidden))
    yield "nested_model", (IMAGE, IMAGE), lambda a, b: L.Subtract()([nested(a), nested(b)])
    yield "scaled", IMAGE, lambda x: L.Flatten()(x / 255.0)
    yield "shifted", IMAGE, lambda x: L.GlobalMaxPooling2D()(x * 2.0 - 1.0)
    yield "sliced", SEQUENCE, lambda x: L.Dense(2)(x[:, -1])
    yield "functions", IMAGE, lambda x: tf.reduce_mean(tf.nn.relu6(x * 4.0), axis=[1, 2])
    yield "joined", two, lambda a, b: tf.concat([a, tf.square(b)], axis=-1)
    yield "stateful", SEQUENCE, L.LSTM(3, stateful=True)
    yield "compiled", (6,), [L.Dense(4), L.Dense(1)]


def _image_layer(name):
    """Return a layer that had another place in TensorFlow 2.3 to 2.5."""
    return getattr(L, name, None) or getattr(L.experimental.preprocessing, name)


def _adapted(layer):
    layer.adapt(np.random.RandomState(3).rand(20, 3).astype("float32"))
    return layer


def build(name, shape, made):
    """Return a functional model of one case; a Sequential where it is a list of layers."""
    shapes_ = shape if isinstance(shape[0], tuple) else (shape,)
    batch = 2 if name in ("stateful",) or "time_major" in name else None
    inputs = [tf.keras.Input(s, batch_size=batch) for s in shapes_]
    if isinstance(made, list) and all(isinstance(layer, L.Layer) for layer in made):
        model = tf.keras.Sequential([tf.keras.Input(shape), *made])
    elif isinstance(made, list):
        outputs = inputs[0]
        for layer in made:
            outputs = layer(outputs)
        model = tf.keras.Model(inputs, outputs)
    else:
        model = tf.keras.Model(inputs[0] if len(inputs) == 1 else inputs, made(*inputs))
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if not name.endswith("adapted"):
        model.set_weights([_weight(random, v) for v in model.weights])
    if name == "compiled":
        model.compile("adam", "mse")
        model.fit(random.rand(4, 6), random.rand(4, 1), verbose=0)
    fed = [random.uniform(-1, 2, (2, *s)).astype("float32") for s in shapes_]
    if name.startswith("embedded"):
        fed = [random.randint(0, 7, (2, *shape)).astype("float32")]
    if name.startswith("masked"):
        fed[0][:, 3:] = 0.25
    return model, fed


def _weight(random, variable):
    values = random.uniform(0.1, 0.9, variable.shape)
    if "variance" not in variable.name and "stddev" not in variable.name:
        values *= random.choice([-1, 1], variable.shape)
    return values


def record(archive, folder):
    """Write every case into the archive; return the numbers, and what was left out."""
    keras_zip = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 12)
    numbers, left_out = {}, []
    for family in (recurrent, convolutions, shapes, activations, normalizations, networks):
        for name, shape, made in family():
            try:
                model, fed = build(name, shape, made)
                computed = model.predict(fed if len(fed) > 1 else fed[0], verbose=0)
            except (*_NOT_THERE, tf.errors.OpError) as error:
                left_out.append(f"{name}: {str(error).splitlines()[0]}")
                continue
            numbers.update({f"{name}/input/{i}": x for i, x in enumerate(fed)})
            outputs = tf.nest.flatten(computed)
            numbers.update({f"{name}/output/{i}": x for i, x in enumerate(outputs)})
            for suffix in (".h5", ".keras") if keras_zip else (".h5",):
                path = folder / (name + suffix)
                try:
                    model.save(str(path))
                except _NOT_THERE as error:
                    left_out.append(f"{path.name}: {str(error).splitlines()[0]}")
                    continue
                info = zipfile.ZipInfo(path.name)  # the date is always the same
                archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
            tf.keras.backend.clear_session()  # before the next case makes its layers
    return numbers, left_out


def main():
    """Record under the TensorFlow that is installed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="the archive to write")
    flags = parser.parse_args()
    with zipfile.ZipFile(flags.output, "w") as archive, tempfile.TemporaryDirectory() as folder:
        numbers, left_out = record(archive, Path(folder))
        file = io.BytesIO()
        np.savez_compressed(file, **numbers)
        archive.writestr(zipfile.ZipInfo("numbers.npz"), file.getvalue())
    count = len({name.split("/")[0] for name in numbers})
    print(f"TensorFlow {tf.__version__}: {count} models in {flags.output}. Left out:")
    print("\n".join(left_out) or "none")


if __name__ == "__main__":
    main()

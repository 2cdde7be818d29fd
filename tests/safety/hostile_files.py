"""Archives, Keras files and pickles that would do what no model has to."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import tarfile
import zlib

from tests.safety.graphs import graph, write_file
from tests.safety.hostile import WRITES
from tests.safety.making import (
    FORBIDDEN,
    Hostile,
    Payload,
    bytes_file,
    hdf5_external,
    hdf5_file,
    hdf5_link,
    keras_file,
    lambda_layer,
    layer,
    npy_file,
    npy_of_objects,
    npz_file,
    polyglot,
    tar_entry,
    tar_file,
    zip_file,
)

_EVIL = pickle.dumps(Payload())
# The name of the module comes out of the memo, past the text that was pushed last.
_FROM_MEMO = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x01x\x85R."

FILES: dict[str, Hostile] = {
    "a graph in a tarball": Hostile(
        tar_file("deep/in/model.pb", graph(*write_file()).SerializeToString()),
        *WRITES,
    ),
    "a graph in a tarball in a zip": Hostile(
        lambda f: zip_file(
            {"in.tgz": tar_file("m.pb", graph(*write_file()).SerializeToString())(f).read_bytes()}
        )(f),
        *WRITES,
    ),
    "a packed graph (gzip)": Hostile(
        bytes_file(gzip.compress(graph(*write_file()).SerializeToString()), "m.pb.gz"),
        *WRITES,
    ),
    "a packed graph (bzip2)": Hostile(
        bytes_file(bz2.compress(graph(*write_file()).SerializeToString()), "m.pb.bz2"),
        *WRITES,
    ),
    "a packed graph (xz)": Hostile(
        bytes_file(lzma.compress(graph(*write_file()).SerializeToString()), "m.pb.xz"),
        *WRITES,
    ),
    "a name out of a tarball": Hostile(tar_file("../../.bashrc", b"x"), "path", "../../.bashrc"),
    "a name out of a zip": Hostile(zip_file({"/etc/cron.d/job": b""}), "path", "/etc/cron.d/job"),
    "a link out of a tarball": Hostile(
        tar_entry(name="weights", type=tarfile.SYMTYPE, linkname="../../etc"), "link", "weights"
    ),
    "a hard link out of a tarball": Hostile(
        tar_entry(name="weights", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "link", "weights"
    ),
    "a device in a tarball": Hostile(tar_entry(name="dev", type=tarfile.CHRTYPE), "device", "dev"),
    "a zip archive behind a graph": Hostile(polyglot, "pickle", FORBIDDEN),
    "a Lambda in a .keras file": Hostile(keras_file(lambda_layer()), "keras-lambda", "Lambda"),
    "a lambda object in a .keras file": Hostile(
        keras_file({**layer("Dense"), "config": {"activation": layer("__lambda__", "builtins")}}),
        *("keras-lambda", "__lambda__"),
    ),
    "a registered object in a .keras file": Hostile(
        keras_file(layer("Mine", "mine.layers", registered_name="mine>Mine")),
        *("keras-custom", "mine>Mine", "medium"),
    ),
    "a module named by a .keras file": Hostile(
        keras_file(layer("system", "os", registered_name=None)), "keras-custom", "system"
    ),
    "a function of Keras that loads others": Hostile(
        keras_file(layer("function", "keras.saving", config="load_model")),
        *("keras-custom", "load_model", "medium"),
    ),
    "a TFSMLayer": Hostile(keras_file(layer("TFSMLayer")), "keras-program", "TFSMLayer"),
    "a Lambda in an HDF5 file": Hostile(
        hdf5_file({**lambda_layer(), "module": None}), "keras-lambda", "Lambda"
    ),
    "a custom layer in an HDF5 file": Hostile(
        hdf5_file({"class_name": "Mine", "config": {"name": "x"}}), "keras-custom", "Mine", "medium"
    ),
    "a Lambda in the training of an HDF5 file": Hostile(
        hdf5_file({**lambda_layer(), "module": None}, key="training_config"),
        "keras-lambda",
        "Lambda",
    ),
    "words from a file of this computer": Hostile(
        keras_file({**layer("StringLookup"), "config": {"name": "w", "vocabulary": "/etc/passwd"}}),
        *("keras-program", "StringLookup"),
    ),
    "a Keras description as JSON": Hostile(
        bytes_file(json.dumps(lambda_layer()).encode(), "model.json"), "keras-lambda", "Lambda"
    ),
    "a Keras description as YAML": Hostile(
        bytes_file(b"class_name: !!python/object/apply:os.system [touch ran]\n", "model.yaml"),
        *("yaml", "model.yaml"),
    ),
    "an HDF5 link to another file": Hostile(hdf5_link, "other-file", "external link"),
    "HDF5 data in another file": Hostile(hdf5_external, "other-file", "external data"),
    "a pickle": Hostile(bytes_file(_EVIL, "model.pkl"), "pickle", FORBIDDEN),
    "a pickle of protocol 0": Hostile(
        bytes_file(pickle.dumps(Payload(), 0), "features.pkl"), "pickle", FORBIDDEN
    ),
    "a pickle of protocol 2": Hostile(
        bytes_file(pickle.dumps(Payload(), 2), "features.pkl"), "pickle", FORBIDDEN
    ),
    "a pickle of Python 2": Hostile(
        bytes_file(b"c__builtin__\neval\n(S'1'\ntR.", "old.pkl"), "pickle", "builtins.eval"
    ),
    "a pickle by another name": Hostile(bytes_file(_EVIL, "checkpoint.index"), "pickle", FORBIDDEN),
    "a second pickle behind the first": Hostile(
        bytes_file(pickle.dumps([1, 2]) + _EVIL, "two.pkl"), "pickle", FORBIDDEN
    ),
    "a pickle that breaks after its call": Hostile(
        bytes_file(_EVIL[:-1] + b"\xff\xff", "broken.pkl"), "pickle", FORBIDDEN
    ),
    "a compressed pickle": Hostile(
        bytes_file(zlib.compress(_EVIL), "model.joblib"), "pickle", FORBIDDEN
    ),
    "a pickle whose names are made": Hostile(
        bytes_file(_FROM_MEMO, "m.pkl"),
        *("pickle", "os.system"),
    ),
    "an array of objects": Hostile(npy_file, "pickle", FORBIDDEN),
    "an array of objects in an .npz": Hostile(npz_file, "pickle", FORBIDDEN),
    "an array of harmless objects": Hostile(npy_of_objects, "pickle", "pickle", "medium"),
    "PyTorch's zip": Hostile(
        zip_file({"archive/data.pkl": _EVIL}, "model.pt"), "pickle", FORBIDDEN
    ),
    "a library of ops": Hostile(
        tar_file("saved_model/ops.so", b"\x7fELF\x02\x01\x01" + bytes(64)),
        "native-program",
        "ops.so",
    ),
}

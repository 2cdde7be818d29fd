"""Make the two data files that let graphs be read without TensorFlow, from the one installed here.

    .venv/bin/python tools/make_schema.py

writes retrain_tools/graphdef/data/schema.binpb (the descriptors of TensorFlow's messages) and
ops.binpb (what listing needs of every registered op). Run it after raising the newest TensorFlow
that is supported, and read the difference: `tests/graphdef/test_schema.py` compares both files with
the TensorFlow that runs the tests.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from retrain_tools.quiet_tensorflow import tf

DATA = Path(__file__).resolve().parents[1] / "retrain_tools/graphdef/data"


def file_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Return the files of SavedModels and checkpoints, each after what it imports."""
    from tensorflow.core.framework import variable_pb2
    from tensorflow.core.protobuf import saved_model_pb2, tensor_bundle_pb2
    from tensorflow.core.util import saved_tensor_slice_pb2
    from tensorflow.python.training import checkpoint_state_pb2

    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in found:
            return
        for dependency in file.dependencies:
            add(dependency)
        found[file.name] = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(found[file.name])

    for module in (
        saved_model_pb2,
        variable_pb2,
        tensor_bundle_pb2,
        saved_tensor_slice_pb2,
        checkpoint_state_pb2,
    ):
        add(module.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=found.values())


def op_list() -> Any:
    """Return every op that a plain `import tensorflow` registers, by name, without descriptions."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    tf.constant(0)  # the ops are registered by what `import tensorflow` loads
    buffer = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    wanted = op_def_pb2.OpList()
    for definition in sorted(op_def_pb2.OpList.FromString(buffer).op, key=lambda op: op.name):
        op = wanted.op.add(name=definition.name, is_stateful=definition.is_stateful)
        for arguments, made in (
            (definition.input_arg, op.input_arg),
            (definition.output_arg, op.output_arg),
        ):
            for argument in arguments:
                made.add(
                    name=argument.name,
                    type=argument.type,
                    type_attr=argument.type_attr,
                    number_attr=argument.number_attr,
                    type_list_attr=argument.type_list_attr,
                    is_ref=argument.is_ref,
                )
        for attribute in definition.attr:
            kept = op.attr.add(name=attribute.name, type=attribute.type)
            if attribute.HasField("default_value"):
                kept.default_value.CopyFrom(attribute.default_value)
        if definition.HasField("deprecation"):
            op.deprecation.CopyFrom(definition.deprecation)
    return wanted


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output_dir", type=Path, default=DATA, help="default: %(default)s")
    folder = parser.parse_args().output_dir
    for name, message in (("schema.binpb", file_descriptors()), ("ops.binpb", op_list())):
        data = message.SerializeToString(deterministic=True)
        (folder / name).write_bytes(data)
        print(f"{folder / name}: {len(data):,} bytes")


if __name__ == "__main__":
    main()

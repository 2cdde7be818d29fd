"""TensorFlow's protobuf messages without TensorFlow, for reading files in a tenth of a second.

The classes come from TensorFlow's own descriptors (data/schema.binpb, made by tools/make_schema.py;
Apache-2.0, the TensorFlow authors), held in a descriptor pool of their own: the same messages in
protobuf's default pool would clash with those of a TensorFlow imported later. So a message of this
module is never an instance of TensorFlow's class of that name: what is given to TensorFlow, as
`engine.importing` does it, or comes from it, is parsed again from its bytes. All of the package
works with the messages of this module.

Only what protobuf 4.25 has is used: TensorFlow 2.18 still runs on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DATA = Path(__file__).parent / "data"


def _own_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString((DATA / "schema.binpb").read_bytes())
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _own_pool()


def _message(name: str) -> Any:
    descriptor = _POOL.FindMessageTypeByName(f"tensorflow.{name}")
    return message_factory.GetMessageClass(descriptor)


AttrValue = _message("AttrValue")
BundleEntryProto = _message("BundleEntryProto")
BundleHeaderProto = _message("BundleHeaderProto")
CheckpointState = _message("CheckpointState")
FunctionDef = _message("FunctionDef")
GraphDef = _message("GraphDef")
MetaGraphDef = _message("MetaGraphDef")
NodeDef = _message("NodeDef")
OpDef = _message("OpDef")
OpList = _message("OpList")
SavedModel = _message("SavedModel")
SavedObjectGraph = _message("SavedObjectGraph")
SavedTensorSlices = _message("SavedTensorSlices")
SignatureDef = _message("SignatureDef")
TensorProto = _message("TensorProto")
TensorShapeProto = _message("TensorShapeProto")
TrackableObjectGraph = _message("TrackableObjectGraph")
VariableDef = _message("VariableDef")

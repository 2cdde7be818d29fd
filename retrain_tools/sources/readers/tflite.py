"""TensorFlow Lite models, to be looked at: their tensors, signatures and operators."""

from __future__ import annotations

import functools
import importlib.util
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.sources.kinds import Kind, Place
from retrain_tools.sources.model import Model

_WHY_NOT = (
    "a TensorFlow Lite model has no GraphDef, and its operators are not TensorFlow's; pass the "
    "graph it was made from."
)
_MOST_BYTES = 2**31 - 1  # a flatbuffer cannot be larger
# What reading outside of the data, or at an offset where no table is, raises.
_DAMAGE = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def open_tflite(place: Place) -> Model:
    """Open a TensorFlow Lite flatbuffer; the model is not run.

    Raises:
        InputError: the file is damaged, or TensorFlow does not bring the schema along.
    """
    if place.path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{place} is larger than the {_MOST_BYTES:,} bytes of a flatbuffer.")
    schema = _schema()
    try:
        model = schema.Model.GetRootAs(place.path.read_bytes(), 0)
        numbers = range(model.SubgraphsLength())
        tensors = [t for number in numbers for t in _subgraph_tensors(schema, model, number)]
        return Model(
            path=place.named,
            kind=Kind.TFLITE,
            description=f"TensorFlow Lite model, schema version {model.Version()}",
            signatures=_signatures(schema, model),
            own_tensors=tensors,
            details=_details(model, tensors),
            why_not_frozen=_WHY_NOT,
        )
    except _DAMAGE as error:
        raise InputError(
            f"{place} is a damaged or cut-off TensorFlow Lite model; download or copy it again."
        ) from error


@functools.cache
def _schema() -> ModuleType:
    """Load the classes that TensorFlow brings along, but not TensorFlow."""
    package = importlib.util.find_spec("tensorflow")
    origin = None if package is None else package.origin
    if origin is not None:
        source = Path(origin).parent / "lite" / "python" / "schema_py_generated.py"
        spec = importlib.util.spec_from_file_location("_tflite_schema", source)
        if source.is_file() and spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise InputError("This TensorFlow has no schema of TensorFlow Lite; install tensorflow 2.18+.")


def _each(table: Any, field: str) -> list[Any]:
    """Return the items of a field of a flatbuffer's table that is a vector."""
    return [getattr(table, field)(i) for i in range(getattr(table, f"{field}Length")())]


def _names(enumeration: Any) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


def _subgraph_tensors(schema: Any, model: Any, number: int) -> list[Tensor]:
    subgraph = model.Subgraphs(number)
    made_by = _made_by(schema, model, subgraph)
    inputs = set(_each(subgraph, "Inputs"))
    types = _names(schema.TensorType)
    found = []
    for index, tensor in enumerate(_each(subgraph, "Tensors")):
        name = _text(tensor.Name()) or f"tensor {index}"
        if number > 0:  # the bodies of loops and conditionals
            name = f"{_text(subgraph.Name()) or number}/{name}"
        dtype = types.get(tensor.Type(), "?").lower()
        op = made_by.get(index) or ("Input" if index in inputs else "Const")
        found.append(Tensor(name, dtype, _shape(tensor), op))
    return found


def _made_by(schema: Any, model: Any, subgraph: Any) -> dict[int, str]:
    """Return the operator that makes each tensor, by the tensor's number."""
    builtin = _names(schema.BuiltinOperator)
    ops = []
    for code in _each(model, "OperatorCodes"):
        # The newer field is 0 in older files, where one byte was enough.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = _text(code.CustomCode())
        ops.append(custom or builtin.get(number, f"operator {number}"))
    return {
        output: ops[operator.OpcodeIndex()]
        for operator in _each(subgraph, "Operators")
        for output in _each(operator, "Outputs")
    }


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode("utf-8", "replace")


def _shape(tensor: Any) -> Shape | None:
    # The signature has -1 for what may vary.
    dims = _each(tensor, "ShapeSignature") or _each(tensor, "Shape")
    return tuple(None if dim < 0 else dim for dim in dims)


def _signatures(schema: Any, model: Any) -> dict[str, Signature]:
    if not model.SubgraphsLength():
        return {}
    main = _subgraph_tensors(schema, model, 0)
    subgraph = model.Subgraphs(0)

    def info(index: int) -> TensorInfo:
        return TensorInfo(main[index].name, main[index].dtype, main[index].shape)

    found = {}
    for stated in _each(model, "SignatureDefs"):
        if stated.SubgraphIndex() != 0:
            continue
        found[_text(stated.SignatureKey())] = Signature(
            {_text(end.Name()): info(end.TensorIndex()) for end in _each(stated, "Inputs")},
            {_text(end.Name()): info(end.TensorIndex()) for end in _each(stated, "Outputs")},
        )
    if found:
        return found
    ins, outs = map(info, _each(subgraph, "Inputs")), map(info, _each(subgraph, "Outputs"))
    return {"main": Signature({i.name: i for i in ins}, {o.name: o for o in outs})}


def _details(model: Any, tensors: list[Tensor]) -> dict[str, str]:
    details = {"subgraphs": str(model.SubgraphsLength()), "tensors": str(len(tensors))}
    if description := _text(model.Description()):
        details["description"] = description
    if metadata := [_text(item.Name()) for item in _each(model, "Metadata")]:
        details["metadata"] = ", ".join(metadata)
    return details

"""TensorFlow Lite models, to be looked at: their tensors, signatures and operators."""

from __future__ import annotations

import functools
import importlib.util
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.dtypes import UNKNOWN
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.sources.contents import Operator, OwnGraph, Signature, TensorInfo
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
        graphs = _subgraphs(schema, model)
        own_graph = OwnGraph(
            tensors=[tensor for graph in graphs for tensor in graph.tensors],
            operators=[operator for graph in graphs for operator in graph.operators],
            inputs=graphs[0].inputs if graphs else (),
            outputs=graphs[0].outputs if graphs else (),
        )
        return Model(
            path=place.named,
            kind=Kind.TFLITE,
            description=f"TensorFlow Lite model, schema version {model.Version()}",
            signatures=_signatures(model, graphs),
            own_graph=own_graph,
            details=_details(model, own_graph.tensors),
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


def builtin_operators() -> set[str]:
    """Return the names of the operators that TensorFlow Lite has itself."""
    return set(_names(_schema().BuiltinOperator).values())


def _each(table: Any, field: str) -> list[Any]:
    """Return the items of a field of a flatbuffer's table that is a vector."""
    return [getattr(table, field)(i) for i in range(getattr(table, f"{field}Length")())]


def _names(enumeration: Any) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


def _subgraphs(schema: Any, model: Any) -> list[OwnGraph]:
    """Return all subgraphs: the main one first, then other signatures', loops' and conditionals'.

    A name stands for one tensor in all of them: what has none is called by its number, and what has
    another's is told by its number as well.
    """
    ops, types, taken = _ops(schema, model), _names(schema.TensorType), set[str]()
    found = []
    for number, subgraph in enumerate(_each(model, "Subgraphs")):
        names = []
        for index, tensor in enumerate(_each(subgraph, "Tensors")):
            name = _text(tensor.Name()) or f"tensor {index}"
            if number > 0:
                name = f"{_text(subgraph.Name()) or number}/{name}"
            names.append(f"{name} (tensor {index} of {number})" if name in taken else name)
            taken.add(names[-1])
        found.append(_subgraph(subgraph, names, ops, types))
    return found


def _subgraph(
    subgraph: Any, names: Sequence[str], ops: Sequence[str], types: Mapping[int, str]
) -> OwnGraph:
    operators = [
        Operator(
            ops[operator.OpcodeIndex()],
            _at(names, _each(operator, "Inputs")),
            _at(names, _each(operator, "Outputs")),
        )
        for operator in _each(subgraph, "Operators")
    ]
    made_by = {output: operator.op for operator in operators for output in operator.outputs}
    inputs = _at(names, _each(subgraph, "Inputs"))
    tensors = []
    for name, tensor in zip(names, _each(subgraph, "Tensors"), strict=True):
        otherwise = "Variable" if tensor.IsVariable() else "Const"
        op = made_by.get(name) or ("Input" if name in inputs else otherwise)
        dtype = types.get(tensor.Type(), UNKNOWN).lower()
        tensors.append(Tensor(name, dtype, _shape(tensor), op))
    return OwnGraph(tensors, operators, inputs, _at(names, _each(subgraph, "Outputs")))


def _at(names: Sequence[str], indices: Sequence[int]) -> tuple[str, ...]:
    """Return the names of tensors, each once; -1 stands for an optional one that was left out."""
    if any(index < -1 for index in indices):
        raise IndexError
    return tuple(dict.fromkeys(names[index] for index in indices if index != -1))


def _ops(schema: Any, model: Any) -> list[str]:
    """Return the kinds of operators that the model uses, by the numbers that its operators have."""
    builtin = _names(schema.BuiltinOperator)
    ops = []
    for code in _each(model, "OperatorCodes"):
        # The newer field is 0 in older files, where one byte was enough.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = _text(code.CustomCode())
        ops.append(custom or builtin.get(number, f"operator {number}"))
    return ops


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode("utf-8", "replace")


def _shape(tensor: Any) -> Shape | None:
    # The signature has -1 for what may vary.
    dims = _each(tensor, "ShapeSignature") or _each(tensor, "Shape")
    return tuple(None if dim < 0 else dim for dim in dims)


def _signatures(model: Any, graphs: Sequence[OwnGraph]) -> dict[str, Signature]:
    """Return the signatures that the model states, their ends in the interpreter's order."""
    found = {}
    for stated in _each(model, "SignatureDefs"):
        tensors = graphs[stated.SubgraphIndex()].tensors

        def ends(side: str, stated: Any = stated, tensors: Any = tensors) -> dict[str, TensorInfo]:
            places = {_text(end.Name()): end.TensorIndex() for end in _each(stated, side)}
            return {
                key: TensorInfo(tensors[place].name, tensors[place].dtype, tensors[place].shape)
                for key, place in sorted(places.items())
            }

        found[_text(stated.SignatureKey())] = Signature(ends("Inputs"), ends("Outputs"))
    return found


def _details(model: Any, tensors: Sequence[Tensor]) -> dict[str, str]:
    details = {"subgraphs": str(model.SubgraphsLength()), "tensors": str(len(tensors))}
    if description := _text(model.Description()):
        details["description"] = description
    if metadata := [_text(item.Name()) for item in _each(model, "Metadata")]:
        details["metadata"] = ", ".join(metadata)
    return details

"""The findings in TensorFlow Lite models: operators that are TensorFlow's, or of no one known."""

from __future__ import annotations

from retrain_tools.safety import op_table
from retrain_tools.safety.findings import Finding
from retrain_tools.safety.messages import Looked
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.tflite import builtin_operators, open_tflite

_FLEX = "Flex"  # TensorFlow's own op of that name, run by the Flex delegate
# Of TensorFlow Lite itself (lite/kernels/custom_ops_register.h, lite/kernels/register.cc).
_CUSTOM = {
    *("TFLite_Detection_PostProcess", "AudioSpectrogram", "Mfcc", "NumericVerify", "AtanhFast"),
    *("Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Irfft2d"),
    *("HashtableV2", "HashtableFindV2", "HashtableSizeV2", "HashtableImportV2", "ReadVariable"),
    *("AssignVariable", "RandomUniform", "RandomStandardNormal", "Multinomial", "Roll", "Tile"),
}


def tflite_findings(place: Place) -> Looked:
    """Return the findings in a TensorFlow Lite model; it is not run.

    Raises:
        InputError: it is damaged.
    """
    graph = open_tflite(place).own_graph
    operators = () if graph is None else graph.operators
    found, known = [], _CUSTOM | builtin_operators()
    for operator in operators:
        name = operator.op
        if name in known:
            continue
        rule = op_table.rules_by_op().get(name.removeprefix(_FLEX))
        if rule is None and not name.startswith(_FLEX):
            rule = op_table.UNKNOWN
        if rule is not None:
            node = operator.outputs[0] if operator.outputs else ""
            found.append(Finding(rule.severity, rule.id, name, rule.why, str(place), node))
    return Looked(found, len(operators))

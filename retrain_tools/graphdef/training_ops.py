"""The parts of a training graph, and the ops that are only found in one of them."""

from __future__ import annotations

import re

MEANINGS = {
    "loss": "the loss and the accuracy, with the labels",
    "gradients": "the way back, and what changes variables",
    "queues": "queues, readers and datasets, with what fills them",
    "summaries": "what is written for TensorBoard",
    "saving": "writing and reading checkpoints",
    "initialising": "first values of variables and tables",
    "checks": "assertions",
}
"""All parts, in words for a reader; what serves several belongs to the first of them."""

SAVING = ("Save", "SaveSlices", "SaveV2", "Restore", "RestoreSlice", "RestoreV2")
_OPS = {
    "loss": r"(?:Sparse)?SoftmaxCrossEntropyWithLogits|L2Loss|CTCLoss(?:V2)?|InTopK(?:V2)?",
    # Stacks keep what a loop made for the way back. StopGradient is part of the way forward.
    "gradients": r"(?:Resource)?(?:Sparse)?Apply[A-Z].*|(?!Stop|Debug).*Grad.*"
    r"|.*BackpropFilter(?:V2)?|Stack(?:Push|Pop|Close)?(?:V2)?|.*ConditionalAccumulator",
    "queues": r".*Queue(?:V2)?|Queue(?:Enqueue|Dequeue|Close|Size|IsClosed).*|Reader[A-Z].*"
    r"|.*Reader(?:V2)?|.*Dataset(?:V\d)?|.*Iterator.*|Barrier(?:[A-Z].*)?"
    r"|(?:Ordered)?(?:Map)?(?:Uns|S)tage.*",
    "summaries": r"(?:Audio|Image|Histogram|Scalar|Tensor|Merge|Write\w*)Summary(?:V2)?"
    r"|\w*SummaryWriter|CreateSummary\w+",
    "saving": "|".join((*SAVING, "ShardedFilename", "ShardedFilespec", "MergeV2Checkpoints")),
    "initialising": r"IsVariableInitialized|VarIsInitializedOp|InitializeTable.*",
    "checks": r"Assert",
}
PART_OF_OP = re.compile("|".join(f"(?P<{part}>{ops})" for part, ops in _OPS.items()))
WITH_GRADIENT = re.compile(r"(Sparse)?SoftmaxCrossEntropyWithLogits|CTCLoss(V2)?")
UPDATES = re.compile(r"(Resource)?(Sparse)?Apply[A-Z].*|.*AccumulatorApplyGradient")
ASSIGNS = ("Assign", "AssignVariableOp")
CHANGES = re.compile(
    r"Assign(Add|Sub)(VariableOp)?|(Resource)?Scatter(Nd)?(Add|Sub|Update|Mul|Div)"
)
# These do not look at the values that they are given.
SHAPE_TAKERS = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "VariableShape")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")

"""Sets of TensorFlow's ops that belong together, each named once.

The names are those of TensorFlow's op registry (tensorflow/core/ops/*.cc), those of TensorFlow 1's
quantization (`Quantized…`) and of Grappler's fusions (`_Fused…`) included.
"""

from __future__ import annotations

PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")  # array_ops.cc
VARIABLES = ("Variable", "VariableV2", "VarHandleOp")  # state_ops.cc, resource_variable_ops.cc

# Removed for graphs made since GraphDef version 9 (nn_ops.cc).
OLD_BATCH_NORM = "BatchNormWithGlobalNormalization"
FUSED_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")

# image_ops.cc: encoded images to pixels, and pixels to another size.
DECODERS = ("DecodeJpeg", "DecodePng", "DecodeBmp", "DecodeGif", "DecodeImage", "DecodeWebP")
RESIZERS = ("ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor", "ResizeArea")

# array_ops.cc: their output has the values of their first input, in inference.
CHECKS_OF_NUMBERS = ("CheckNumerics", "CheckNumericsV2")
PASS_THROUGH = ("Identity", "StopGradient", "CheckNumerics")
PADDINGS = ("Pad", "PadV2", "MirrorPad")
CONCATENATIONS = ("Concat", "ConcatV2")
# What stands between the last feature map of a classifier and its last layer.
RESHAPES_AND_POOLINGS = ("Reshape", "Squeeze", "AvgPool", "Mean", "MaxPool")

# nn_ops.cc and math_ops.cc: layers, by how their operations are counted.
CONVOLUTIONS = ("Conv2D", "QuantizedConv2D", "FusedConv2D", "_FusedConv2D")
DEPTHWISE_CONVOLUTIONS = (
    "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeV2",
    "QuantizedDepthwiseConv2D",
)
MATRIX_PRODUCTS = ("MatMul", "QuantizedMatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
LAYERS = (*CONVOLUTIONS, *DEPTHWISE_CONVOLUTIONS, *MATRIX_PRODUCTS, "Conv2DBackpropInput")

# The layers that frozen image classifiers are made of, and what else may take the pixels first.
FLOAT_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
FLOAT_LAYERS = (*FLOAT_CONVOLUTIONS, "MatMul")
FIRST_LAYERS = (*FLOAT_LAYERS, "QuantizedConv2D", "QuantizeV2")

# What no node consumes without being a result of the graph.
NO_RESULTS = ("Const", "NoOp", "Assert")

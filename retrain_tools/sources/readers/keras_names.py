"""What a Keras 2 file may name: Keras 2's classes, and functions of TensorFlow that only compute.

The names are those of tf_keras 2.21, which gets no new ones. Left out is what runs a function that
the file names or holds, or reads other files: Lambda; InstanceMethod and its family; the RNN
wrappers of `tf.nn`, which may hold Python code; layers on feature columns; type specs.
"""

from __future__ import annotations

# Layers and models by their class, with the names that TensorFlow 1 had for some; layers.add and
# its like are the functions that Keras 2.0 wrote.
_LAYERS = """
AbstractRNNCell Activation ActivityRegularization Add AddLoss AddMetric AdditiveAttention
AlphaDropout Attention Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D
AvgPool2D AvgPool3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional
CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D
CuDNNGRU CuDNNLSTM CustomScaleLayer Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout
ELU EinsumDense Embedding Flatten Functional GRU GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2
GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization HashedCrossing Hashing
Identity InputLayer IntegerLookup LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 Layer
LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D
MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum Model MultiHeadAttention Multiply
Normalization PReLU Permute RNN RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight
RandomRotation RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D Sequential SimpleRNN
SimpleRNNCell SlicingOpLambda Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
StackedRNNCells StringLookup Subtract SyncBatchNormalization TFOpLambda TensorFlowOpLayer
TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D
UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D add average concatenate dot maximum minimum
multiply subtract
"""
# How weights were made and held, and what floats are computed in.
_PARTS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal
RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros ConstantV2 GlorotNormalV2
GlorotUniformV2 HeNormalV2 HeUniformV2 IdentityV2 LecunNormalV2 LecunUniformV2 OnesV2 OrthogonalV2
RandomNormalV2 RandomUniformV2 TruncatedNormalV2 VarianceScalingV2 ZerosV2 constant glorot_normal
glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform normal one ones orthogonal
random_normal random_uniform truncated_normal uniform variance_scaling zero zeros
L1 L2 L1L2 OrthogonalRegularizer l1 l2 l1_l2 orthogonal_regularizer
MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm maxnorm min_max_norm non_neg nonneg
radial_constraint unit_norm unitnorm
Policy PolicyV1 LossScale FixedLossScale DynamicLossScale LossScaleOptimizer
function __tuple__ __tensor__ __numpy__ __bytes__ __ellipsis__ TensorShape
"""
_ACTIVATIONS = """
elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu
softmax softplus softsign swish tanh
"""
# What a compiled model inside another one is described with; nothing is trained here.
_TRAINING = """
Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD
CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay
PolynomialDecay
BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy
CategoricalHinge CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError
MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
SparseCategoricalCrossentropy SquaredHinge
binary_crossentropy binary_focal_crossentropy categorical_crossentropy
categorical_focal_crossentropy categorical_hinge cosine_similarity hinge huber kl_divergence
log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error
mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge
AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy F1Score FBetaScore FalseNegatives
FalsePositives IoU LogCoshError Mean MeanIoU MeanMetricWrapper MeanRelativeError MeanTensor
OneHotIoU OneHotMeanIoU Precision PrecisionAtRecall R2Score Recall RecallAtPrecision
RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
SparseTopKCategoricalAccuracy SpecificityAtSensitivity Sum TopKCategoricalAccuracy TrueNegatives
TruePositives binary_accuracy categorical_accuracy sparse_categorical_accuracy
sparse_top_k_categorical_accuracy top_k_categorical_accuracy
"""
KERAS_2 = frozenset(f"{_LAYERS} {_PARTS} {_ACTIVATIONS} {_TRAINING}".split())
KERAS_2_FUNCTIONS = frozenset(f"{_ACTIVATIONS} {_TRAINING}".split())

# Functions that a TFOpLambda or SlicingOpLambda calls, by TensorFlow's public names without
# `compat.v1.`; all of a module, or single ones. They take tensors and numbers and give tensors.
_TENSORFLOW_MODULES = ("__operators__", "bitwise", "image", "linalg", "math", "nn", "signal")
_SINGLE = """
abs acos acosh add add_n argmax argmin argsort asin asinh atan atan2 atanh batch_to_space
boolean_mask broadcast_to cast ceil clip_by_norm clip_by_value complex concat constant
convert_to_tensor cos cosh cumsum depth_to_space div div_no_nan divide dynamic_partition
dynamic_stitch einsum ensure_shape equal erf exp expand_dims expm1 extract_image_patches eye fill
floor floor_div floordiv floormod gather gather_nd greater greater_equal identity imag is_finite
is_inf is_nan less less_equal linspace log log1p log_sigmoid logical_and logical_not logical_or
logical_xor matmul maximum meshgrid minimum mod multiply negative no_op norm not_equal one_hot ones
ones_like pad pow quantization.fake_quant_with_min_max_args
quantization.fake_quant_with_min_max_vars random.categorical random.normal random.shuffle
random.stateless_normal random.stateless_uniform random.truncated_normal random.uniform
random_normal random_uniform range rank real realdiv reciprocal reduce_all reduce_any
reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat reshape reverse
reverse_sequence roll round rsqrt scatter_nd searchsorted sequence_mask shape shape_n sigmoid sign
sin sinh size slice sort space_to_batch space_to_depth split sqrt square squared_difference squeeze
stack stop_gradient strided_slice subtract tan tanh tensor_scatter_nd_add tensor_scatter_nd_max
tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile to_double
to_float to_int32 to_int64 transpose truediv truncatediv truncatemod unique unstack where zeros
zeros_like
"""
_BACKEND = """
abs all any arange argmax argmin batch_dot batch_flatten batch_normalization bias_add cast clip
concatenate conv1d conv2d conv2d_transpose conv3d cos cumprod cumsum depthwise_conv2d dot dropout
elu equal exp expand_dims eye flatten gather greater greater_equal hard_sigmoid l2_normalize less
less_equal log max maximum mean min minimum not_equal one_hot ones ones_like permute_dimensions
pool2d pool3d pow prod random_bernoulli random_normal random_uniform relu repeat repeat_elements
reshape resize_images resize_volumes reverse round separable_conv2d shape sigmoid sign sin softmax
softplus softsign spatial_2d_padding spatial_3d_padding sqrt square squeeze stack std stop_gradient
sum tanh temporal_padding tile transpose var zeros zeros_like
"""
# Operations in a TensorFlowOpLayer, as TensorFlow 1.15 to 2.3 wrote what TFOpLambda is since: ops
# of TensorFlow's registry (math_ops.cc, array_ops.cc, nn_ops.cc, image_ops.cc).
_OPS = """
Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BiasAdd
BroadcastTo Cast Ceil ClipByValue ConcatV2 Const Conv2D Conv3D Cos Cumprod Cumsum DepthToSpace
DepthwiseConv2dNative Div DivNoNan Einsum Elu Equal Erf Exp ExpandDims Expm1 Fill Floor FloorDiv
FloorMod FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual Identity IsFinite IsInf IsNan
L2Loss LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max
MaxPool MaxPool3D Maximum Mean Min Minimum MirrorPad Mod Mul Neg NotEqual OneHot OnesLike Pack Pad
PadV2 Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign
Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split SplitV Sqrt Square SquaredDifference
Squeeze StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose Unpack Where ZerosLike
"""
_TENSORFLOW_FUNCTIONS = frozenset(_SINGLE.split())
_KERAS_FUNCTIONS = frozenset(f"{_BACKEND} {_ACTIVATIONS}".split())
TENSORFLOW_OPS = frozenset(_OPS.split())


def only_computes(symbol: str) -> bool:
    """Tell whether a public name of TensorFlow or Keras is a function that does nothing else.

    Example:
        >>> only_computes("math.truediv"), only_computes("io.write_file")
        (True, False)
    """
    path = symbol.removeprefix("compat.v1.")
    room, _, name = path.rpartition(".")
    if room in ("keras.backend", "keras.activations"):
        return name in _KERAS_FUNCTIONS
    # Candidate samplers may take their words from a file.
    in_module = room in _TENSORFLOW_MODULES and not name.endswith("candidate_sampler")
    return in_module or path in _TENSORFLOW_FUNCTIONS

"""The ops of TensorFlow that do more than compute: why each matters, how much, and who says so.

The sources are where TensorFlow registers the ops (tensorflow/core/ops/*.cc; the kernels of the
same name do what is said) and the lists of others, which were read and judged again, none taken
over whole: TensorFlow's `saved_model_cli scan` (WriteFile, ReadFile, PrintV2), modelscan and its
pull request 341 (readers, Python, FileSystemSetConfiguration), modelaudit (checkpoints), and
ZJU-SEC/TensorAbuse (DebugIdentity, MatchingFiles, RegisterDataset). What decodes images, holds
variables, draws random numbers or hands tensors from queue to queue computes, and is not here.

`retrain_tools.graphdef.ops.registry` has all ops that TensorFlow knows. An op that is neither
there nor a function of its graph is a finding too: `UNKNOWN`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from retrain_tools.safety.findings import Severity

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW


@dataclasses.dataclass(frozen=True)
class Rule:
    """Ops that matter for the same reason.

    Attributes:
        id: short name, as `writes-files`.
        severity: how much they matter, where nothing about a node says otherwise.
        why: why they matter, as a clause.
        source: where that can be read.
        ops: their names, separated by spaces.
    """

    id: str
    severity: Severity
    why: str
    source: str
    ops: str = ""


WRITES = Rule(
    "writes-files",
    HIGH,
    "writes a file of the graph's choice",
    "io_ops.cc, dataset_ops.cc, experimental_dataset_ops.cc, summary_ops.cc",
    """WriteFile SaveDataset SaveDatasetV2 DatasetToTFRecord ExperimentalDatasetToTFRecord
    SnapshotDataset SnapshotDatasetV2 SnapshotChunkDataset DistributedSave DumpTensor
    CalibrationStatisticsSaver CreateSummaryFileWriter CreateSummaryDbWriter""",
)
READS = Rule(
    "reads-files",
    HIGH,
    "reads a file of the graph's choice",
    "io_ops.cc, lookup_ops.cc, checkpoint_ops.cc",
    """ReadFile WholeFileReader WholeFileReaderV2 MatchingFiles MatchingFilesDataset
    ExperimentalMatchingFilesDataset SqlDataset ExperimentalSqlDataset LoadDataset
    ListSnapshotChunksDataset SnapshotDatasetReader SnapshotNestedDatasetReader LoadAndRemapMatrix
    GenerateVocabRemapping DTensorRestoreV2 LMDBReader LMDBDataset ExperimentalLMDBDataset""",
)
READS_RECORDS = Rule(
    "reads-records",
    HIGH,
    "reads records from files of the graph's choice",
    "io_ops.cc, dataset_ops.cc, data_flow_ops.cc",
    """TFRecordReader TFRecordReaderV2 TextLineReader TextLineReaderV2 FixedLengthRecordReader
    FixedLengthRecordReaderV2 TFRecordDataset TFRecordDatasetV2 TextLineDataset
    FixedLengthRecordDataset FixedLengthRecordDatasetV2 CSVDataset CSVDatasetV2
    ExperimentalCSVDataset RecordInput""",
)
CHECKPOINTS = Rule(
    "checkpoint",
    HIGH,
    "writes or reads a checkpoint, a file of the graph's choice, outside of its Saver",
    "io_ops.cc (Third-party models have used a SaveV2 behind the init op, which runs on loading)",
    "Save SaveSlices SaveV2 Restore RestoreSlice RestoreV2 MergeV2Checkpoints",
)
TABLES = Rule(
    "reads-vocabulary",
    HIGH,
    "fills a table from a file of the graph's choice, which is no asset of the model",
    "lookup_ops.cc",
    "InitializeTableFromTextFile InitializeTableFromTextFileV2",
)
MAY_NAME_FILES = Rule(
    "names-a-file",
    HIGH,
    "names a file of this computer in an attribute or input",
    "candidate_sampling_ops.cc, decode_proto_ops.cc, encode_proto_ops.cc, dataset_ops.cc, word2vec",
    """FixedUnigramCandidateSampler DecodeProtoV2 EncodeProto CacheDataset CacheDatasetV2
    Skipgram""",
)
DEBUGS = Rule(
    "debugger",
    HIGH,
    "gives the values of tensors to a debugger, whose address may be a file or another computer",
    "debug_ops.cc (debug_urls=file:… writes files in an ordinary run; ZJU-SEC/TensorAbuse)",
    "DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary",
)
NETWORK = Rule(
    "network",
    HIGH,
    "talks to other computers, or lets them call this one",
    "rpc_ops.cc, experimental_dataset_ops.cc; tensorflow/contrib/{rpc,kafka,bigtable,cloud} of 1.x",
    """RpcServer RpcServerStart RpcServerRegister RpcClient RpcCall RpcCheckStatus RpcGetValue
    DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4
    RegisterDataset RegisterDatasetV2 Rpc TryRpc KafkaDataset KinesisDataset BigQueryReader
    BigtableClient BigtableTable GcsConfigureCredentials GcsConfigureBlockCache
    PubSubDataset""",
)
PYTHON = Rule(
    "python",
    HIGH,
    "calls a Python function of the process that runs the graph",
    "script_ops.cc",
    "PyFunc PyFuncStateless EagerPyFunc",
)
PROCESS = Rule(
    "process",
    HIGH,
    "ends the process that runs the graph",
    "control_flow_ops.cc, tpu_host_compute_ops.cc",
    "Abort WorkerHeartbeat",
)
HOST = Rule(
    "host-settings",
    HIGH,
    "changes how this process reaches its file systems",
    "io_ops.cc",
    "FileSystemSetConfiguration",
)
GRAPH_AS_VALUE = Rule(
    "graph-as-value",
    HIGH,
    "runs a graph that comes to it as a value, which may be made while running",
    "dataset_ops.cc (third-party models have hidden a WriteFile so)",
    "DatasetFromGraph RemoteFusedGraphExecute",
)
OPAQUE = Rule(
    "compiled-program",
    MEDIUM,
    "runs a compiled program, which is not looked into",
    "xla_ops.cc, tpu_replication_ops.cc",
    """XlaCallModule _XlaRun _TPUCompileMlir TPUCompile TPUExecute TPUExecuteAndUpdateVariables
    XlaHostCompute _XlaHostComputeMlir XlaCustomCallV2""",
)
ELSEWHERE = Rule(
    "other-device",
    MEDIUM,
    "runs or sends something on a device that is named while running, maybe another computer's",
    "functional_ops.cc, sendrecv_ops.cc",
    "RemoteCall Send Recv _Send _Recv _HostSend _HostRecv",
)
CONSOLE = Rule(
    "console",
    MEDIUM,
    "writes to the console, which can hold commands for a terminal",
    "logging_ops.cc, string_ops.cc",
    "Print PrintV2",
)
SUMMARIES = Rule(
    "summaries",
    LOW,
    "writes into event files that another op has opened",
    "summary_ops.cc",
    """WriteSummary WriteAudioSummary WriteGraphSummary WriteHistogramSummary WriteImageSummary
    WriteRawProtoSummary WriteScalarSummary ImportEvent""",
)
CLOCK = Rule(
    "host-state",
    LOW,
    "reads this computer's clock, or waits",
    "logging_ops.cc, experimental_dataset_ops.cc",
    "Timestamp SleepDataset ExperimentalSleepDataset",
)
UNKNOWN = Rule(
    "unknown-op",
    MEDIUM,
    "is no op that TensorFlow knows: a library of its own does the work, and could do anything",
    "TensorFlow's op registry (graphdef/data)",
)

RULES = (
    *(WRITES, READS, READS_RECORDS, CHECKPOINTS, TABLES, MAY_NAME_FILES, DEBUGS, NETWORK, PYTHON),
    *(PROCESS, HOST, GRAPH_AS_VALUE, OPAQUE, ELSEWHERE, CONSOLE, SUMMARIES, CLOCK),
)
"""All rules that name ops."""


@functools.cache
def rules_by_op() -> Mapping[str, Rule]:
    """Return the rule of each op that has one."""
    return {op: rule for rule in RULES for op in rule.ops.split()}

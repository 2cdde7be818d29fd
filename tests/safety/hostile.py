"""Graphs that would do what no model has to, by name: what has to be found in each."""

from __future__ import annotations

from typing import Any

from tests.safety.graphs import constant, graph, meta_graph, node, saved_model, write_file
from tests.safety.making import (
    Hostile,
    bad_asset,
    bytes_file,
    collection,
    field,
    function_on_loading,
    graph_file,
    hidden_graph,
    in_attribute,
    in_functions,
    in_listed_attribute,
    keras_metadata,
    message_file,
    saved_model_folder,
    saver_behind,
    zip_file,
)

WRITES = ("writes-files", "WriteFile")
_URLS = {"debug_urls": [b"file:///tmp/dump"]}
# op: what is given to it, and the rule that names it
_OPS: dict[str, tuple[dict[str, Any], str]] = {
    "WriteFile": ({}, "writes-files"),
    "ReadFile": ({}, "reads-files"),
    "MatchingFiles": ({}, "reads-files"),
    "WholeFileReaderV2": ({}, "reads-files"),
    "TFRecordDataset": ({}, "reads-records"),
    "TextLineReaderV2": ({}, "reads-records"),
    "SqlDataset": ({}, "reads-files"),
    "SaveDatasetV2": ({}, "writes-files"),
    "DumpTensor": ({}, "writes-files"),
    "CreateSummaryFileWriter": ({}, "writes-files"),
    "SaveV2": ({}, "checkpoint"),
    "RestoreV2": ({}, "checkpoint"),
    "MergeV2Checkpoints": ({}, "checkpoint"),
    "InitializeTableFromTextFileV2": ({}, "reads-vocabulary"),
    "PyFunc": ({"token": b"pyfunc_0"}, "python"),
    "EagerPyFunc": ({"token": b"pyfunc_0"}, "python"),
    "Abort": ({}, "process"),
    "RpcClient": ({}, "network"),
    "DataServiceDatasetV4": ({}, "network"),
    "KafkaDataset": ({}, "network"),
    "FileSystemSetConfiguration": ({}, "host-settings"),
    "DatasetFromGraph": ({}, "graph-as-value"),
    "DebugIdentity": (_URLS, "debugger"),
    "DebugIdentityV2": (_URLS, "debugger"),
    "DebugNanCount": ({"debug_urls": [b"grpc://10.0.0.1:6064"]}, "debugger"),
    "PrintV2": ({"output_stream": b"file:///tmp/written"}, "writes-files"),
    "FixedUnigramCandidateSampler": ({"vocab_file": b"/etc/passwd"}, "names-a-file"),
    "DecodeProtoV2": ({"descriptor_source": b"/etc/passwd"}, "names-a-file"),
}

GRAPHS: dict[str, Hostile] = {
    **{
        f"{op} in a frozen graph": Hostile(graph_file(node(op, **given)), rule, op)
        for op, (given, rule) in _OPS.items()
    },
    "an op that nobody knows": Hostile(
        graph_file(node("EvilOp")), "unknown-op", "EvilOp", "medium"
    ),
    "Print": Hostile(graph_file(node("Print")), "console", "Print", "medium"),
    "a compiled program": Hostile(
        graph_file(node("XlaCallModule", module=b"ML\xefR")),
        *("compiled-program", "XlaCallModule", "medium"),
    ),
    "in a function": Hostile(message_file(in_functions(0), "f.pb"), *WRITES),
    "in a function called by a function": Hostile(message_file(in_functions(3), "f.pb"), *WRITES),
    "in a function that nobody calls": Hostile(
        graph_file(functions={"unused": write_file()}), *WRITES
    ),
    "a graph in a string attribute": Hostile(message_file(in_attribute(), "a.pb"), *WRITES),
    "a graph in a list of strings": Hostile(message_file(in_listed_attribute(), "a.pb"), *WRITES),
    "a graph in a constant": Hostile(message_file(hidden_graph(1), "c.pb"), *WRITES),
    "a graph in a graph in a graph": Hostile(message_file(hidden_graph(3), "c.pb"), *WRITES),
    "graphs nested without end": Hostile(
        message_file(hidden_graph(20), "c.pb"), "nested-too-deep", "graph"
    ),
    "a text graph in a constant": Hostile(
        graph_file(constant("hidden", b'node { name: "x" op: "ReadFile" }')),
        *("reads-files", "ReadFile"),
    ),
    "a graph in a constant of a function": Hostile(
        graph_file(functions={"f": [constant("c", graph(*write_file()).SerializeToString())]}),
        *WRITES,
    ),
    "a text graph": Hostile(
        bytes_file(b'node {\n  name: "x"\n  op: "WriteFile"\n}\n', "g.pbtxt"),
        *WRITES,
    ),
    "a graph under another name": Hostile(graph_file(*write_file(), name="weights.bin"), *WRITES),
    "a graph behind fields of no meaning": Hostile(
        bytes_file(field(15, b"junk") + graph(*write_file()).SerializeToString(), "g.pb"),
        *WRITES,
    ),
    "a MetaGraph": Hostile(message_file(meta_graph(graph(*write_file())), "m.meta"), *WRITES),
    "a SavedModel": Hostile(
        saved_model_folder(saved_model(meta_graph(graph(*write_file())))),
        *WRITES,
    ),
    "the second graph of a SavedModel": Hostile(
        saved_model_folder(saved_model(meta_graph(graph()), meta_graph(graph(*write_file())))),
        *WRITES,
    ),
    "a SavedModel renamed": Hostile(
        message_file(saved_model(meta_graph(graph(*write_file()))), "frozen.pb"),
        *WRITES,
    ),
    "a GraphDef named as a SavedModel": Hostile(
        graph_file(*write_file(), name="saved_model.pb"), *WRITES
    ),
    "a Saver that runs on loading (main op)": Hostile(
        saved_model_folder(saver_behind("saved_model_main_op")), "checkpoint", "SaveV2"
    ),
    "a Saver that runs on loading (legacy)": Hostile(
        saved_model_folder(saver_behind("legacy_init_op")), "checkpoint", "SaveV2"
    ),
    "a Saver that runs on loading (signature)": Hostile(
        saved_model_folder(saver_behind("signature")), "checkpoint", "SaveV2"
    ),
    "a function that runs on loading": Hostile(saved_model_folder(function_on_loading()), *WRITES),
    "an asset outside": Hostile(
        saved_model_folder(saved_model(meta_graph(graph(), bad_asset))),
        *("path", "../../etc/passwd"),
    ),
    "a graph in a collection": Hostile(
        message_file(meta_graph(graph(), collection), "m.meta"), *WRITES
    ),
    "Keras metadata with a Lambda": Hostile(keras_metadata, "keras-lambda", "Lambda"),
    "terminal escapes in a node's name": Hostile(
        graph_file(node("NoOp", name="x\x1b[2J\x1b]0;owned\x07")),
        *("terminal-escape", "NoOp", "medium"),
    ),
    "terminal escapes in an op": Hostile(
        graph_file(node("Read\x1b[1A\x1b[2K")), "unknown-op", "Read\x1b[1A\x1b[2K", "medium"
    ),
    "terminal escapes in a function's name": Hostile(
        graph_file(functions={"f\x1b[2J": []}), "terminal-escape", "function", "medium"
    ),
    "terminal escapes in an archive": Hostile(
        zip_file({"a\x1b[2J.txt": b""}), "terminal-escape", "a\x1b[2J.txt", "medium"
    ),
}

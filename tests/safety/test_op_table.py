"""The table of ops: its names are real, and no op that touches anything is missing."""

from __future__ import annotations

import re

from retrain_tools.graphdef.ops import registry
from retrain_tools.safety.op_table import RULES, UNKNOWN, rules_by_op

# Of packages beside TensorFlow, or of TensorFlow 1's contrib: not in the registry of today.
ELSEWHERE = {
    *("Rpc", "TryRpc", "KafkaDataset", "KinesisDataset", "BigQueryReader", "BigtableClient"),
    *("BigtableTable", "GcsConfigureCredentials", "GcsConfigureBlockCache", "PubSubDataset"),
    "RemoteFusedGraphExecute",
}
# What sounds as if it did more than compute, and was looked at: queues and readers hand on what
# others have read; serialising makes a string; TPU ops need a TPU; the rest is arithmetic.
SUSPICIOUS = re.compile(
    r"File|Save|Restore|Py[A-Z]|Print|Debug|Rpc|Url|Exec|Abort|Timestamp|Record|LMDB|Sql|Dump|"
    r"SummaryWriter|MatchingFiles|Service|Vocab|Checkpoint"
)
LOOKED_AT = re.compile(
    r".*TPU.*|Reader.*|BoostedTrees.*|SparseToDense|ShardedFile.*|Gradient.*|.*Debug(Nan|Gradient|"
    r"NumericSummaryV2).*|(Close|Flush)?SummaryWriter|StatsAggregatorSetSummaryWriter|"
    r"RequiresOlder.*|.*PrivateThreadPool.*|DeleteRpcFutureResource|IdentityReader.*"
)


def test_every_op_of_the_table_is_real_and_there_once() -> None:
    names = [op for rule in RULES for op in rule.ops.split()]
    assert len(names) == len(set(names)) == len(rules_by_op())
    assert set(names) - registry().keys() == ELSEWHERE


def test_every_rule_has_a_reason_and_a_source() -> None:
    for rule in (*RULES, UNKNOWN):
        assert rule.why
        assert rule.source
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_no_op_that_sounds_dangerous_is_left_out() -> None:
    missing = {
        op
        for op in registry()
        if SUSPICIOUS.search(op) and op not in rules_by_op() and not LOOKED_AT.fullmatch(op)
    }
    assert not missing

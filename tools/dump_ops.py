"""Write the ops that an old TensorFlow registers to a file, for tools/make_op_history.py.

    python3.6 -m venv old && old/bin/pip install tensorflow==1.4.1
    old/bin/python tools/dump_ops.py 1.4.ops

Runs on Python 3.6, which TensorFlow 1.2 to 2.6 have wheels for.
"""

import sys
from pathlib import Path

import tensorflow as tf

try:
    from tensorflow.python.client import pywrap_tf_session as session
except ImportError:  # before TensorFlow 2.1
    from tensorflow.python import pywrap_tensorflow as session

version = getattr(tf, "GRAPH_DEF_VERSION", None) or tf.version.GRAPH_DEF_VERSION
Path(sys.argv[1]).write_bytes(session.TF_GetBuffer(session.TF_GetAllOpList()))
print("TensorFlow {}: {}={}".format(tf.__version__, sys.argv[1], version))  # noqa: UP032

"""The formulas of torch-fidelity and pytorch-fid on stored features: run by itself, prints JSON.

    python other_tools.py FOLDER

FOLDER has reference.npy and samples.npy, float [N, depth], and weights.npy, [depth, classes]. Their
networks are not built: torchvision, which only these need, is a stand-in.
"""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

try:
    import torch

    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms"):
        sys.modules[name] = MagicMock()
    sys.modules["torchvision.transforms.functional"] = MagicMock()
    sys.modules["torchvision.models"] = sys.modules["torchvision.models.utils"] = MagicMock()
    from torch import nn

    for block in ("InceptionA", "InceptionC", "InceptionE"):
        setattr(sys.modules["torchvision"].models.inception, block, nn.Module)
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric
except ImportError as error:
    sys.stdout.write(json.dumps({"missing": str(error)}))
    sys.exit()

folder = Path(sys.argv[1])
reference, samples, weights = (
    torch.from_numpy(np.load(folder / f"{name}.npy").astype(np.float64))
    for name in ("reference", "samples", "weights")
)
both = [fid_features_to_statistics(one) for one in (samples, reference)]
sys.stdout.write(
    json.dumps(
        {
            "fid": fid_statistics_to_metric(*both, verbose=False),
            "pytorch_fid": float(
                calculate_frechet_distance(*(one[key] for one in both for key in ("mu", "sigma")))
            ),
            "is": isc_features_to_metric(samples @ weights),
            "kid": kid_features_to_metric(samples, reference, verbose=False),
            "prc": prc_features_to_metric(samples, reference, verbose=False),
        }
    )
)

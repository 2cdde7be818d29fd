r"""Score images against real ones as the literature does: FID, sFID, IS, KID, precision and recall.

  python -m retrain_tools.evaluate_images REFERENCE SAMPLES --graph=inception-2015-12-05
  python -m retrain_tools.evaluate_images photos samples.npz --scores=fid,precision,recall
  python -m retrain_tools.evaluate_images photos --save_statistics=photos.npz
  python -m retrain_tools.evaluate_images photos.npz samples --html=scores.html

REFERENCE and SAMPLES are each a folder of images, searched at any depth; an .npz with a batch of
images (arr_0, uint8 [N, H, W, 3]); an .npz of statistics (mu, sigma, and mu_s, sigma_s for sFID),
as TTUR, pytorch-fid, clean-fid and the ADM evaluator have them; a file of features that
fetch_tensors wrote, or a folder of bottlenecks. Images of any sizes go through the graph's own
resizing.

The graph is run once on each image. Its features are kept in --feature_dir, so that a second set
costs only itself, and a run that was stopped goes on. Images that cannot be used are listed there.

Definitions: original is the convention of each paper's own code, in float64; adm is that of the ADM
evaluator (chunks of 5,000, distances in float16); improved-gan and torch-fidelity are those of
these tools. See docs/fid.md.
"""

from __future__ import annotations

import os

# Before NumPy: what command_line sets for small heads would leave one core for large matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(os.cpu_count() or 1))

import sys

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.extras import import_extra
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.listing.evaluation_of_images import evaluation_json, scores_text
from retrain_tools.listing.terminal import show, style_of_stdout
from retrain_tools.metrics.definitions import DEFINITIONS, ORIGINAL, SCORES
from retrain_tools.metrics.evaluation import GRAPH, Evaluation, evaluate_images
from retrain_tools.metrics.image_sets import Fetching, check_given

graph_flags.define_graph_flags()
graph_flags.define_run_flags()
graph_flags.define_job_flags()
graph_flags.define_failure_flags()
flags.DEFINE_list(
    "scores", None, f"Which of {', '.join(SCORES)}. Default: all that the two sets allow."
)
flags.DEFINE_enum(
    "definition", ORIGINAL, list(DEFINITIONS), "Whose conventions, where the literature disagrees."
)
flags.DEFINE_integer("seed", 0, "Of KID's subsets, where the definition leaves them to chance.")
graph_flags.define_path(
    "feature_dir", "evaluated_features", "Folder in which the features of images are kept."
)
graph_flags.define_path(
    "save_statistics", None, "Write REFERENCE's statistics into this .npz, for any of these tools."
)
flags.DEFINE_integer(
    "statistics_images",
    0,
    "Put so many of REFERENCE's images, of one size, beside its statistics (arr_0): the ADM "
    "evaluator needs some, for precision and recall.",
    0,
)
flags.DEFINE_enum("format", "text", ["text", "json"], "How to print the scores.")
graph_flags.define_path("html", None, "Show scores and images in this file, a page of its own.")
FLAGS = flags.FLAGS


def main(words: list[str]) -> command_line.Summary:
    """Run the script."""
    if not 1 <= len(words) <= 2:
        named = f"{len(words)} are named: {', '.join(words)}" if words else "none is named"
        raise InputError(
            f"Name two sets of images after the flags, REFERENCE and SAMPLES; {named}."
        )
    if FLAGS.html is not None:
        if not FLAGS.html or len(words) < 2:
            raise InputError("--html takes the file to write, as --html=scores.html, and two sets.")
        import_extra("matplotlib", f"--html={FLAGS.html}")
        files.check_file(FLAGS.html)
    check_given(words)
    fetching = Fetching(
        feature_dir=FLAGS.feature_dir,
        on_error=FLAGS.on_error,
        max_failures=FLAGS.max_failures,
        running=graph_flags.given_run_settings(),
    )
    found = evaluate_images(
        *words,
        graph=graph_flags.given_frozen_graph() if FLAGS.graph else _default_graph,
        scores=[name.strip() for name in FLAGS.scores] if FLAGS.scores else None,
        definition=FLAGS.definition,
        seed=FLAGS.seed,
        save_statistics=FLAGS.save_statistics,
        statistics_images=FLAGS.statistics_images,
        fetching=fetching,
    )
    _tell(found)
    sides = [one.outcome for one in (found.reference, found.samples) if one and one.outcome]
    counts = {
        name: sum(getattr(one, name) for one in sides) for name in ("computed", "reused", "seconds")
    }
    scores = {name: score.value for name, score in found.scores.items()}
    return command_line.Summary(len(found.failed), {**counts, "scores": scores})


def _default_graph() -> FrozenGraph:
    return graph_flags.given_frozen_graph(GRAPH)


def _tell(found: Evaluation) -> None:
    if FLAGS.html:
        from retrain_tools.report.evaluation_page import evaluation_page

        files.write_text(FLAGS.html, evaluation_page(found))
    if FLAGS.format == "json":
        sys.stdout.write(evaluation_json(found))
    else:
        show(scores_text(found, style_of_stdout()))
    sys.stdout.flush()


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()

"""A finished pretraining run with tiny settings, shared by all tests of the folder."""

from collections import namedtuple

import numpy as np
import pytest

from ghibli_studio.pretraining import __main__
from ghibli_studio.pretraining import pipeline as pretraining_pipeline
from ghibli_studio.pretraining.__main__ import main
from ghibli_studio.pretraining.pipeline import pretrain
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import QUICK
from ghibli_studio.pretraining.stages import clip


@pytest.fixture(scope="session")
def interrupted_run(tmp_path_factory):
    """A run that is interrupted in the middle of CLIP's training, and resumed from the command line."""
    out, before, after = tmp_path_factory.mktemp("pretraining") / "result", [], []
    patch = pytest.MonkeyPatch()
    run = Run(QUICK, out)

    def power_cut(_: np.ndarray) -> None:
        raise KeyboardInterrupt

    patch.setattr(clip, "contrastive_loss", power_cut)
    with pytest.raises(KeyboardInterrupt):
        before.extend(name for name, _ in pretrain(run))
    patch.undo()
    before_times = {path: path.stat().st_mtime_ns for path in (out / "stages/captions").rglob("*.json")}
    patch.setattr(__main__, "silence_libraries", lambda: None)  # it would silence the libraries for all tests
    patch.setattr(pretraining_pipeline, "describe_stage", lambda name, metrics: after.append(name) or name)
    # the rerun must not read them: its images are finished
    code = main(["--quick", "--out", str(out), "--device", "cpu", "--photos", "/no/photos"])
    patch.undo()
    result = namedtuple("InterruptedRun", "out before after before_times code")
    return result(out, before, after, before_times, code)

"""Runs with real adapter files, made without the training loop: a few steps on noise, and the metadata of a run."""

from adapters.formats.safetensors_file import to_bytes
from adapters.registry import build, method
from ghibli_studio.data import dataset as datasets
from ghibli_studio.workspace.files import write_atomic
from tests.support.adapter_training import train_briefly
from tests.support.written_runs import write_run

SMALL_SETTINGS = {"lora": {"rank": 2, "lora_alpha": 3}, "ti": {"num_vectors": 2}}


def run_metadata(project, base, run, epoch):
    """Return the adapter metadata that training writes into a file."""
    dataset = datasets.load(project)
    return {
        **run.config().model_dump(mode="json"),
        "run": run.id,
        "epoch": epoch,
        "base_model": {"model_id": dataset.base_model, "digest": base.digest, "shape": base.shape},
        "dataset": {"digest": datasets.digest(dataset), "images": len(dataset.part("train"))},
    }


def adapter_run(project, base, name, **changes):
    """Return a finished run of a method whose second epoch was the best."""
    values = {**SMALL_SETTINGS[name], **changes}
    run = write_run(project, [[0.5, 0.5], [0.45, 0.46], [0.4, 0.42]], name, config=values)
    adapter = build(name, method(name).SETTINGS.checked(run.config().adapter.model_dump()))
    train_briefly(base, adapter.attach(base.host), adapter)
    for epoch in (1, 2):
        write_atomic(run.epoch_adapter_file(epoch), to_bytes(adapter, run_metadata(project, base, run, epoch)))
    write_atomic(run.adapter_file, run.epoch_adapter_file(2).read_bytes())
    adapter.detach()
    return run

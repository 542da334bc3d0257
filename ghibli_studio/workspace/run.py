"""Paths of one training run; `Project.run` returns one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ghibli_studio.config.training import RunConfig
from ghibli_studio.workspace.files import read_json, read_lines


@dataclass(frozen=True)
class Run:
    """One training run's folder."""

    folder: Path

    @property
    def id(self) -> str:
        """`<time>-<method>`."""
        return self.folder.name

    @property
    def config_file(self) -> Path:
        """The settings."""
        return self.folder / "config.json"

    @property
    def job_file(self) -> Path:
        """The process that works on the run, and since when it is queued."""
        return self.folder / "job.json"

    @property
    def reserve_file(self) -> Path:
        """Reserved disk space, freed so that the final state can be written on a full disk."""
        return self.folder / "reserve.bin"

    @property
    def cancel_file(self) -> Path:
        """The file whose presence asks the process to stop."""
        return self.folder / "cancel"

    @property
    def progress_file(self) -> Path:
        """One line per event: steps, validations, samples."""
        return self.folder / "progress.jsonl"

    @property
    def log_file(self) -> Path:
        """The output of the process."""
        return self.folder / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints to resume from."""
        return self.folder / "checkpoints"

    @property
    def checkpoint_file(self) -> Path:
        """The state after the last finished epoch."""
        return self.checkpoints / "last.safetensors"

    @property
    def adapter_file(self) -> Path:
        """The adapter of the best epoch."""
        return self.folder / "adapter.safetensors"

    def epoch_adapter_file(self, epoch: int) -> Path:
        """Return the path of the adapter after an epoch, counted from 1."""
        return self.folder / "epochs" / f"epoch-{epoch:03d}.safetensors"

    def epoch_adapter_files(self) -> dict[int, Path]:
        """Return epoch -> adapter file of all finished epochs, in order."""
        files = sorted((self.folder / "epochs").glob("epoch-*.safetensors"))
        return {int(path.stem.partition("-")[2]): path for path in files}

    @property
    def metrics_file(self) -> Path:
        """Metrics and metadata of the run, written after every epoch."""
        return self.folder / "metrics.json"

    @property
    def done_file(self) -> Path:
        """The outcome of the run, written last."""
        return self.folder / "done.json"

    def sample_file(self, epoch: int) -> Path:
        """Return the path of the sample image after an epoch; 0 is before training."""
        return self.folder / "samples" / f"epoch-{epoch:03d}.png"

    def samples(self) -> list[Path]:
        """Return the paths of all sample images in the order of epochs."""
        return sorted((self.folder / "samples").glob("epoch-*.png"))

    def config(self) -> RunConfig:
        """Return the settings, validated."""
        return RunConfig.checked(read_json(self.config_file))

    def progress(self) -> list[dict[str, Any]]:
        """Return all events so far."""
        return read_lines(self.progress_file)

    def metrics(self) -> dict[str, Any]:
        """Return the metrics so far; empty before the first validation."""
        return read_json(self.metrics_file) if self.metrics_file.exists() else {}

"""Where the files of one training run lie; `workspace.Project.run` is one of these."""

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
        """The run's settings."""
        return self.folder / "config.json"

    @property
    def job_file(self) -> Path:
        """Which process works on it, and since when it waits."""
        return self.folder / "job.json"

    @property
    def reserve_file(self) -> Path:
        """Room on the disk that is given back so that the last word can be written on a full one."""
        return self.folder / "reserve.bin"

    @property
    def cancel_file(self) -> Path:
        """Its presence asks the process to stop."""
        return self.folder / "cancel"

    @property
    def progress_file(self) -> Path:
        """One line an event: steps, validations, samples."""
        return self.folder / "progress.jsonl"

    @property
    def log_file(self) -> Path:
        """What the process printed."""
        return self.folder / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Where resuming starts from."""
        return self.folder / "checkpoints"

    @property
    def checkpoint_file(self) -> Path:
        """State after the last finished epoch."""
        return self.checkpoints / "last.safetensors"

    @property
    def adapter_file(self) -> Path:
        """The adapter of the best epoch."""
        return self.folder / "adapter.safetensors"

    def epoch_adapter_file(self, epoch: int) -> Path:
        """The adapter after an epoch, counted from 1."""
        return self.folder / "epochs" / f"epoch-{epoch:03d}.safetensors"

    def epoch_adapter_files(self) -> dict[int, Path]:
        """Epoch -> adapter, of all finished epochs in order."""
        files = sorted((self.folder / "epochs").glob("epoch-*.safetensors"))
        return {int(path.stem.partition("-")[2]): path for path in files}

    @property
    def metrics_file(self) -> Path:
        """The run's figures, written after every epoch."""
        return self.folder / "metrics.json"

    @property
    def done_file(self) -> Path:
        """Written last: how the run ended."""
        return self.folder / "done.json"

    def sample_file(self, epoch: int) -> Path:
        """The sample picture after an epoch; 0 is before training."""
        return self.folder / "samples" / f"epoch-{epoch:03d}.png"

    def samples(self) -> list[Path]:
        """All sample pictures in the order of epochs."""
        return sorted((self.folder / "samples").glob("epoch-*.png"))

    def config(self) -> RunConfig:
        """The run's settings, checked."""
        return RunConfig.checked(read_json(self.config_file))

    def progress(self) -> list[dict[str, Any]]:
        """All events so far."""
        return read_lines(self.progress_file)

    def metrics(self) -> dict[str, Any]:
        """The figures so far; empty before the first validation."""
        return read_json(self.metrics_file) if self.metrics_file.exists() else {}

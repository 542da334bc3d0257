"""Runs written from given losses, with all files of a finished run, without training."""

import numpy as np

from ghibli_studio.config.training import preset
from ghibli_studio.workspace.files import append_line, write_json

TIMESTEPS = (50, 150, 250, 400, 550, 700, 850, 950)


def write_run(project, losses, method="lora", *, steps=4, step_seconds=0.5, base=0.5, config=None, **metrics):
    """Write a finished run whose validation losses are (epochs + 1, images), the first row before training.

    `config` changes settings; every step of epoch e takes `step_seconds` (a number, or one per epoch); `metrics`
    replace values that follow from the losses.
    """
    losses = np.asarray(losses, dtype=float)
    run = project.new_run(preset("quick", method, **{"num_train_epochs": len(losses) - 1, **(config or {})}))
    durations = np.broadcast_to(step_seconds, len(losses) - 1)
    means = losses.mean(axis=1)
    for epoch, row in enumerate(losses):
        for index in range(steps if epoch else 0):
            append_line(
                run.progress_file,
                {
                    "event": "step",
                    "epoch": epoch,
                    "step": (epoch - 1) * steps + index + 1,
                    "loss": 0.2,
                    "epochs": epoch - 1 + (index + 1) / steps,
                    "step_seconds": float(durations[epoch - 1]),
                    "images_per_second": 4 / float(durations[epoch - 1]),
                },
            )
        append_line(
            run.progress_file,
            {
                "event": "epoch",
                "epoch": epoch,
                "step": epoch * steps,
                "validation_loss": float(means[epoch]),
                "per_image": row.tolist(),
                "per_timestep": [float(means[epoch]) * (1 + n / 10) for n in range(8)],
                "base_validation_loss": base,
            },
        )
    write_json(
        run.metrics_file,
        {
            "method": method,
            "base_validation_loss": base,
            "base_per_timestep": [base * (1 + n / 10) for n in range(8)],
            "best_validation_loss": float(means[1:].min()),
            "best_epoch": int(means[1:].argmin()) + 1,
            "validation_timesteps": TIMESTEPS,
            "epochs": len(losses) - 1,
            "steps": steps * (len(losses) - 1),
            "seconds": 100.0,
            "images_per_second": 8.0,
            "peak_memory_bytes": 2**30,
            "trainable_parameters": 1000,
            "adapter_bytes": 4096,
            "dataset": "d",
            "base_model": "b",
            "joules": None,
            "energy_source": None,
            "validation_landmarks": [f"landmark {n}" for n in range(losses.shape[1])],
            "machine": {"device": "cpu", "name": "a processor"},
            "versions": {"torch": "2"},
            **metrics,
        },
    )
    return run

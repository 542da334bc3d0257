"""The `space` and `doctor` commands."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ghibli_studio.cli.console import Told
from ghibli_studio.workspace.project import Workspace


def _space(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.deployment import space

    files = space.write(chosen.folder, study_only=chosen.study_only, hardware=chosen.hardware)
    size = sum(file.stat().st_size for file in files)
    told.line(
        f"{chosen.folder}: {len(files)} files, {size / 2**20:.0f} MB; what to set is in its README.md. Push it "
        f"with: hf upload NAME/SPACE {chosen.folder} . --repo-type space",
        event="written",
        folder=str(chosen.folder),
        files=len(files),
        bytes=size,
    )
    return 0


def _doctor(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.deployment.doctor import findings

    all_fine = True
    for finding in findings(workspace):
        all_fine = all_fine and finding.fine
        told.line(f"{'ok ' if finding.fine else 'BAD'} {finding.name}: {finding.message}", **asdict(finding))
    return 0 if all_fine else 1

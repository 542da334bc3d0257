"""The Library tab: all images and adapters of the project."""

from __future__ import annotations

import gradio as gr

from ghibli_studio.ui.library import adapters as adapters_panel
from ghibli_studio.ui.library import images
from ghibli_studio.workspace.project import Workspace


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab) -> images.Panel:
    """Lay out the tab and wire its events."""
    with gr.Tabs(elem_id="library-tabs"):
        with gr.Tab("Images", id="library-images-tab"):
            panel = images.build(workspace, project, tab)
        with gr.Tab("Adapters", id="library-adapters-tab") as adapters:
            adapters_panel.build(workspace, project, tab, adapters)
    return panel

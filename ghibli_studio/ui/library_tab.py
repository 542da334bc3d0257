"""The Library tab: everything that was made in the project."""

from __future__ import annotations

import gradio as gr

from ghibli_studio.ui import pictures_panel
from ghibli_studio.workspace import Workspace


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab) -> pictures_panel.Panel:
    """Lay the tab out and wire it."""
    with gr.Tabs(elem_id="library-tabs"), gr.Tab("Pictures", id="library-pictures-tab"):
        panel = pictures_panel.build(workspace, project, tab)
    return panel

"""How the page looks: theme, icons, and the style sheet put together."""

from __future__ import annotations

import gradio as gr

from ghibli_studio.ui.parts import CSS

FONT = ["ui-sans-serif", "system-ui", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]

ICONS = {
    "data": "M3 5h18v14H3zM3 15l5-5 4 4 3-3 6 5M15 8.5h.01",
    "train": "M3 19 9 12l4 3 8-10M3 3v18h18",
    "generate": "M4 20 14 10M13 4l1.2 2.8L17 8l-2.8 1.2L13 12l-1.2-2.8L9 8l2.8-1.2zM19 13l.8 1.7 1.7.8-1.7.8L19 18",
    "evaluate": "M4 20V10M10 20V4M16 20v-8M22 20H2",
    "library": "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
    "study": "M12 5C6 5 2 12 2 12s4 7 10 7 10-7 10-7-4-7-10-7zM12 9a3 3 0 1 0 .01 0",
}
"""A drawing for each tab, 24 x 24, as lines; ours, so that nothing is fetched."""
FRAME = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='black' "
    "stroke-width='2' stroke-linejoin='round' stroke-linecap='round'%3E%3Cpath d='{}'/%3E%3C/svg%3E"
)


def style_sheet() -> str:
    """All of the page's CSS."""
    return CSS + "\n".join(f'#tab-{name}-button {{ --icon: url("{FRAME.format(lines)}"); }}'
                            for name, lines in ICONS.items())


def theme() -> gr.themes.Base:
    """Quiet greens; the system's own fonts, so that nothing is fetched from anywhere.

    Gradio's own greys and greens are too pale to be read by everybody: here text has a contrast of 4.5 or more
    (WCAG 2.2, 1.4.3).
    """
    base = gr.themes.Default(
        primary_hue="emerald", secondary_hue="slate", neutral_hue="slate", font=FONT, font_mono=MONO
    )
    return base.set(
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800", block_title_text_color_dark="*neutral_100",
        input_placeholder_color="*neutral_500", input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700", button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800", button_primary_background_fill_hover_dark="*primary_600",
        button_cancel_background_fill="#b3372f", button_cancel_background_fill_dark="#b3372f",
        button_cancel_text_color="white", button_cancel_text_color_dark="white",
        color_accent="*primary_700", block_radius="*radius_lg", button_large_radius="*radius_lg",
        button_small_radius="*radius_lg", input_radius="*radius_md",
        block_shadow="0 1px 2px rgb(15 23 42 / 6%)", block_shadow_dark="none",
    )

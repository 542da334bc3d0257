"""The look of the page: theme, icons and style sheet."""

from __future__ import annotations

import gradio as gr

FONT = ["ui-sans-serif", "system-ui", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]

ICONS = {
    "dataset": "M3 5h18v14H3zM3 15l5-5 4 4 3-3 6 5M15 8.5h.01",
    "train": "M3 19 9 12l4 3 8-10M3 3v18h18",
    "generate": "M4 20 14 10M13 4l1.2 2.8L17 8l-2.8 1.2L13 12l-1.2-2.8L9 8l2.8-1.2zM19 13l.8 1.7 1.7.8-1.7.8L19 18",
    "evaluate": "M4 20V10M10 20V4M16 20v-8M22 20H2",
    "library": "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
    "study": "M12 5C6 5 2 12 2 12s4 7 10 7 10-7 10-7-4-7-10-7zM12 9a3 3 0 1 0 .01 0",
}
"""The icon of each tab as an SVG path, 24 x 24; part of the package, so that nothing is downloaded."""
ICON_URL = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='black' "
    "stroke-width='2' stroke-linejoin='round' stroke-linecap='round'%3E%3Cpath d='{}'/%3E%3C/svg%3E"
)


def style_sheet() -> str:
    """Return all of the page's CSS."""
    return CSS + "\n".join(
        f'#tab-{name}-button {{ --icon: url("{ICON_URL.format(lines)}"); }}' for name, lines in ICONS.items()
    )


def theme() -> gr.themes.Base:
    """Return the theme: muted greens, and system fonts, so that nothing is downloaded.

    Gradio's default grays and greens have too little contrast; here text has a contrast of 4.5 or more
    (WCAG 2.2, 1.4.3).
    """
    base = gr.themes.Default(
        primary_hue="emerald", secondary_hue="slate", neutral_hue="slate", font=FONT, font_mono=MONO
    )
    return base.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_600",
        button_cancel_background_fill="#b3372f",
        button_cancel_background_fill_dark="#b3372f",
        button_cancel_text_color="white",
        button_cancel_text_color_dark="white",
        color_accent="*primary_700",
        block_radius="*radius_lg",
        button_large_radius="*radius_lg",
        button_small_radius="*radius_lg",
        input_radius="*radius_md",
        block_shadow="0 1px 2px rgb(15 23 42 / 6%)",
        block_shadow_dark="none",
    )


PALE = "55"  # alpha of the unsmoothed curves

# Gradio puts `.gradio-container .contain` before every selector inside @media, and splits them at the commas of `:is`;
# outside of @media it also keeps the rule as it is written
CSS = """
.gradio-container { min-width: 0 !important; max-width: min(1280px, 100vw) !important; margin: 0 auto !important; }
.gradio-container { width: 100%; }
.gradio-container .main { padding: 1rem clamp(.6rem, 5vw - .5rem, 2rem) !important; }
.gradio-container :is(.main, main, .wrap.contain) { min-width: 0; max-width: 100%; }
#title h1 { margin: 0; font-size: 1.6rem; }
#title p { margin: 0; color: var(--body-text-color-subdued); }
:is(button, a, input, textarea, select, summary, [tabindex], .thumbnail-item):focus-visible {
  outline: 3px solid var(--focus) !important; outline-offset: 2px; }
.gradio-container { --focus: #1d4ed8; } .dark .gradio-container, .dark.gradio-container { --focus: #93c5fd; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.dark button[role=tab].selected { color: var(--primary-300) !important; }
button[role=tab].selected { color: var(--primary-700) !important; }
#tabs > .tab-wrapper button[role=tab]::before { content: ""; display: inline-block; width: 1.05em; height: 1.05em;
  margin-right: .4em; vertical-align: -.15em; background: currentColor; mask: var(--icon) center / contain no-repeat; }
#shortcuts-open { padding: .3rem .7rem; border: 1px solid var(--border-color-primary); border-radius: .5rem;
  background: none; color: var(--body-text-color); font-size: .85rem; white-space: nowrap; cursor: pointer; }
dialog#shortcuts { max-width: min(30rem, 92vw); padding: 1rem 1.4rem; border: 1px solid var(--border-color-primary);
  border-radius: .8rem; background: var(--background-fill-primary); color: var(--body-text-color); margin: auto; }
dialog#shortcuts::backdrop { background: rgb(0 0 0 / 45%); }
dialog#shortcuts dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; }
dialog#shortcuts dd { margin: 0; } dialog#shortcuts p { margin: .8rem 0; opacity: .85; }
dialog#shortcuts h2 { margin: 0 0 .5rem; font-size: 1.15rem; }
dialog#shortcuts kbd { padding: .05rem .4rem; border: 1px solid var(--border-color-primary); border-radius: .3rem; }
dialog#shortcuts button { padding: .35rem 1rem; border-radius: .5rem; background: var(--button-primary-background-fill);
  color: #fff; cursor: pointer; }
.toast-body.error .toast-title { font-size: 0; }
.toast-body.error .toast-title::after { content: "Error"; font-size: 1rem; }
:is(.download-link, .icon-button-wrapper a, .icon-button-wrapper button) {
  display: inline-flex; align-items: center; justify-content: center; min-width: 24px; min-height: 24px; }
.prompt { margin: .2rem 0 .4rem; overflow-wrap: anywhere; }
#search-summary { min-height: 0; }
#search { align-self: end; margin-bottom: .6rem; }
#library-images .thumbnail-item { aspect-ratio: 1 !important; }
#library-images .grid-wrap { min-height: 0; max-height: none; }
.bar { height: .6rem; border-radius: .3rem; background: var(--border-color-primary); overflow: hidden; }
.bar > div { height: 100%; background: var(--primary-500); transition: width .4s; }
.card { padding: .7rem .9rem; margin: 0 0 .5rem; border: 1px solid var(--border-color-primary); border-radius: .6rem; }
.card .head { display: flex; justify-content: space-between; gap: .8rem; flex-wrap: wrap; margin-bottom: .35rem; }
.card .foot { font-size: .85rem; opacity: .8; margin-top: .35rem; }
.chip { font-size: .8rem; padding: .05rem .5rem; border-radius: 1rem; background: var(--border-color-primary); }
.chip.done { background: #1f7a48; color: #fff; }
.chip.failed, .chip.interrupted { background: #b3372f; color: #fff; }
.chip.running { background: #2563ab; color: #fff; }
.empty { padding: 1.2rem; text-align: center; border: 1px dashed var(--border-color-primary); border-radius: .6rem; }
#captions { max-width: 100%; overflow-x: auto; }
.strip .grid-wrap { min-height: 0; }
.block:has([data-testid="block-label"]) .grid-wrap { padding-top: 2.2rem; }
.label-wrap { text-align: left; }
#shortcuts-button { min-width: 0; padding: 0; text-align: right; }
#dataset-gallery .thumbnail-item { aspect-ratio: 2 / 1 !important; }
@media (max-width: 640px) {
  /* widths that depend on no font: Gradio moves tabs that do not fit into a menu */
  #tabs > .tab-wrapper .tab-container { height: 3.2rem; }
  #tabs > .tab-wrapper .tab-container button { width: calc((100vw - 1.6rem) / 6); height: 100%; padding: 0;
    flex-direction: column; gap: .2rem; font-size: .66rem; line-height: 1.2; overflow: hidden; }
  #tabs .tab-container button { display: flex; align-items: center; justify-content: center; min-width: 0; }
  #tabs .tab-wrapper { --count: 3; }
  #tabs #steps .tab-wrapper { --count: 5; } #tabs #library-tabs .tab-wrapper { --count: 2; }
  #tabs .tabs .tab-container button { width: calc((100vw - 3.2rem) / var(--count)); padding: 0 .1rem;
    font-size: .72rem; white-space: normal; line-height: 1.15; overflow: hidden; }
  .column:has(> #shortcuts-button) { display: none !important; }
  #tabs > .tab-wrapper button[role=tab]::before { display: block; width: 1.2rem; height: 1.2rem; margin: 0; }
  #library-images .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  #evaluate-images .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  #stylize-gallery .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #photos-gallery .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #dataset-gallery .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #crop-choice > .form { order: -1; min-width: 100% !important; }
  .strip .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
  .gallery-item, .thumbnail-item { min-width: 0 !important; width: 100% !important; }
  .thumbnail-item .caption-label { max-width: 100%; padding: 0 .25rem; font-size: .6rem; white-space: normal; }
}
#profile-plot .vega-embed { height: 300px !important; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
.answers { display: grid; gap: .35rem 1.2rem; margin: .4rem 0; } .answers dd { margin: 0 0 .3rem; font-weight: 600; }
@media (min-width: 641px) { .answers { grid-template-columns: 17rem minmax(0, 1fr); } }
.notes { margin: .3rem 0; padding-left: 1.1rem; font-size: .9rem; opacity: .85; }
.findings { margin: .3rem 0; padding-left: 0; list-style: none; } .findings li { margin: .3rem 0; }
#evaluate-images .grid-wrap { min-height: 0; }
#prompts-table td { vertical-align: top; }
:is(#prompts-skipped, #stylize-failed):not(:has(details)) { display: none; }
#adapters-table td:nth-child(2) { min-width: 10rem; }
#crop-preview img { cursor: crosshair; }
#stylize-gallery .thumbnail-item { aspect-ratio: 2 / 1 !important; }
#photos-gallery .thumbnail-item { aspect-ratio: 1 !important; }
#evaluate-figures h3 { margin: 1.4rem 0 .4rem; }
#evaluate-figures .figure:has(table) { grid-column: 1 / -1; }
.figure { margin: 0; min-width: 0; } .figure .scroll { overflow-x: auto; }
.figure svg { width: 100%; max-width: 34rem; height: auto; }
.figure table { border-collapse: collapse; border: 0 !important; }
.figure tr { border: 0; }
.figure :is(th, td) { padding: .25rem .9rem .25rem 0; text-align: left; border: 0 solid;
  border-bottom: 1px solid var(--border-color-primary); }
.figure .n { text-align: right; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .2rem 0 0; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; margin: 0; }
.legend svg { width: 1.8rem !important; height: .8rem !important; margin-right: .3rem; flex: none; }
.card code { overflow-wrap: anywhere; }
#study-link svg { width: 12rem; height: 12rem; }
#images .grid-wrap { max-height: none; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: .3rem 0; }
.facts b { font-size: 1.15rem; }
.problem { color: var(--error-text-color, #b3372f); }
"""

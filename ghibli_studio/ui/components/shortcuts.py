"""Keyboard shortcuts, the dialog that lists them, and progress announcements for screen readers.

All of it runs in the browser; nothing is sent to the server.
"""

from __future__ import annotations

import json

import gradio as gr

from ghibli_studio.ui.components.handlers import QUIET

TABS = {"d": "Dataset", "t": "Train", "g": "Generate", "e": "Evaluate", "l": "Library", "s": "Study"}
"""The letter that opens a tab when it is pressed after `g`."""
SHORTCUTS = {
    **{f"g {letter}": f"go to {name}" for letter, name in TABS.items()},
    "Ctrl + Enter": "start the tab's main action: train, generate, evaluate",
    "/": "search the library",
    "?": "show this list",
    "Esc": "close it",
}
"""Shortcut -> what it does, as the dialog lists them."""
ANNOUNCE_SECONDS = 2
"""A progress bar changes many times a second; it is announced at every quarter."""

BUTTON = (
    '<button id="shortcuts-open" type="button" aria-haspopup="dialog" title="Keyboard shortcuts (?)">'
    '<span aria-hidden="true">⌨</span> Shortcuts</button>'
    '<div id="live-progress" role="status" class="visually-hidden"></div>'
)

SCRIPT = """() => {
  if (document.getElementById("shortcuts")) return;
  const tabs = %(tabs)s, shortcuts = %(shortcuts)s;
  const dialog = document.createElement("dialog");
  dialog.id = "shortcuts";
  dialog.setAttribute("aria-labelledby", "shortcuts-title");
  const rows = Object.entries(shortcuts).map(([key, what]) => `<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`).join("");
  dialog.innerHTML = `<h2 id="shortcuts-title">Shortcuts</h2><dl>${rows}</dl><p>While you type, only Ctrl + Enter
    works.</p><form method="dialog"><button type="submit">Close</button></form>`;
  (document.querySelector(".gradio-container") || document.body).appendChild(dialog);
  const help = () => dialog.open ? dialog.close() : dialog.showModal();
  const tab = (name) => [...document.querySelectorAll("#tabs > .tab-wrapper button[role=tab]")]
    .find((one) => one.textContent.trim() === name);
  const seen = (one) => one && one.offsetParent !== null && !one.disabled;
  let before = "", at = 0;
  document.addEventListener("click", (event) => { if (event.target.closest("#shortcuts-open")) help(); });
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const inside = event.target.closest && event.target.closest("#grid-panel") ? "#grid-go" : "";
      const selectors = inside || "#train, #generate, #evaluate, #search, #stylize-go, #single-go";
      const button = [...document.querySelectorAll(selectors)].find(seen);
      if (button) { event.preventDefault(); event.target.blur(); setTimeout(() => button.click(), 50); }
      return;
    }
    if (event.ctrlKey || event.metaKey || dialog.open) return;
    const target = event.target;
    if (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) {
      if (!/^(checkbox|radio|button|range)$/.test(target.type || "")) return;
    }
    const follows = before === "g" && Date.now() - at < 1500;
    before = event.key; at = Date.now();
    if (follows && tabs[event.key]) {
      const button = tab(tabs[event.key]);
      if (button) { event.preventDefault(); button.click(); button.focus(); before = ""; }
    } else if (event.key === "?") { event.preventDefault(); help(); }
    else if (event.key === "/") {
      event.preventDefault();
      const button = tab("Library");
      if (button) button.click();
      setTimeout(() => document.querySelector("#search-words textarea, #search-words input")?.focus(), 300);
    }
  });
  const repair = () => {
    later = 0;
    // Gradio's (6) tables label an element without a role, which screen readers ignore
    for (const one of document.querySelectorAll('div[aria-label="Static column"]:not([role])'))
      one.setAttribute("role", "img");
    // Gradio puts a button into a link, so that Tab stops twice at one control
    for (const one of document.querySelectorAll("a.download-link > button:not([tabindex])"))
      one.setAttribute("tabindex", "-1");
  };
  let later = 0;
  new MutationObserver(() => { later ||= setTimeout(repair, 100); })
    .observe(document.body, {subtree: true, childList: true});
  let announced = "";
  setInterval(() => {
    const bar = [...document.querySelectorAll(".bar[role=progressbar]")].find(seen);
    const live = document.getElementById("live-progress");
    if (!live) return;
    const quarter = bar ? 25 * Math.floor(bar.getAttribute("aria-valuenow") / 25) : null;
    const now = bar ? `${bar.getAttribute("aria-label").split(",")[0]}, ${quarter} percent` : (announced ? "done" : "");
    if (now !== announced && !(announced === "done" && !bar)) { live.textContent = now; announced = now; }
  }, %(seconds)d000);
}"""


def lay_out() -> None:
    """Add the button that opens the list of shortcuts, and the live region for progress."""
    gr.HTML(BUTTON, elem_id="shortcuts-button", padding=False)


def wire(page: gr.Blocks) -> None:
    """Install the keyboard listener when the page is loaded."""
    values = {"tabs": json.dumps(TABS), "shortcuts": json.dumps(SHORTCUTS), "seconds": ANNOUNCE_SECONDS}
    page.load(None, None, None, js=SCRIPT % values, **QUIET)

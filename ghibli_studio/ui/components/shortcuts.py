"""Keys that reach every tab and begin what a tab is for, a help that lists them, and a voice for the progress.

All of it runs in the browser; nothing is sent.
"""

from __future__ import annotations

import json

import gradio as gr

from ghibli_studio.ui.components.handlers import QUIET

TABS = {"d": "Data set", "t": "Train", "g": "Generate", "e": "Evaluate", "l": "Library", "s": "Study"}
"""The letter after `g` that goes to a tab."""
KEYS = {
    **{f"g {letter}": f"go to {name}" for letter, name in TABS.items()},
    "Ctrl + Enter": "begin what the tab is for: train, draw, evaluate",
    "/": "search the library",
    "?": "this help",
    "Esc": "close it",
}
"""What the help lists."""
VOICE_SECONDS = 2
"""A progress bar is made new many times a second; it is spoken of by quarters."""

BUTTON = (
    '<button id="keys-open" type="button" aria-haspopup="dialog" title="Keyboard shortcuts (?)">'
    '<span aria-hidden="true">⌨</span> Keys</button><div id="voice" role="status" class="unseen"></div>'
)

SCRIPT = """() => {
  if (document.getElementById("keys")) return;
  const tabs = %(tabs)s, keys = %(keys)s;
  const dialog = document.createElement("dialog");
  dialog.id = "keys";
  dialog.setAttribute("aria-labeledby", "keys-title");
  const rows = Object.entries(keys).map(([key, what]) => `<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`).join("");
  dialog.innerHTML = `<h2 id="keys-title">Keys</h2><dl>${rows}</dl><p>None of them counts while you type, but
    Ctrl + Enter.</p><form method="dialog"><button type="submit">Close</button></form>`;
  (document.querySelector(".gradio-container") || document.body).appendChild(dialog);
  const help = () => dialog.open ? dialog.close() : dialog.showModal();
  const tab = (name) => [...document.querySelectorAll("#tabs > .tab-wrapper button[role=tab]")]
    .find((one) => one.textContent.trim() === name);
  const seen = (one) => one && one.offsetParent !== null && !one.disabled;
  let before = "", at = 0;
  document.addEventListener("click", (event) => { if (event.target.closest("#keys-open")) help(); });
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const inside = event.target.closest && event.target.closest("#grid-panel") ? "#grid-go" : "";
      const wanted = inside || "#train, #draw, #evaluate, #find, #style-go, #one-go";
      const button = [...document.querySelectorAll(wanted)].find(seen);
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
      const wanted = tab(tabs[event.key]);
      if (wanted) { event.preventDefault(); wanted.click(); wanted.focus(); before = ""; }
    } else if (event.key === "?") { event.preventDefault(); help(); }
    else if (event.key === "/") {
      event.preventDefault();
      const wanted = tab("Library");
      if (wanted) wanted.click();
      setTimeout(() => document.querySelector("#find-words textarea, #find-words input")?.focus(), 300);
    }
  });
  const mend = () => {
    later = 0;
    // a table of Gradio's (6) puts a name on a part without a role, which readers of the screen may not be told
    for (const one of document.querySelectorAll('div[aria-label="Static column"]:not([role])'))
      one.setAttribute("role", "img");
    // and a button into a link, so that the key Tab stops twice at one thing
    for (const one of document.querySelectorAll("a.download-link > button:not([tabindex])"))
      one.setAttribute("tabindex", "-1");
  };
  let later = 0;
  new MutationObserver(() => { later ||= setTimeout(mend, 100); })
    .observe(document.body, {subtree: true, childList: true});
  let told = "";
  setInterval(() => {
    const bar = [...document.querySelectorAll(".bar[role=progressbar]")].find(seen);
    const voice = document.getElementById("voice");
    if (!voice) return;
    const quarter = bar ? 25 * Math.floor(bar.getAttribute("aria-valuenow") / 25) : null;
    const now = bar ? `${bar.getAttribute("aria-label").split(",")[0]}, ${quarter} percent` : (told ? "done" : "");
    if (now !== told && !(told === "done" && !bar)) { voice.textContent = now; told = now; }
  }, %(seconds)d000);
}"""


def lay_out() -> None:
    """The button that opens the help, and the place that is spoken."""
    gr.HTML(BUTTON, elem_id="keys-button", padding=False)


def wire(page: gr.Blocks) -> None:
    """Let the browser listen as soon as the page is there."""
    values = {"tabs": json.dumps(TABS), "keys": json.dumps(KEYS), "seconds": VOICE_SECONDS}
    page.load(None, None, None, js=SCRIPT % values, **QUIET)

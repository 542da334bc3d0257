// Shows a question when every image is decoded, then starts the clock; number keys select a choice.
"use strict";
const form = document.getElementById("trial");
const loading = document.getElementById("loading");
const button = form.querySelector("button");
let began = null, means = "";

form.classList.add("waiting");
button.disabled = true;
const late = setTimeout(() => { loading.hidden = false; }, 400);

function loaded(image) {
  // a failed image is requested again at growing intervals; the clock waits for it
  return image.decode().catch(() => new Promise((resolve) => {
    loaded.wait = Math.min((loaded.wait || 500) * 2, 15000);
    setTimeout(() => { const src = image.src; image.src = ""; image.src = src; resolve(loaded(image)); }, loaded.wait);
  }));
}

Promise.all(Array.from(form.querySelectorAll("img"), loaded)).then(() => {
  clearTimeout(late);
  loading.hidden = true;
  form.classList.remove("waiting");
  button.disabled = false;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    began = performance.now();
    fetch(form.dataset.shown, { method: "POST", body: new URLSearchParams({ trial: form.elements.trial.value }), keepalive: true }).catch(() => {});
  }));
});

form.addEventListener("pointerdown", (event) => { means = event.pointerType || "mouse"; });
form.addEventListener("keydown", () => { means = "keyboard"; });
// only while a choice has the focus: a shortcut for the whole page would interfere with speech input (WCAG 2.1.4)
form.querySelector("fieldset").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const chosen = form.querySelectorAll("input[name=choice]")[event.key - 1];
  if (chosen) { chosen.checked = true; chosen.focus(); }
});

let sent = false;
form.addEventListener("submit", (event) => {
  if (sent || form.classList.contains("waiting")) { event.preventDefault(); return; }
  sent = true;
  if (began !== null) form.elements.milliseconds.value = Math.round(performance.now() - began);
  form.elements.input.value = means;
});
// a page that the back button restores from memory asks the server for the current question
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

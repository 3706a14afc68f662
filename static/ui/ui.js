/* Mandate: what the pages do beyond links, forms and htmx. Every page works without this file;
   here are toasts, copying, themes, the palette, keyboard shortcuts and where focus goes.
   Behaviour is bound once, on the document, so that swapped fragments need no set-up. */
"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const store = {
  get(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value);
    } catch {
      /* Storage is blocked: the choice lasts for this page only. */
    }
  },
};


/* Toasts ------------------------------------------------------------------------------------
   The region is a manual popover: it lies in the top layer, and is raised again for each toast
   so that a dialog opened meanwhile does not hide it. */

const TOAST_MS = 6000;
const TOAST_BAD_MS = 12000;

function toast({ text, tone = "ok", requestId = "" }) {
  const region = one("#toasts");
  if (!region || !text) return;
  const node = one("#toast-template").content.firstElementChild.cloneNode(true);
  node.classList.add(tone);
  one(".text", node).textContent = text;
  if (requestId) node.insertBefore(copyButton(requestId), one("[data-dismiss]", node));
  if (region.matches(":popover-open")) region.hidePopover();
  region.showPopover();
  region.append(node);
  setTimeout(() => node.remove(), tone === "bad" ? TOAST_BAD_MS : TOAST_MS);
}

function copyButton(requestId) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn sm";
  button.dataset.copy = requestId;
  button.textContent = "Copy request ID";
  return button;
}

/* Messages of the server stand in the page, where they can be read without scripts; with
   scripts they become toasts. */
function liftMessages() {
  for (const item of all("#flash [data-tone]")) {
    toast({ text: one(".text", item).textContent.trim(), tone: item.dataset.tone });
    item.remove();
  }
  const flash = one("#flash");
  if (flash) flash.replaceChildren();
}

document.addEventListener("toast", (event) => toast(event.detail));


/* Requests that fail ------------------------------------------------------------------------ */

/* A refusal is explained in place: as a page where a page was asked for, else in #problem, which
   the server names by HX-Retarget. What failed on the server (5xx) is a toast. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const { boosted, xhr } = event.detail;
  const refused = xhr.status >= 400 && xhr.status < 500;
  if (refused && (boosted || xhr.getResponseHeader("HX-Retarget"))) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (isLive(event)) return;
  if ((xhr.getResponseHeader("HX-Trigger") || "").includes("toast")) return;
  const requestId = xhr.getResponseHeader("X-Request-Id") || "";
  const text = xhr.status >= 500
    ? "The server could not do that. Nothing was changed."
    : `That was refused (${xhr.status}). Nothing was changed.`;
  toast({ text, tone: "bad", requestId });
});

document.addEventListener("htmx:sendError", (event) => {
  if (isLive(event)) return;
  toast({ text: "No connection to the server. Nothing was changed.", tone: "bad" });
});


/* Parts that ask again by themselves do so only where they are seen, and fail in silence: the
   next time may be better. One that would replace what somebody is at work in, by the focus or
   by having unfolded it, says data-live="gently" and waits. ----------------------------------- */

const isLive = (event) => Boolean(event.detail.elt.matches?.("[data-live]"));

function isAtWork(target) {
  const unfolded = one(".chart-data[open], .fold[open], :popover-open", target);
  return Boolean(unfolded) || target.contains(document.activeElement);
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (!isLive(event)) return;
  const { elt, target } = event.detail;
  const waits = elt.dataset.live === "gently" && isAtWork(target);
  if (document.hidden || waits) event.preventDefault();
});


/* While a form is on its way it cannot be sent again. --------------------------------------- */

function lockForm(event, locked) {
  const form = event.detail.elt;
  if (form.tagName !== "FORM" || form.method === "get") return;
  for (const button of all("button[type=submit]", form)) button.disabled = locked;
}

document.addEventListener("htmx:beforeRequest", (event) => lockForm(event, true));
document.addEventListener("htmx:afterRequest", (event) => lockForm(event, false));


/* A boosted link or form brings a page, wherever it stands: what a fragment around it says of its
   own answer, and htmx would inherit, isn't meant for it. ------------------------------------- */

const OF_PAGES = ["hx-target", "hx-select", "hx-select-oob", "hx-swap", "hx-indicator"];

document.addEventListener("htmx:beforeProcessNode", ({ detail: { elt } }) => {
  const isPlain = elt.matches("a[href], form") && !elt.matches("[hx-get], [hx-post]");
  if (!isPlain || !document.body.matches("[hx-boost]")) return;
  if (!elt.parentElement?.closest("[hx-select=unset]")) return;
  for (const name of OF_PAGES) elt.setAttribute(name, document.body.getAttribute(name));
});


/* Where focus goes after a swap ------------------------------------------------------------- */

const FIELD = "input:not([type=hidden]), select, textarea";

/* At a new page, or at the place in it that the address names: there to its first field. */
function arrive() {
  const place = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!place) return one("#page")?.focus({ preventScroll: true });
  place.scrollIntoView();
  (one(FIELD, place) || one("#page")).focus({ preventScroll: true });
}

document.addEventListener("htmx:afterSettle", (event) => {
  liftMessages();
  markTheme();
  const target = event.detail.target;
  const summary = one("[data-error-summary]");
  if (summary && event.detail.xhr?.status === 422) summary.focus();
  else if (target?.id === "page") arrive();
  if (target?.id === "page") {
    closeDrawer();
    showCurrentTab();
  }
});

/* Of tabs that don't fit beside each other, the page's own is in sight. */
function showCurrentTab() {
  one("#page .tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}


/* Theme, copying, drawer, dialogs: one click handler ---------------------------------------- */

function setTheme(theme) {
  const chosen = theme === "light" || theme === "dark";
  store.set("theme", chosen ? theme : null);
  if (chosen) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  markTheme();
}

function markTheme() {
  const current = document.documentElement.dataset.theme || "system";
  for (const button of all("[data-theme-set]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeSet === current));
  }
}

async function copyFrom(button) {
  const source = button.closest(".copy")?.querySelector("code");
  const text = button.dataset.copy || source?.textContent || "";
  try {
    await navigator.clipboard.writeText(text);
    toast({ text: "Copied." });
  } catch {
    if (source) getSelection().selectAllChildren(source);
    toast({ text: "The browser did not allow copying. Copy the marked text.", tone: "warn" });
  }
}

function closeDrawer() {
  const shell = one(".shell");
  if (!shell?.classList.contains("open")) return;
  shell.classList.remove("open");
  one("[data-drawer][aria-expanded]")?.setAttribute("aria-expanded", "false");
}

function toggleDrawer() {
  const open = one(".shell").classList.toggle("open");
  one("[data-drawer][aria-expanded]")?.setAttribute("aria-expanded", String(open));
  if (open) one("#side :is(a, button)")?.focus();
}

const ON_CLICK = {
  "[data-copy]": copyFrom,
  "[data-theme-set]": (button) => setTheme(button.dataset.themeSet),
  "[data-drawer]": toggleDrawer,
  "[data-dismiss]": (button) => button.closest(".toast").remove(),
  "[data-close]": (button) => button.closest("dialog").close(),
  "[data-palette]": (link, event) => {
    if (hasModifier(event) || !openPalette()) return;
    event.preventDefault();
  },
  "[data-shortcuts]": () => openShortcuts(),
  "#palette a": () => one("#palette").close(),
};

const hasModifier = (event) => event.metaKey || event.ctrlKey || event.shiftKey || event.button > 0;

document.addEventListener("click", (event) => {
  if (event.target.tagName === "DIALOG") event.target.close();
  for (const [selector, act] of Object.entries(ON_CLICK)) {
    const hit = event.target.closest(selector);
    if (hit) act(hit, event);
  }
});


/* Project switcher: a choice keeps the filter that the address bar holds, which may be newer than
   the one that the server wrote into the links. */

const OF_ANOTHER_LIST = ["before", "after", "part"];

document.addEventListener("htmx:configRequest", (event) => {
  const { project } = event.detail.elt.dataset;
  if (project === undefined || !one("#menu-project[data-keeps-page]")) return;
  const query = new URLSearchParams(location.search);
  OF_ANOTHER_LIST.forEach((name) => query.delete(name));
  project ? query.set("project", project) : query.delete("project");
  event.detail.path = query.size ? `${location.pathname}?${query}` : location.pathname;
});


/* Unsaved changes --------------------------------------------------------------------------- */

const UNSAVED = "Leave this page? Changes you made are not saved.";
const dirty = () => one("form[data-guard][data-dirty]");

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-guard]");
  if (form) form.dataset.dirty = "";
});
document.addEventListener("submit", (event) => delete event.target.dataset.dirty);
addEventListener("beforeunload", (event) => dirty() && event.preventDefault());

/* htmx asks before each request; one that would replace the page asks the person too. */
document.addEventListener("htmx:confirm", (event) => {
  const form = dirty();
  const replaces = event.detail.target?.id === "page";
  if (!form || !replaces || form.contains(event.detail.elt)) return;
  event.preventDefault();
  if (confirm(UNSAVED)) {
    delete form.dataset.dirty;
    event.detail.issueRequest(true);
  }
});


/* Palette: filters the links that the server put into it at once; what the server finds in the
   org comes in below them a moment later. */

let asking = false;

function shownOptions() {
  return all("#palette-list [role=option]").filter((option) => !option.hidden);
}

function selectOption(option) {
  for (const other of all("#palette-list [aria-selected=true]")) {
    other.setAttribute("aria-selected", "false");
  }
  const query = one("#palette-query");
  if (!option) {
    query.removeAttribute("aria-activedescendant");
    return;
  }
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", option.id);
}

function moveSelection(step) {
  const options = shownOptions();
  if (!options.length) return;
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  selectOption(options[(at + step + options.length) % options.length]);
}

/* `root` is narrowed to what says the words; the selection stays where it can. */
function filterPalette(root = one("#palette-list")) {
  const wanted = one("#palette-query").value.trim().toLowerCase();
  for (const option of all("[role=option]", root)) {
    option.hidden = !option.textContent.toLowerCase().includes(wanted);
  }
  for (const group of all("[role=group]", root)) {
    group.hidden = !one("[role=option]:not([hidden])", group);
  }
  showPalette(true);
}

function showPalette(fromTheTop) {
  const options = shownOptions();
  one("#palette-list").hidden = !options.length;
  one("#palette-none").hidden = asking || Boolean(options.length);
  const kept = options.find((option) => option.getAttribute("aria-selected") === "true");
  selectOption(fromTheTop ? options[0] : kept || options[0]);
}

/* True if there is a palette: where there is none, its link leads to the page of search. */
function openPalette() {
  const dialog = one("#palette");
  if (!dialog) return false;
  if (dialog.open) return true;
  closeDrawer();
  dialog.showModal();
  one("#palette-query").value = "";
  one("#palette-found").replaceChildren();
  asking = false;
  filterPalette();
  return true;
}

function paletteKey(event) {
  const act = {
    ArrowDown: () => moveSelection(1),
    ArrowUp: () => moveSelection(-1),
    Enter: () => one("#palette-list [aria-selected=true]")?.click(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

document.addEventListener("input", (event) => {
  if (event.target.id !== "palette-query") return;
  asking = Boolean(event.target.value.trim());
  filterPalette();
});

for (const over of ["htmx:afterSettle", "htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(over, (event) => {
    if (event.detail.target?.id !== "palette-found") return;
    asking = false;
    showPalette(false);
  });
}


/* Keyboard: one letter at a time, never while typing, and it can be turned off -------------- */

const GO_MS = 900;
let goUntil = 0;

const shortcutsOn = () => store.get("shortcuts") !== "off";

function openShortcuts() {
  const dialog = one("#shortcuts");
  if (!dialog || dialog.open) return;
  one("#shortcuts-on").checked = shortcutsOn();
  dialog.showModal();
}

function goTo(letter) {
  const link = one(`#nav [data-go="${CSS.escape(letter)}"]`);
  if (link) link.click();
  return Boolean(link);
}

/* Rows are walked by their first link, so that Enter opens what has the focus. */
function walkRows(step) {
  const links = all("#page .table tbody tr td:first-child a");
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
  links[Math.max(0, Math.min(links.length - 1, next))].focus();
  return true;
}

function focusFilter() {
  const filter = one("#page [data-filter]");
  filter?.focus();
  return Boolean(filter);
}

/* What the page is there to change: a link to its form, or the first field of it. */
function edit() {
  const found = one("#page [data-edit]");
  if (!found) return false;
  found.matches("a, button") ? found.click() : one(FIELD, found)?.focus();
  return true;
}

/* Ctrl S and Ctrl Enter send the form that one types in: where text is edited, and where leaving
   would lose it. */
function sendForm(event) {
  const form = event.target.closest?.("#page form[method=post]");
  if (!form || !(form.matches("[data-guard]") || one("textarea", form))) return false;
  form.requestSubmit();
  return true;
}

const SHORTCUTS = {
  "/": focusFilter,
  "?": openShortcuts,
  e: edit,
  j: () => walkRows(1),
  k: () => walkRows(-1),
  g: (event) => {
    goUntil = event.timeStamp + GO_MS;
  },
};

function singleKey(event) {
  const going = event.timeStamp < goUntil;
  goUntil = 0;
  const act = going ? () => goTo(event.key) : SHORTCUTS[event.key];
  if (act && act(event) !== false) event.preventDefault();
}

document.addEventListener("keydown", (event) => {
  const withCommand = event.metaKey || event.ctrlKey;
  if (withCommand && event.key.toLowerCase() === "k" && one("#palette")) {
    event.preventDefault();
    one("#palette").open ? one("#palette").close() : openPalette();
  } else if (withCommand && (event.key === "Enter" || event.key.toLowerCase() === "s")) {
    if (sendForm(event)) event.preventDefault();
  } else if (one("#palette")?.open) {
    paletteKey(event);
  } else if (event.key === "Escape" && one(".shell.open")) {
    closeDrawer();
    one("[data-drawer][aria-expanded]")?.focus();
  } else if (!withCommand && !event.altKey && shortcutsOn()) {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable], dialog");
    if (!typing) singleKey(event);
  }
});

document.addEventListener("change", (event) => {
  if (event.target.id === "shortcuts-on") {
    store.set("shortcuts", event.target.checked ? null : "off");
  }
});


/* Once per page load ------------------------------------------------------------------------ */

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const key of all("[data-command-key]")) {
    key.textContent = key.textContent.replace("Ctrl ", "⌘");
  }
}
one("#toasts")?.showPopover();
one("[data-error-summary]")?.focus();
liftMessages();
markTheme();
showCurrentTab();


/* Code editor --------------------------------------------------------------------------------
   A text area lies, with its own letters unseen, over the same text in colour; what is sent is
   the text area. Tab indents only after a click into it, so that the keyboard always gets out. */

const EDITOR_MAX = 60000;
const GRAMMARS = {
  json: [
    ["hl-nt", /"(?:[^"\\\n]|\\.)*"(?=\s*:)/y],
    ["hl-s2", /"(?:[^"\\\n]|\\.)*"?/y],
    ["hl-mi", /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y],
    ["hl-kc", /\b(?:true|false|null)\b/y],
    ["hl-p", /[{}[\],:]+/y],
  ],
  rego: [
    ["hl-c1", /#[^\n]*/y],
    ["hl-s2", /"(?:[^"\\\n]|\\.)*"?|`[^`]*`?/y],
    ["hl-mi", /\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y],
    ["hl-kc", /\b(?:true|false|null)\b/y],
    ["hl-k", /\b(?:package|import|default|if|contains|some|every|in|not|as|with|else|set)\b/y],
    ["", /[A-Za-z_]\w*/y],
    ["hl-p", /[{}[\]().,:;=<>!|&+*\/%-]+/y],
  ],
};

/* The text in pieces [class, text]: at each place the first rule that fits. */
function tokens(text, language) {
  const found = [];
  const add = (css, piece) => {
    const last = found.at(-1);
    if (last && last[0] === css) last[1] += piece;
    else found.push([css, piece]);
  };
  for (let at = 0; at < text.length; ) {
    const hit = GRAMMARS[language].find(([, rule]) => {
      rule.lastIndex = at;
      return rule.test(text);
    });
    const end = hit ? hit[1].lastIndex : at + 1;
    add(hit ? hit[0] : "", text.slice(at, end));
    at = end;
  }
  return found;
}

function coloured(text, language) {
  const pieces = text.length > EDITOR_MAX ? [["", text]] : tokens(text, language);
  return pieces.map(([css, piece]) => {
    if (!css) return piece;
    const node = document.createElement("span");
    node.className = css;
    node.textContent = piece;
    return node;
  });
}

function paintEditor(area) {
  const editor = area.closest(".editor");
  one(".editor-text", editor).replaceChildren(...coloured(area.value, editor.dataset.editor), "\n");
  const numbers = one(".editor-numbers ol", editor);
  const lines = area.value.split("\n").length;
  while (numbers.children.length > lines) numbers.lastChild.remove();
  while (numbers.children.length < lines) {
    const item = document.createElement("li");
    item.textContent = String(numbers.children.length + 1);
    numbers.append(item);
  }
  scrollEditor(area);
}

function scrollEditor(area) {
  const editor = area.closest(".editor");
  const text = one(".editor-text", editor);
  text.scrollTop = area.scrollTop;
  text.scrollLeft = area.scrollLeft;
  one(".editor-numbers", editor).scrollTop = area.scrollTop;
}

function makeEditor(editor) {
  const area = one("textarea", editor);
  const [numbers, text, inner] = ["div", "pre", "div"].map((name) => document.createElement(name));
  numbers.className = "editor-numbers";
  text.className = "editor-text";
  inner.className = "editor-area";
  for (const hidden of [numbers, text]) hidden.setAttribute("aria-hidden", "true");
  numbers.append(document.createElement("ol"));
  inner.append(text, area);
  editor.append(numbers, inner);
  editor.classList.add("on");
  area.wrap = "off";
  area.addEventListener("scroll", () => scrollEditor(area));
  paintEditor(area);
  const line = Number(area.dataset.errorLine);
  if (line) one(".editor-numbers ol", editor).children[line - 1]?.classList.add("wrong");
}

const makeEditors = () => all(".editor:not(.on)").forEach(makeEditor);

/* Through the browser's own editing, so that it can be undone. */
const typeInto = (text) => document.execCommand("insertText", false, text);

function indentOf(area) {
  const line = area.value.slice(0, area.selectionStart).split("\n").at(-1);
  return line.match(/^[ \t]*/)[0];
}

function editorKey(event) {
  const area = event.target;
  if (event.metaKey || event.ctrlKey) return;
  if (event.key === "Escape") {
    delete area.dataset.tabs;
  } else if (event.key === "Tab" && !event.shiftKey && "tabs" in area.dataset) {
    event.preventDefault();
    typeInto("  ");
  } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing && indentOf(area)) {
    event.preventDefault();
    typeInto(`\n${indentOf(area)}`);
  }
}

const editorArea = (event) => event.target.closest?.(".editor.on textarea");

document.addEventListener("input", (event) => {
  const area = editorArea(event);
  if (!area) return;
  one(".editor-numbers .wrong", area.closest(".editor"))?.classList.remove("wrong");
  paintEditor(area);
});
document.addEventListener("pointerdown", (event) => {
  const area = editorArea(event);
  if (area) area.dataset.tabs = "";
});
document.addEventListener("focusout", (event) => {
  const area = editorArea(event);
  if (area) delete area.dataset.tabs;
});
document.addEventListener("keydown", (event) => editorArea(event) && editorKey(event));
document.addEventListener("reset", () => setTimeout(() => all(".editor.on textarea").forEach(paintEditor)));
document.addEventListener("htmx:afterSettle", makeEditors);
makeEditors();

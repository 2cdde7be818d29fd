// What happens on a click or a key: opening scopes, selecting, going to a place.

const FEW = 4; // a graph with fewer boxes at the top begins with those of its largest scope
const announcement = document.getElementById("announcement");

function toggle(scope) {
  holding(scope, () => {
    if (open.has(scope)) open.delete(scope);
    else open.add(scope);
    changed(scope);
    draw();
    markSelected();
  });
  announcement.textContent = `${fullName(scope)} ${open.has(scope) ? "opened" : "closed"}`;
  if (state.selected === scope) showPanel();
}

function select(box) {
  state.selected = box;
  markSelected();
  showPanel();
  applyView();
  announcement.textContent = box === null ? "" : `${fullName(box)} selected`;
  const named = box !== null && !isPage(box);
  try {
    history.replaceState(null, "", named ? `#${encodeURIComponent(fullName(box))}` : location.href.split("#")[0]);
  } catch {
    // Some browsers refuse it to framed pages or when it happens often; the page works without.
  }
}

// Open what a box lies in, select it and bring it into the middle.
function reveal(box) {
  let hidden = false;
  for (let scope = parentOf(box); scope !== -1; scope = parentOf(scope)) {
    if (!open.has(scope)) {
      open.add(scope);
      changed(scope);
      hidden = true;
    }
  }
  if (hidden) draw();
  select(box);
  show(box);
}

function collapseAll() {
  open.clear();
  arrangements.clear();
  openFirst();
  draw();
  select(null);
  fit(true);
}

function openFirst() {
  open.add(ROOT);
  const children = childrenOf.get(ROOT);
  if (children.length >= FEW || !children.some(isScope)) return;
  const scopes = children.filter(isScope).sort((a, b) => summaryOf(b).size - summaryOf(a).size);
  open.add(scopes[0]);
}

function activate(element) {
  const box = Number(element.dataset.box);
  if (isScope(box)) {
    state.selected = box;
    toggle(box);
  }
  select(box);
}

canvas.addEventListener("click", (event) => {
  if (moved) return;
  const element = event.target.closest('[role="button"]');
  if (element) activate(element);
  else if (!event.target.closest(".open")) select(null);
});
drawing.addEventListener("keydown", (event) => {
  const element = event.target.closest('[role="button"]');
  if (!element || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  activate(element);
});
drawing.addEventListener("focusin", (event) => {
  if (event.target.matches(":focus-visible")) show(Number(event.target.dataset.box), true);
});

const KEYS = {
  "/": () => {
    query.focus();
    query.select();
  },
  Escape: () => select(null),
  "+": () => zoom(1.3),
  "=": () => zoom(1.3),
  "-": () => zoom(1 / 1.3),
  0: () => fit(),
  ArrowUp: () => pan(0, 80),
  ArrowDown: () => pan(0, -80),
  ArrowLeft: () => pan(80, 0),
  ArrowRight: () => pan(-80, 0),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, #panel, #results");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing && !(event.key === "Escape" || (event.key === "/" && event.target !== query))) return;
  if (!Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

function goTo(id, node) {
  const button = document.getElementById(id);
  if (node === null) button.hidden = true;
  else button.addEventListener("click", () => reveal(node));
}
goTo("to-input", pathStart);
goTo("to-bottleneck", data.bottleneck);
document.getElementById("collapse").addEventListener("click", collapseAll);

// The place named in the address, if there is one.
function named() {
  let name = "";
  try {
    name = decodeURIComponent(location.hash.slice(1));
  } catch {
    return null; // half an escape
  }
  if (!name) return null;
  const node = nodes.name.indexOf(name);
  if (node >= 0) return node;
  const scope = data.scopes.findIndex(([, , prefix, page]) => prefix === name && !page);
  return scope > 0 ? NODES + scope : null;
}

if (NODES) {
  openFirst();
  draw();
  fit(true);
  const start = named();
  if (start === null) showPanel();
  else reveal(start);
} else {
  document.getElementById("stage").replaceChildren(html("p", { class: "quiet" }, "This graph has no nodes."));
  panel.replaceChildren(html("h2", {}, "Overview"), table(data.facts.map(([key, value]) => [key, breakable(value)])));
}
document.documentElement.dataset.ready = "yes";

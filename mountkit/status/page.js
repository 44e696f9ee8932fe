"use strict";
// Follows the site by server-sent events. What has not changed is not touched, so that the focus,
// a selection and what a screen reader is at stay where they are.
(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  const state = document.getElementById("state");
  const pause = document.getElementById("pause");
  let source = null, isPaused = false, last = 0;

  const tell = (text) => { if (state.textContent !== text) state.textContent = text; };
  const keyOf = (node) => (node.dataset && node.dataset.key) || "";

  function change(node, wanted) {
    if (node.isEqualNode(wanted)) return;
    if (node.nodeType === Node.TEXT_NODE) { node.data = wanted.data; return; }
    for (const { name, value } of [...wanted.attributes])
      if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    for (const { name } of [...node.attributes])
      if (!wanted.hasAttribute(name) && name !== "open") node.removeAttribute(name);
    changeChildren(node, wanted);
  }

  function changeChildren(parent, wanted) {
    const keyed = new Map();
    for (const child of parent.children) if (keyOf(child)) keyed.set(keyOf(child), child);
    let at = parent.firstChild;
    for (const child of [...wanted.childNodes]) {
      const key = keyOf(child);
      let own = key ? keyed.get(key) : at;
      if (!own || own.nodeName !== child.nodeName || keyOf(own) !== key) {
        parent.insertBefore(document.importNode(child, true), at);
        continue;
      }
      if (own !== at) parent.insertBefore(own, at);
      change(own, child);
      at = own.nextSibling;
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  }

  function follow() {
    stop();
    if (isPaused || document.hidden) return;
    source = new EventSource("events" + location.search);
    source.onmessage = (event) => {
      const template = document.createElement("template");
      template.innerHTML = event.data;
      changeChildren(live, template.content);
      last = Date.now();
      tell("Live");
    };
    source.onopen = () => { last = Date.now(); tell("Live"); };
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000); };
  }

  function stop() { if (source) source.close(); source = null; }

  setInterval(() => {
    if (source && Date.now() - last > 15000) tell("Not live: the site does not answer");
  }, 1000);
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    tell(isPaused ? "Paused" : "Live");
    follow();
  });
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", stop);
  last = Date.now();
  follow();
})();

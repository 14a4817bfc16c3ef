"use strict";
// Applies server-sent events: replaces HTML fragments and redraws changed figures.
(() => {
  const HOLD_MILLISECONDS = 3000; // a figure under the pointer or with an open list is not redrawn for this long
  const link = document.getElementById("link");
  const setStatus = (text, lost) => {
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("lost", lost);
  };

  // -- fragments

  // Replacing a fragment preserves checked boxes, open details and the focus.
  const replaceFragment = ({ name, html }) => {
    const place = document.getElementById(name);
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    if (!place || place.innerHTML === fresh.innerHTML) return;
    const ticked = new Set([...place.querySelectorAll("input:checked")].map((box) => box.value));
    const opened = new Set([...place.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent));
    const kind = "a, button, input, summary, [tabindex]";
    const focused = [...place.querySelectorAll(kind)].indexOf(document.activeElement);
    const mark = focused >= 0 ? document.activeElement.value || document.activeElement.href || "" : "";
    place.replaceChildren(fresh.content);
    for (const box of place.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
    for (const summary of place.querySelectorAll("details > summary")) {
      if (opened.has(summary.textContent)) summary.parentElement.open = true;
    }
    if (focused >= 0) {
      const all = [...place.querySelectorAll(kind)];
      (all.find((one) => mark && (one.value || one.href) === mark) || all[focused])?.focus({ preventScroll: true });
    }
    choose();
  };

  // -- selection of runs to compare

  const choose = () => {
    const button = document.getElementById("compare");
    if (!button) return;
    const count = document.querySelectorAll("#rows input:checked").length;
    button.disabled = count < 2;
    button.textContent = count < 2 ? "Select two or more runs to compare" : `Compare ${count} runs`;
  };
  document.getElementById("rows")?.addEventListener("change", choose);

  // -- figures

  const figures = new Map(); // name -> { holder, drawing, caption, waiting, view, touched, seen, busy }

  const cell = (row, kind, text) => { row.appendChild(document.createElement(kind)).textContent = text; };
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");

  // textContent only: names of layers must not be parsed as HTML.
  const show = (_, event, __, value) => {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    const table = document.createElement("table");
    for (const [name, shown] of typeof value === "object" ? Object.entries(value) : [["", value]]) {
      const row = table.insertRow();
      cell(row, "th", name);
      cell(row, "td", String(shown));
    }
    tip.replaceChildren(table);
    const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
    const top = event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - 16 - tip.offsetHeight : event.clientY + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  };

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const figure = figures.get(entry.target.dataset.name);
      figure.seen = entry.isIntersecting;
      if (figure.seen) draw(figure);
    }
  }, { rootMargin: "200px" });

  const make = (panel) => {
    document.getElementById("figures-none")?.remove();
    const holder = document.createElement("figure");
    holder.className = panel.wide ? "wide" : "half";
    holder.dataset.name = panel.name;
    const title = holder.appendChild(document.createElement("h3"));
    const controls = holder.appendChild(document.createElement("div"));
    const drawing = holder.appendChild(document.createElement("div"));
    const caption = holder.appendChild(document.createElement("figcaption"));
    title.textContent = panel.title;
    controls.className = "controls";
    drawing.className = "drawing";
    drawing.setAttribute("role", "img");
    const figure = { holder, controls, drawing, caption, waiting: null, view: null, touched: -HOLD_MILLISECONDS, seen: false, busy: false };
    for (const kind of ["pointermove", "keydown", "focusin", "change"]) {
      holder.addEventListener(kind, () => { figure.touched = performance.now(); }, { passive: true });
    }
    figures.set(panel.name, figure);
    // Insert in the order of the report.
    const later = [...document.querySelectorAll("#figures > figure")].find((one) => Number(one.dataset.place) > panel.place);
    holder.dataset.place = panel.place;
    document.getElementById("figures").insertBefore(holder, later || null);
    observer.observe(holder);
    return figure;
  };

  const update = (panel) => {
    const figure = figures.get(panel.name) || make(panel);
    figure.waiting = panel;
    draw(figure);
  };

  // Selections in a figure's controls survive redrawing.
  const chosen = (view) => Object.fromEntries(
    view ? view.vgSpec.signals.filter((signal) => signal.bind).map(({ name }) => [name, view.view.signal(name)]) : []);

  const draw = async (figure) => {
    if (!figure.waiting || !figure.seen || figure.busy) return;
    const rest = figure.touched + HOLD_MILLISECONDS - performance.now();
    if (figure.view && rest > 0) {
      setTimeout(() => draw(figure), rest + 50);
      return;
    }
    const panel = figure.waiting;
    figure.busy = true;
    figure.waiting = null;
    const next = document.createElement("div");
    const controls = document.createElement("div");
    next.className = figure.view ? "next" : "";
    next.setAttribute("aria-hidden", "true"); // the container has a text alternative
    figure.drawing.append(next);
    try {
      const made = await vegaEmbed(next, panel.specification, {
        renderer: "svg", bind: controls, tooltip: show, actions: false, defaultStyle: false, logLevel: 1, ast: true,
        loader: { load: () => Promise.reject(new Error("loading is disabled")) },
      });
      for (const [name, value] of Object.entries(chosen(figure.view))) {
        if (made.vgSpec.signals.some((signal) => signal.name === name && signal.bind)) made.view.signal(name, value);
      }
      await made.view.runAsync();
      const focused = figure.controls.contains(document.activeElement);
      next.className = "";
      figure.drawing.replaceChildren(next);
      figure.controls.replaceChildren(...controls.childNodes);
      if (focused) figure.controls.querySelector("select, input")?.focus({ preventScroll: true });
      figure.view?.finalize();
      figure.view = made;
    } catch (problem) {
      figure.drawing.textContent = `This figure could not be drawn: ${problem}`;
    }
    figure.caption.textContent = panel.words;
    figure.drawing.setAttribute("aria-label", `${panel.title}. ${panel.words}`);
    figure.holder.dataset.drawn = String(Number(figure.holder.dataset.drawn || 0) + 1);
    figure.busy = false;
    draw(figure);
  };

  // -- the stream

  document.body.append(tip);
  choose();
  if (!document.body.dataset.events) return;
  const source = new EventSource(document.body.dataset.events);
  source.addEventListener("open", () => setStatus("Live updates on", false));
  source.addEventListener("fragment", (event) => replaceFragment(JSON.parse(event.data)));
  source.addEventListener("figure", (event) => update(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setStatus("Disconnected: reload the page", true);
    else setStatus("babysit ui does not respond; reconnecting", true);
  });
  addEventListener("pagehide", () => source.close());
})();

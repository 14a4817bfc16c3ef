"use strict";
// Draws the figures of the page and shows values in tooltips. It reads and sends nothing else.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");

  // textContent only: names of layers must not be parsed as HTML.
  const cell = (row, kind, text) => { row.appendChild(document.createElement(kind)).textContent = text; };

  const show = (_, event, __, value) => {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    const table = document.createElement("table");
    const pairs = typeof value === "object" ? Object.entries(value) : [["", value]];
    for (const [name, shown] of pairs) {
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

  const draw = async (name, specification) => {
    const holder = document.getElementById(`figure-${name}`);
    try {
      await vegaEmbed(holder, specification, {
        renderer: "svg",
        bind: document.getElementById(`controls-${name}`),
        tooltip: show,
        actions: false,
        defaultStyle: false,
        logLevel: 1,
        loader: { load: () => Promise.reject(new Error("this page loads nothing")) },
      });
      // The container is an image with a text alternative; hide its parts from screen readers.
      holder.querySelector("svg").setAttribute("aria-hidden", "true");
      holder.dataset.drawn = "yes";
    } catch (problem) {
      holder.textContent = `This figure could not be drawn: ${problem}`;
    }
  };

  (async () => {
    // One after the other, so that the first figures are readable early.
    for (const [name, specification] of Object.entries(figures)) await draw(name, specification);
    document.documentElement.dataset.drawn = "yes";
  })();
})();

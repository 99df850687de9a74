// An export's form as it is filled in: the names of the next files, the next times, the first rows.
"use strict";
(() => {
  const form = document.querySelector("form[id$=_form]");
  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const post = (url) => fetch(url, {
    method: "POST",
    body: form ? new FormData(form) : new FormData(),
    headers: { "X-CSRFToken": token() },
    redirect: "error",
  });

  // Preview of rows
  const button = document.querySelector("[data-rows]");
  const card = document.querySelector("[data-rowscard]");
  const box = document.querySelector("[data-rowsbox]");
  const tableOf = ({ header, rows }) => {
    const wide = element("div", "m-tablebox");
    const table = element("table", "m-table m-table--file");
    const head = element("tr");
    head.append(...header.map((name) => element("th", "", name)));
    const body = element("tbody");
    for (const row of rows) {
      const line = element("tr");
      line.append(...row.map((cell) => element("td", "", cell)));
      body.append(line);
    }
    const top = element("thead");
    top.append(head);
    table.append(top, body);
    wide.append(table);
    return wide;
  };
  button?.addEventListener("click", async () => {
    button.disabled = true;
    card.hidden = false;
    box.replaceChildren(element("p", "m-quiet", "Reading…"));
    try {
      const answer = await post(button.dataset.rows);
      const found = await answer.json();
      if (found.errors) box.replaceChildren(...found.errors.map((text) => element("p", "m-bad", text)));
      else if (!found.rows.length) box.replaceChildren(tableOf(found), element("p", "m-empty", "Nobody is in now. The file would hold the header alone."));
      else box.replaceChildren(tableOf(found));
    } catch {
      box.replaceChildren(element("p", "m-bad", "Our own server did not answer. Reload the page and try again."));
    } finally {
      button.disabled = false;
    }
  });

  if (!form) return;

  // Names and times
  const sketch = document.querySelector("[data-sketch]");
  const names = document.querySelector("[data-names]");
  const nameErrors = document.querySelector("[data-nameerrors]");
  const warnings = document.querySelector("[data-warnings]");
  const timeErrors = document.querySelector("[data-timeerrors]");
  const noTimes = document.querySelector("[data-notimes]");
  const times = document.querySelector("[data-times]");
  const show = (found) => {
    names.replaceChildren(...found.names.map((name) => {
      const line = element("li");
      line.append(element("code", "", name));
      return line;
    }));
    nameErrors.textContent = found.name_errors.join(" ");
    warnings.hidden = !found.warnings.length;
    warnings.textContent = found.warnings.join(" ");
    timeErrors.textContent = found.time_errors.join(" ");
    noTimes.textContent = found.is_by_hand ? "None: it runs when somebody presses Run now." : found.times.length || found.time_errors.length ? "" : "None.";
    times.hidden = !found.times.length;
    times.querySelector("[data-zone]").textContent = form.elements.zone.value;
    times.querySelector("tbody").replaceChildren(...found.times.map((time) => {
      const line = element("tr");
      line.append(element("td", "", time.local), element("td", "", time.utc));
      return line;
    }));
  };

  let newest = 0;
  let waiting = 0;
  const draw = async () => {
    const mine = ++newest;
    try {
      const answer = await post(sketch.dataset.sketch);
      // An answer that was overtaken by a later change is not shown.
      if (answer.ok && mine === newest) show(await answer.json());
    } catch {
      // The next change asks again; saving says what is wrong.
    }
  };
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 250);
  };
  form.addEventListener("input", later);
  form.addEventListener("change", later);
  // Some fields of the theme change by jQuery alone.
  if (window.django?.jQuery) window.django.jQuery(form).on("change", "select", later);
  draw();
})();

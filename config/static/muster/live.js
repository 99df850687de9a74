// The live views: ask twice a second for new fires or messages and put them on top. Also the Test button.
"use strict";
(() => {
  const table = document.querySelector("[data-live]");
  if (!table) return;

  const EVERY_MS = 500;
  const MOST_MS = 8000;
  const MOST_ROWS = 1000;
  const rows = table.querySelector("[data-rows]");
  const status = document.querySelector("[data-status]");
  const dot = document.querySelector("[data-dot]");
  const sample = document.querySelector("[data-sample]");
  const none = document.querySelector("[data-none]");
  const cures = JSON.parse(document.getElementById("cures").textContent);
  const filters = [...document.querySelectorAll("[data-filter]")];
  const mark = table.dataset.mark;
  const things = table.dataset.shows;
  const seen = new Set();
  let cursor = "";
  let failures = 0;
  let isPaused = false;
  let generation = 0;

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const say = (tone, text) => {
    dot.dataset.tone = tone;
    if (status.textContent !== text) status.textContent = text;
  };

  const cureOf = (reason) => {
    const cure = cures[reason];
    if (!cure) return null;
    if (!cure.link) return element("span", "m-cure", cure.text);
    const link = element("a", "m-cure", cure.text);
    link.href = cure.link;
    return link;
  };

  const why = (one) => {
    const cell = element("td");
    cell.append(element("span", `m-state m-state--${one.outcome}`, one.outcome));
    if (one.reason) {
      cell.append(element("span", "m-reason", one.reason.replaceAll("_", " ")));
      cell.append(element("span", "m-sentence", one.why));
      const cure = cureOf(one.reason);
      if (cure) cell.append(cure);
    }
    for (const note of one.notes || []) cell.append(element("span", "m-note", note.sentence || note.code));
    return cell;
  };

  const did = (fire) => {
    const cell = element("td");
    for (const action of fire.actions) {
      const isDone = fire.outcome === "applied" && !action.reason;
      const words = isDone
        ? { add: "added to", remove: "removed from", link: "linked an id of", record: "recorded" }
        : { add: "not added to", remove: "not removed from", link: "did not link an id of" };
      const word = words[action.do] || action.do;
      const line = element("span", action.reason ? "m-did m-bad" : isDone ? "m-did" : "m-did m-quiet");
      line.append(`${word} `, element("strong", "", action.segment));
      if (action.value !== null && action.value !== undefined && action.value !== "") line.append(` value ${action.value}`);
      if (action.reason) line.append(`: ${action.why || action.reason}`);
      cell.append(line);
    }
    if (fire.other && fire.other !== mark) cell.append(element("span", "m-note", `other: ${fire.other}`));
    return cell;
  };

  const cellsOf = {
    fires: (fire) => {
      const same = element("td");
      if (fire.same) same.append(element("code", "m-same", fire.same));
      return [
        did(fire),
        ...("showsPixel" in table.dataset ? [element("td", "", fire.pixel)] : []),
        element("td", "m-break", fire.page || "not said"),
        element("td", "", [fire.browser, fire.device, fire.country].filter(Boolean).join(", ")),
        same,
      ];
    },
    messages: (message) => [
      element("td", "", message.kind || "not said"),
      element("td", "m-break", message.event),
      element("td", "m-break", message.page || "not said"),
    ],
  }[things];

  const rowOf = (one) => {
    const row = element("tr");
    const at = new Date(one.at);
    const time = element("time", "", at.toLocaleTimeString([], { hour12: false }) + "." + String(at.getMilliseconds()).padStart(3, "0"));
    time.dateTime = one.at;
    time.title = at.toLocaleString();
    const when = element("td");
    when.append(time);
    row.append(when, why(one), ...cellsOf(one));
    row.dataset.id = one.id;
    row.classList.add("m-live__new");
    return row;
  };

  const show = (found) => {
    // Newest first: the oldest of them is put on top first.
    const fresh = found.filter((one) => !seen.has(one.id) && (!mark || one.other === mark)).reverse();
    for (const one of fresh) {
      seen.add(one.id);
      rows.prepend(rowOf(one));
    }
    while (rows.children.length > MOST_ROWS) {
      seen.delete(rows.lastElementChild.dataset.id);
      rows.lastElementChild.remove();
    }
    none.hidden = rows.children.length > 0;
  };

  const ask = async () => {
    const mine = generation;
    const wanted = new URLSearchParams({ after: cursor });
    for (const filter of filters) if (filter.value) wanted.set(filter.dataset.filter, filter.value);
    const answer = await fetch(`${table.dataset.live}?${wanted}`, {
      headers: { Accept: "application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(MOST_MS),
    });
    if (answer.status === 403 || answer.status === 404) return "gone";
    if (!answer.ok) throw new Error(String(answer.status));
    const glance = await answer.json();
    if (mine !== generation) return "overtaken"; // the filter changed while the answer was under way
    cursor = glance.cursor;
    show(glance.rows);
    sample.hidden = glance.one_of < 2;
    sample.textContent = `So many ${things} come in that 1 of ${glance.one_of} is shown.`;
    return "fine";
  };

  const step = async () => {
    let pause = EVERY_MS;
    if (!isPaused && !document.hidden) {
      try {
        const result = await ask();
        if (result === "gone") {
          say("bad", `You may no longer see these ${things}. Reload the page.`);
          return;
        }
        failures = 0;
        say("good", `Live: ${things} appear within a second.`);
      } catch {
        failures += 1;
        sample.hidden = true;
        pause = Math.min(EVERY_MS * 2 ** failures, MOST_MS);
        say("bad", `The connection is lost. Trying again in ${Math.round(pause / 1000)} s…`);
      }
    }
    setTimeout(step, pause);
  };

  const start = () => {
    generation += 1;
    cursor = "";
    seen.clear();
    rows.replaceChildren();
    none.hidden = false;
  };

  for (const filter of filters) filter.addEventListener("change", start);

  const pauseButton = document.querySelector("[data-pause]");
  pauseButton?.addEventListener("click", () => {
    isPaused = !isPaused;
    pauseButton.setAttribute("aria-pressed", String(isPaused));
    pauseButton.querySelector("[data-label]").textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) say("idle", "Paused. What comes meanwhile appears when you go on.");
  });

  document.querySelector("[data-clear]")?.addEventListener("click", () => {
    rows.replaceChildren();
    none.hidden = false;
  });

  const fireButton = document.querySelector("[data-fire]");
  fireButton?.addEventListener("click", () => {
    const answer = document.querySelector("[data-answer]");
    const image = new Image();
    const began = performance.now();
    image.referrerPolicy = "no-referrer-when-downgrade";
    image.onload = () => { answer.textContent = `The pixel host answered after ${Math.round(performance.now() - began)} ms.`; };
    image.onerror = () => { answer.textContent = "No answer from the pixel host. Is it running, or does an extension of this browser block it?"; };
    answer.textContent = "Firing…";
    image.src = `${fireButton.dataset.fire}&cb=${Date.now()}`;
  });

  step();
})();

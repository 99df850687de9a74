// What every page of the admin has: menus that close, times that read “3 min ago”, numbers over charts.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.m-menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.m-menu[open]")) menu.open = false;
  });

  const STEPS = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const ago = (date) => {
    let amount = (date - Date.now()) / 1000;
    for (const [size, unit] of STEPS) {
      if (Math.abs(amount) < size) return words.format(Math.round(amount), unit);
      amount /= size;
    }
    return null;
  };
  const tellTimes = () => {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const date = new Date(time.dateTime);
      time.title = date.toLocaleString();
      const text = ago(date);
      if (text) time.textContent = text;
    }
  };
  tellTimes();
  setInterval(tellTimes, 20_000);

  const tip = document.createElement("div");
  tip.className = "m-tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const text = event.target instanceof Element ? event.target.getAttribute("data-tip") : null;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.transform = `translate(${left}px, ${event.clientY + 14}px)`;
  });
});

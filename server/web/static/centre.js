// Sends changes with their token, and keeps what is marked data-live fresh while somebody looks.
"use strict";
(() => {
  const every = 10000;
  const token = document.querySelector('meta[name="csrf"]');

  const tell = (words) => {
    const place = document.querySelector("[data-problem]");
    if (!place) return;
    place.textContent = words;
    place.hidden = false;
    place.setAttribute("role", "alert");
    place.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form[data-change]")) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const fields = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.action, {
        method: "POST",
        credentials: "same-origin",
        headers: { "X-CSRF-Token": token ? token.content : "", Accept: "application/json" },
        body: fields.size ? fields : undefined,
      });
      if (answer.ok) {
        location.assign(answer.url);
        return;
      }
      const told = await answer.json();
      tell([told.detail, told.next_step].filter(Boolean).join(". "));
    } catch {
      tell("The centre did not answer. Try again.");
    }
    button.disabled = false;
  });

  // What is no longer refreshed must not look fresh.
  const stale = (is) => {
    const place = document.querySelector("[data-stale]");
    if (place && place.hidden === is) {
      place.hidden = !is;
      if (is) place.querySelector("time").textContent = new Date().toISOString().slice(11, 16);
    }
  };

  const refresh = async () => {
    const old = document.querySelector("[data-live]");
    // Not while the keyboard is inside: the focus would be lost.
    if (!old || document.hidden || old.contains(document.activeElement)) return;
    try {
      const answer = await fetch(old.dataset.live, {
        credentials: "same-origin",
        redirect: "error",
        headers: { Accept: "text/html" },
      });
      if (!answer.ok) throw new Error("refused");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-live]");
      if (!fresh) throw new Error("not the page");
      old.replaceWith(fresh);
      stale(false);
    } catch {
      stale(true);
    }
  };
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
})();

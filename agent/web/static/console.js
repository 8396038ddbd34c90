// The console's own script: live parts of the page, the scan field's focus, sheets, the alarm.
// Everything it shows comes rendered from the station; htmx puts it in place.
"use strict";
(() => {
  const sheet = document.getElementById("sheet");
  const stop = document.getElementById("stop");
  const rack = document.getElementById("rack");
  const lost = document.getElementById("lost");
  const field = () => document.querySelector("[data-scan]");
  const isText = (one) =>
    one && (one.isContentEditable || one.matches("input:not([type=hidden]):not([type=checkbox]), select, textarea"));

  // --- the scan field has the focus unless a person works in another one ---------------------

  const refocus = () => {
    const scan = field();
    if (scan && !sheet?.open && !stop?.open && !isText(document.activeElement)) scan.focus({ preventScroll: true });
  };

  document.addEventListener("keydown", (event) => {
    if (stop?.open) return whileStopped(event);
    if (event.key === "F9" && document.querySelector("[data-print]")) {
      event.preventDefault();
      return window.print();
    }
    const at = document.activeElement;
    if (event.key === "Enter" && at?.matches("[data-scan]")) {
      // Badge first, then PIN: the scanner's Enter goes on, it does not send half a login.
      const pin = at.form?.querySelector("[data-pin]");
      if (pin && !pin.value) {
        event.preventDefault();
        pin.focus();
      }
      return;
    }
    if (event.key.startsWith("Arrow") && at?.matches(".bay")) return walk(event, at);
    const types = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.altKey && !event.metaKey;
    if (!types || isText(at) || !field()) return;
    // A scanner types while a button has the focus: its Enter must never press that button.
    if (sheet?.open) sheet.close();
    field().focus({ preventScroll: true });
  });

  // Whoever goes on scanning has not seen it: what is typed goes nowhere, Enter sounds again.
  const whileStopped = (event) => {
    if (event.key === "Escape" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.key === "Enter" && !event.repeat) alarm();
  };

  const walk = (event, from) => {
    const all = [...rack.querySelectorAll(".bay")];
    const here = from.getBoundingClientRect();
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    let best = null;
    let bestCost = Infinity;
    for (const one of all) {
      const there = one.getBoundingClientRect();
      const x = there.left - here.left;
      const y = there.top - here.top;
      const ahead = x * dx + y * dy;
      const cost = ahead + 3 * Math.abs(x * dy + y * dx);
      if (ahead > 1 && cost < bestCost) [best, bestCost] = [one, cost];
    }
    event.preventDefault();
    best?.focus();
  };

  document.addEventListener("click", (event) => {
    if (!event.target.closest("button, a, summary, label, dialog") && !isText(event.target)) refocus();
    if (event.target === sheet) sheet.close(); // beside the sheet
    if (event.target.closest(".seen")) stop.close();
    if (event.target.closest("[data-print]")) window.print();
  });

  // --- sheets -------------------------------------------------------------------------------

  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target === sheet) {
      if (!sheet.open) sheet.showModal();
      sheet.querySelector("h2")?.focus();
    }
  });
  document.body.addEventListener("sheet-done", () => sheet.close());
  sheet?.addEventListener("close", () => {
    sheet.replaceChildren();
    document.activeElement?.blur();
    refocus();
  });

  stop?.addEventListener("close", () => {
    stop.replaceChildren();
    refocus();
  });

  // What an answer brings along: the label of a drive that leaves, or the alarm.
  const bring = () => {
    const brought = document.querySelector("#notice template[data-for]");
    const dialog = brought && document.getElementById(brought.dataset.for);
    if (!dialog) return;
    brought.remove();
    dialog.replaceChildren(brought.content);
    if (!dialog.open) dialog.showModal();
    dialog.querySelector("h2").focus();
  };

  // --- answers ------------------------------------------------------------------------------

  let quiet = 0;
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const form = event.target.closest?.("form[data-clear]");
    if (form) form.reset();
    const told = document.querySelector("#notice .told");
    if (told) answer(told);
    bring();
    if (!sheet?.open) refocus();
  });
  document.body.addEventListener("htmx:sendError", () => {
    const told = document.createElement("p");
    told.className = "told bad";
    told.textContent = "The station did not answer. Nothing was done.";
    document.getElementById("notice")?.replaceChildren(told);
    if (sheet?.open) sheet.close();
  });

  const answer = (told) => {
    if (told.dataset.seen) return;
    told.dataset.seen = "1";
    if (sheet?.open) sheet.close();
    clearTimeout(quiet);
    if (told.matches(".good")) quiet = setTimeout(() => told.remove(), told.querySelector(".back") ? 60000 : 10000);
    if ("alarm" in told.dataset) alarm();
    const bay = told.dataset.flash && document.getElementById("bay-" + told.dataset.flash);
    if (bay) {
      bay.classList.add("flash");
      setTimeout(() => document.getElementById(bay.id)?.classList.remove("flash"), 4000);
    }
  };

  let sound = null;
  const alarm = () => {
    if (!navigator.userActivation?.hasBeenActive) return; // browsers let nothing sound before
    try {
      sound ??= new AudioContext();
      for (const start of [0, 0.25, 0.5]) {
        const tone = sound.createOscillator();
        tone.type = "square";
        tone.frequency.value = 880;
        tone.connect(sound.destination);
        tone.start(sound.currentTime + start);
        tone.stop(sound.currentTime + start + 0.15);
      }
    } catch {
      // No sound device: the notice is red all the same.
    }
  };

  // --- live ---------------------------------------------------------------------------------

  const listen = (address) => {
    let late = 0;
    const source = new EventSource(address);
    const here = () => {
      clearTimeout(late);
      late = 0;
      if (lost) lost.hidden = true;
    };
    source.addEventListener("open", here);
    source.addEventListener("fragment", (event) => {
      here();
      place(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      late ||= setTimeout(() => lost && (lost.hidden = false), 1500);
      if (source.readyState === EventSource.CLOSED) {
        // Refused, not broken off: logged out, or the station starts anew.
        source.close();
        setTimeout(() => again(address), 3000);
      }
    });
  };
  const again = async (address) => {
    try {
      const reply = await fetch("/v1/status", { cache: "no-store" });
      if (reply.status === 401) location.assign("/login");
    } catch {
      // Not back yet.
    }
    listen(address);
  };

  const place = ({ id, html }) => {
    const old = document.getElementById(id);
    if (!old) return void location.reload(); // the rack itself was changed
    const typed = old.querySelector("[data-scan]");
    if (typed && (typed.value || old.querySelector("[data-pin]")?.value)) return; // not under somebody's fingers
    const had = old.contains(document.activeElement) || old === document.activeElement;
    const flashes = old.classList.contains("flash");
    htmx.swap(old, html, { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0 });
    const fresh = document.getElementById(id);
    if (id === "asks" && fresh) {
      // A finger on its way to what stood here before must not answer another question.
      fresh.inert = true;
      setTimeout(() => (fresh.inert = false), 500);
    }
    if (flashes) fresh?.classList.add("flash");
    if (had && fresh?.matches(".bay")) fresh.focus({ preventScroll: true });
    if (had && !fresh?.matches(".bay")) refocus();
    const open = sheet?.open && sheet.querySelector("[data-sheet-bay]");
    if (open && fresh?.dataset.bay === open.dataset.sheetBay && fresh.dataset.standing !== open.dataset.standing) {
      htmx.ajax("GET", "/bays/" + encodeURIComponent(fresh.dataset.bay), { target: "#sheet", swap: "innerHTML" });
    }
  };

  if (rack?.dataset.live) listen(rack.dataset.live);
  refocus();
})();

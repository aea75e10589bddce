/* Claims are folded where the screen is narrow, and open on paper. Without JavaScript they are open everywhere. */
"use strict";

(() => {
  const narrow = matchMedia("(max-width: 600px)");
  const open = (whether) => {
    for (const claims of document.querySelectorAll("details.claims")) claims.open = whether;
  };
  const suit = () => open(!narrow.matches);
  document.addEventListener("DOMContentLoaded", suit);
  narrow.addEventListener("change", suit);
  addEventListener("beforeprint", () => open(true));
  addEventListener("afterprint", suit);
})();

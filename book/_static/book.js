/* What every page does: claims fold where the screen is narrow, and paper is white and shows them all. */
"use strict";

(() => {
  const narrow = matchMedia("(max-width: 600px)");
  const page = document.documentElement;
  let theme = page.dataset.theme;

  const open = (whether) => {
    for (const claims of document.querySelectorAll("details.claims")) claims.open = whether;
  };
  const suit = () => open(!narrow.matches);

  document.addEventListener("DOMContentLoaded", suit);
  narrow.addEventListener("change", suit);
  addEventListener("beforeprint", () => {
    theme = page.dataset.theme;
    page.dataset.theme = "light";
    for (const image of document.querySelectorAll("img.only-light")) image.loading = "eager";
    open(true);
  });
  addEventListener("afterprint", () => {
    page.dataset.theme = theme;
    suit();
  });
})();

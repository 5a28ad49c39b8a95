// The theme's buttons that open a part of the menu have no name; a screen reader needs one.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("nav.bd-links summary")) button.setAttribute("aria-label", "Pages below");
});

// Light or dark: as the system has it, until the button says otherwise; and evidence in a dialog, when it is asked for.
const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => root.dataset.theme === "dark";
const themed = () => dispatchEvent(new Event("themed"));
function setTheme(theme) { root.dataset.theme = theme; themed(); }
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
document.getElementById("theme")?.addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
let before;
addEventListener("beforeprint", () => { before = root.dataset.theme; setTheme("light"); });
addEventListener("afterprint", () => setTheme(before));

document.addEventListener("click", (event) => {
  const link = event.target.closest(".matrix td a"), dialog = document.getElementById("evidence");
  if (!link || !dialog || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const article = document.getElementById(link.hash.slice(1)).cloneNode(true);
  article.removeAttribute("id");
  dialog.setAttribute("aria-label", link.getAttribute("aria-label"));
  dialog.querySelector("div").replaceChildren(article);
  dialog.showModal();
});
